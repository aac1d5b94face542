"""Relists: periodic reads of everything, to find what no event has reported."""

from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator
from typing import Any

from pinecone_token_operator.api.group import GROUP, VERSION, Kind
from pinecone_token_operator.kube.interfaces import Lists
from pinecone_token_operator.kube.paths import ApiResource


def api_resource(kind: Kind) -> ApiResource:
    """Return how the API server serves a kind of ours."""
    return ApiResource(GROUP, VERSION, kind.plural, kind.namespaced)


async def list_resources(
    api: Lists, kind: Kind, namespace: str | None
) -> AsyncIterator[dict[str, Any]]:
    """Yield all resources of a kind in a namespace, or in all.

    Page by page, so that never more than one of them is in memory.

    Raises:
        ApiError: the API server refused or did not answer. A 404 does not prove that there are no
            resources: it is also the reply while the CRD is not served.
    """
    async for page in api.pages(api_resource(kind).collection(namespace)):
        for item in page.get("items") or ():
            yield item


class Uids:
    """UIDs of listed resources, in eight bytes each: with shards, most are other operators'.

    Two UIDs with the same 64-bit hash count as one. That keeps what a deleted resource has left,
    and never removes what a living one has.
    """

    def __init__(self) -> None:
        self._hashes = array("q")
        self._sorted = True

    def add(self, uid: str) -> None:
        """Add a UID."""
        self._hashes.append(hash(uid))
        self._sorted = False

    def __contains__(self, uid: object) -> bool:
        """Return whether a UID was added."""
        if not self._sorted:
            self._hashes = array("q", sorted(self._hashes))
            self._sorted = True
        wanted = hash(uid)
        at = bisect_left(self._hashes, wanted)
        return at < len(self._hashes) and self._hashes[at] == wanted
