"""Finds out whether the API server serves a kind, and what to do if it does not."""

from http import HTTPStatus

from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.paths import ApiResource


async def find_problem(api: Requests, resource: ApiResource) -> ApiError | None:
    """Return why a kind cannot be watched, with what to do in the message; None if it can be.

    That a kind is not served does not prove that its objects are gone: they return with it.
    """
    try:
        if _serves(await api.request("GET", resource.api), resource):
            return None
        versions = await _other_versions(api, resource)
    except ApiError as error:
        if not error.not_found:
            return error
        versions = await _other_versions(api, resource)
    if versions:
        advice = (
            f"it serves {', '.join(versions)} instead; install an operator version that uses it, or"
            " serve the version again"
        )
    else:
        advice = "install its CustomResourceDefinition"
    return ApiError(
        HTTPStatus.NOT_FOUND,
        "NotServed",
        f"the API server does not serve {resource} in version {resource.version}; {advice}",
    )


async def _other_versions(api: Requests, resource: ApiResource) -> list[str]:
    """Return the versions of the group in which the kind is served; empty if that is unknown."""
    try:
        group = await api.request("GET", f"/apis/{resource.group}")
        versions = [each["version"] for each in group.get("versions") or ()]
        return [
            version
            for version in versions
            if _serves(await api.request("GET", f"/apis/{resource.group}/{version}"), resource)
        ]
    except (ApiError, KeyError, TypeError):
        return []


def _serves(found: dict[str, object], resource: ApiResource) -> bool:
    resources = found.get("resources")
    return isinstance(resources, list) and any(
        isinstance(each, dict) and each.get("name") == resource.plural for each in resources
    )
