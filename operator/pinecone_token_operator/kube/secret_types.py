"""Types of Secrets that nothing here may refer to."""

from typing import Final

UNWATCHED: Final = ("helm.sh/release.v1", "kubernetes.io/service-account-token")
"""The types that a cluster has many of, so that they are not watched: no change of such a Secret is
reported. As credentials or targets they are refused."""
