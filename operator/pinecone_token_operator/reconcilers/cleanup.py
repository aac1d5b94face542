"""Reads everything anew, now and then: what no event told, and what happened while we were away."""

import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from pinecone_token_operator.api.access_token import GROUP, PLURAL, VERSION, DeletionPolicy
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.kube.interfaces import Lists, Requests
from pinecone_token_operator.reconcilers.gather import secret_path
from pinecone_token_operator.targets.secret import removal_patch
from pinecone_token_operator.targets.target import DELETION_POLICY, RESOURCE_UID, read_target

_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_NOT_FOUND, _CONFLICT = 404, 409

logger = logging.getLogger(__name__)


async def list_resources(api: Lists, namespace: str | None) -> AsyncIterator[dict[str, Any]]:
    """Yield all resources of a namespace, or of all; none while the CRD is not installed.

    Page by page, so that never more than one of them is in memory.

    Raises:
        ApiError: the API server refused or did not answer.
    """
    scope = f"/namespaces/{namespace}" if namespace else ""
    path = f"/apis/{GROUP}/{VERSION}{scope}/{PLURAL}"
    try:
        async for page in api.pages(path):
            for item in page.get("items") or ():
                yield item
    except ApiError as error:
        if error.http_status != _NOT_FOUND:
            raise


async def merged_secrets(api: Lists, namespace: str | None) -> dict[tuple[str, str], str]:
    """Return the UID of the resource whose keys are in a Secret of somebody else's, by Secret.

    Only where those keys are to be taken out once the resource is gone.

    Raises:
        ApiError: the API server refused or did not answer.
    """
    path = secret_path(namespace) if namespace else "/api/v1/secrets"
    found = {}
    query = [("labelSelector", RESOURCE_UID)]
    async for page in api.pages(path, query=query, accept=_METADATA):
        for item in page.get("items") or ():
            metadata = item["metadata"]
            if (metadata.get("annotations") or {}).get(DELETION_POLICY) == DeletionPolicy.DELETE:
                found[metadata["namespace"], metadata["name"]] = metadata["labels"][RESOURCE_UID]
    return found


async def take_out(api: Requests, namespace: str, name: str, uid: str) -> None:
    """Take a deleted resource's keys out of a Secret of somebody else's, if they are still there.

    Raises:
        ApiError: the API server refused or did not answer; the next resync tries again.
    """
    path = secret_path(namespace, name)
    while True:
        try:
            target = read_target(await api.request("GET", path))
            if (
                target.labels.get(RESOURCE_UID) != uid
                or target.annotations.get(DELETION_POLICY) != DeletionPolicy.DELETE
            ):
                return
            await api.request(
                "PATCH",
                path,
                body=removal_patch(target),
                content_type="application/merge-patch+json",
            )
        except ApiError as error:
            if error.http_status == _NOT_FOUND:
                return
            if error.http_status != _CONFLICT:
                raise
        else:
            logger.info("Took the token out of Secret %s/%s", namespace, name)
            return
