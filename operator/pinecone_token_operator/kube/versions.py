"""Compares resourceVersions."""


def is_newer(version: str, other: str) -> bool:
    """Return whether one resourceVersion is newer than another; both are decimal numbers.

    Only versions of one cluster compare, and after its store is restored from a backup they
    continue from an older number.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    return (len(version), version) > (len(other), other)
