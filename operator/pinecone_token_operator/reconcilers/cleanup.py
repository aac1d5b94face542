"""Removes the keys of deleted resources from Secrets that they were merged into."""

import logging
from collections.abc import Callable, Container

from pinecone_token_operator.api.common import DeletionPolicy
from pinecone_token_operator.api.group import Kind
from pinecone_token_operator.controller.relist import api_resource
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.kube.interfaces import Lists, Requests, RequestsAndLists
from pinecone_token_operator.kube.media_types import MERGE_PATCH, METADATA_LIST
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.targets import names
from pinecone_token_operator.targets.secret import Patch, removal_patch
from pinecone_token_operator.targets.target import Target, read_target

logger = logging.getLogger(__name__)


class MergeCleanup:
    """Cleans up after resources with `creationPolicy: Merge` and `deletionPolicy: Delete`.

    Args:
        api: the API server; its write guard keeps a former leader from writing.
        kind: of the resources.
    """

    def __init__(self, *, api: RequestsAndLists, kind: Kind) -> None:
        self._api = api
        self._kind = kind

    async def find_orphans(
        self, namespace: str | None, living: Container[str]
    ) -> dict[SecretKey, str]:
        """Return the Secrets that hold keys of resources that are gone, with the resource's UID.

        Args:
            namespace: where; None means all namespaces.
            living: the UIDs of all resources there.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        return {
            key: uid
            for key, uid in (await _merged_secrets(self._api, namespace)).items()
            if uid not in living
        }

    async def remove_keys(self, key: SecretKey, uid: str) -> None:
        """Remove a deleted resource's keys from a Secret, if they are still there.

        Raises:
            ApiError: the API server refused or did not answer.
        """
        while True:
            try:
                target = read_target(await self._api.request("GET", SECRETS.item(*key)))
                if not _holds_keys_of(target, uid) or await self._exists(target, uid):
                    return
                await self._patch(key, removal_patch(target))
            except ApiError as error:
                if error.not_found:
                    return
                if not error.conflict:
                    raise
            else:
                logger.info("Removed the token from Secret %s", "/".join(key))
                return

    async def _patch(self, key: SecretKey, patch: Patch) -> None:
        path = SECRETS.item(*key)
        try:
            await self._api.request("PATCH", path, body=patch, content_type=MERGE_PATCH)
        except ApiError as error:
            # Neither its message nor the cause: an admission policy may quote the Secret in it.
            status, reason = error.http_status, error.reason
        else:
            return
        raise ApiError(status, reason, f"the API server refused to write Secret {'/'.join(key)}")

    async def _exists(self, target: Target, uid: str) -> bool:
        """Return whether the resource exists: it may only be missing from an incomplete list."""
        name = target.annotations.get(names.RESOURCE)
        if not name:
            return False
        return await resource_exists(self._api, self._kind, target.key[0], name, uid)


async def resource_exists(
    api: Requests,
    kind: Kind,
    namespace: str,
    name: str,
    uid: str,
    missed: Callable[[], None] = lambda: None,
) -> bool:
    """Return whether a resource with this UID exists and is not being deleted.

    Args:
        api: the API server.
        kind: the resource's kind.
        namespace: its namespace; empty if it is cluster-scoped.
        name: its name.
        uid: its UID.
        missed: called if there is another resource of this name.

    Raises:
        ApiError: the API server refused or did not answer.
    """
    try:
        found = await api.request("GET", api_resource(kind).item(namespace or None, name))
    except ApiError as error:
        if error.not_found:
            return False
        raise
    metadata = found["metadata"]
    if metadata["uid"] != uid:
        missed()
    return metadata["uid"] == uid and "deletionTimestamp" not in metadata


async def _merged_secrets(api: Lists, namespace: str | None) -> dict[SecretKey, str]:
    found = {}
    query = [("labelSelector", names.RESOURCE_UID)]
    path = SECRETS.collection(namespace)
    async for page in api.pages(path, query=query, accept=METADATA_LIST):
        for item in page.get("items") or ():
            metadata = item["metadata"]
            annotations = metadata.get("annotations") or {}
            key = metadata["namespace"], metadata["name"]
            is_copy = annotations.get(names.TARGET, "/".join(key)) != "/".join(key)
            if annotations.get(names.DELETION_POLICY) == DeletionPolicy.DELETE and not is_copy:
                found[key] = metadata["labels"][names.RESOURCE_UID]
    return found


def _holds_keys_of(target: Target, uid: str) -> bool:
    return (
        target.owner_uid == uid
        and target.annotations.get(names.DELETION_POLICY) == DeletionPolicy.DELETE
    )
