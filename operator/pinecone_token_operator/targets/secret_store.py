"""Stores tokens in Secrets."""

from collections.abc import Hashable
from dataclasses import replace
from typing import Any, Protocol

from pinecone_token_operator.errors import ApiError, WriteFailed
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.kube.interfaces import Requests
from pinecone_token_operator.kube.media_types import JSON, MERGE_PATCH
from pinecone_token_operator.kube.paths import SECRETS
from pinecone_token_operator.targets.secret import (
    Desired,
    Part,
    Patch,
    TargetSpec,
    content_patch,
    contents,
    desire,
    essential,
    ownership_differs,
    ownership_patch,
    secret_to_create,
)
from pinecone_token_operator.targets.store import Delivery
from pinecone_token_operator.targets.stored_token import StoredToken
from pinecone_token_operator.targets.target import Target, read_target
from pinecone_token_operator.targets.write_errors import explain_refusal


class Versions(Protocol):
    """The versions of Secrets, as the watch reports them."""

    def resource_version(self, key: SecretKey) -> str | None:
        """Return a Secret's resourceVersion as last seen; None if it is not there."""
        ...

    def identity(self, key: SecretKey) -> tuple[str, str] | None:
        """Return a Secret's UID and resourceVersion as last seen; None if it is not there."""
        ...

    def note(
        self, key: SecretKey, uid: str, resource_version: str, *, by: Hashable | None = None
    ) -> None:
        """Remember what was just read or written, and by whom: they get no event for it."""
        ...


class SecretStore:
    """Reads and writes target Secrets.

    Args:
        api: the API server; its write guard keeps a former leader from writing.
        versions: the versions of Secrets.
    """

    def __init__(self, *, api: Requests, versions: Versions) -> None:
        self._api = api
        self._versions = versions

    async def read(self, key: SecretKey, by: Hashable) -> Target | None:
        """Return the Secret, or None if it does not exist; see `TargetStore.read`."""
        try:
            secret = await self._api.request("GET", SECRETS.item(*key))
        except ApiError as error:
            if error.not_found:
                return None
            raise
        return self._seen(secret, by)

    async def deliver(
        self, spec: TargetSpec, target: Target | None, token: StoredToken
    ) -> Delivery:
        """Store a token; see `TargetStore.deliver`.

        Where admission refuses the whole, the token is written without what may be refused. Who
        deletes it is set apart from it, so that a refusal does not hold it up.
        """
        delivery = await self._deliver_token(spec, target, token)
        if delivery.altered:
            return delivery
        return await self._set_ownership(spec, delivery)

    async def set_ownership(self, spec: TargetSpec, target: Target) -> Delivery:
        """Set who deletes the token with its resource; see `TargetStore.set_ownership`."""
        return await self._set_ownership(spec, Delivery(target))

    async def _deliver_token(
        self, spec: TargetSpec, target: Target | None, token: StoredToken
    ) -> Delivery:
        desired = desire(spec, token)
        try:
            stored = await self._write(spec, target, desired)
        except WriteFailed as refusal:
            least = essential(spec, token, target)
            if not refusal.final or least == desired:
                raise
            try:
                stored = await self._write(spec, target, least, essential_only=True)
            except WriteFailed:
                raise refusal from None
            return await self._add_parts(spec, stored, token, str(refusal))
        return _verified(spec, stored, desired, "")

    async def _add_parts(
        self, spec: TargetSpec, stored: Target, token: StoredToken, refusal: str
    ) -> Delivery:
        """Add to a token what is not refused, and name what is."""
        accepted: list[Part] = []
        left_out: list[str] = []
        for part in Part:
            what = contents(spec, part)
            desired = essential(spec, token, stored, [*accepted, part])
            patch = content_patch(stored, desired, prune=False)
            if patch is None or not what:
                accepted.append(part)
                continue
            try:
                stored = await self._patch(spec, stored, patch, what)
            except WriteFailed as failure:
                left_out.append(str(failure))
            else:
                accepted.append(part)
        desired = essential(spec, token, stored, accepted)
        # A new Secret was created without its owner reference, which is set by itself.
        created = not left_out and spec.owner_reference is not None
        return _verified(spec, stored, desired, "; ".join(left_out) or ("" if created else refusal))

    async def _set_ownership(self, spec: TargetSpec, before: Delivery) -> Delivery:
        patch = ownership_patch(before.target, spec)
        if patch is None:
            return before
        what = "" if spec.merges else "owner reference"
        stored, refused = before.target, ""
        try:
            stored = await self._patch(spec, before.target, patch, what)
        except WriteFailed as failure:
            refused = str(failure)
        except ApiError as error:
            return replace(before, error=error)
        else:
            if ownership_differs(stored, spec):
                refused = (
                    f"admission changed Secret {'/'.join(spec.key)}: {what or 'deletion policy'} "
                    "differs from what was written; exempt this Secret from the admission policy "
                    "or webhook"
                )
        left_out = "; ".join(one for one in (before.left_out, refused) if one)
        return Delivery(stored, left_out=left_out)

    async def _write(
        self,
        spec: TargetSpec,
        target: Target | None,
        desired: Desired,
        *,
        essential_only: bool = False,
    ) -> Target:
        if target is None:
            body = secret_to_create(spec, desired, with_owner=not essential_only)
            return await self._send("POST", SECRETS.collection(spec.key[0]), body, spec, target)
        patch = content_patch(target, desired, prune=not essential_only)
        # None: the reply to an earlier write was lost, and the token is there already.
        return target if patch is None else await self._patch(spec, target, patch)

    async def _patch(
        self, spec: TargetSpec, target: Target, patch: Patch, what: str = ""
    ) -> Target:
        return await self._send("PATCH", SECRETS.item(*spec.key), patch, spec, target, what)

    async def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any],
        spec: TargetSpec,
        target: Target | None,
        what: str = "",
    ) -> Target:
        content_type = JSON if method == "POST" else MERGE_PATCH
        try:
            secret = await self._api.request(method, path, body=body, content_type=content_type)
        except ApiError as error:
            if error.conflict or error.http_status == 0 or (error.not_found and target):
                raise
            # Not chained: the server's message may quote the Secret.
            message, final = explain_refusal(error, spec, target, what), error.is_refusal
        else:
            return self._seen(secret, spec.ref)
        raise WriteFailed(message, final=final)

    def _seen(self, secret: dict[str, Any], by: Hashable) -> Target:
        target = read_target(secret)
        self._versions.note(target.key, target.uid, target.resource_version, by=by)
        return target


def _verified(spec: TargetSpec, stored: Target, desired: Desired, left_out: str) -> Delivery:
    """Compare what was stored with what was written: admission may have changed it."""
    patch = content_patch(stored, desired, prune=False) or {}
    metadata = patch.get("metadata", {})
    differs = [f"key {key}" for key in patch.get("data", ())]
    differs += [f"label {name}" for name in metadata.get("labels") or ()]
    differs += [f"annotation {name}" for name in metadata.get("annotations") or ()]
    if not differs:
        return Delivery(stored, left_out=left_out)
    explanation = (
        f"admission changed Secret {'/'.join(spec.key)}: {', '.join(differs)} differs from what "
        "was written; exempt this Secret from the admission policy or webhook"
    )
    if "access_token" in patch.get("data", ()):
        return Delivery(stored, altered=explanation)
    return Delivery(stored, left_out=left_out or explanation)
