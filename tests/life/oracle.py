"""Judges what the operator does by what it cannot see: all objects, and each token's true life."""

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from pinecone_token_operator.api.access_token import (
    CreationPolicy,
    PineconeAccessToken,
    parse_resource,
)
from pinecone_token_operator.issuing.credentials import Credentials
from pinecone_token_operator.policies.schedule import refresh_window
from pinecone_token_operator.targets.secret import desire, secret_patch
from pinecone_token_operator.targets.target import (
    DELETION_POLICY,
    RESOURCE_UID,
    StoredToken,
    Target,
    is_owned_by,
    read_target,
    stored_token,
)
from tests.life.endpoint import GOOD_SECRETS, Endpoint
from tests.life.small_api import SECRETS, TOKENS, Change, SmallApi

# What falls due is spread over a second, and times are whole seconds.
SLACK: Final = timedelta(seconds=2)


class Oracle:
    """Knows all.

    Args:
        api: the objects.
        endpoint: the tokens that were issued.
        now: the clock.
    """

    def __init__(self, api: SmallApi, endpoint: Endpoint, now: Callable[[], datetime]) -> None:
        self._api = api
        self._endpoint = endpoint
        self._now = now
        self._in_hand: dict[str, str] = {}  # tokens that are in no Secret yet, by resource
        self._attempts: dict[str, tuple[datetime, Credentials]] = {}

    # What it is told

    def people_acted(self) -> None:
        """Whatever was tried may be tried anew."""
        self._attempts.clear()

    def memory_lost(self) -> None:
        self._attempts.clear()
        self._in_hand.clear()

    def changed(self, change: Change) -> None:
        if change.path.startswith(TOKENS) and change.type == "DELETED":
            self._in_hand.pop(change.object["metadata"]["uid"], None)
        token = _text(change.object, "access_token")
        self._in_hand = {uid: held for uid, held in self._in_hand.items() if held != token}

    def gave(self, resource: PineconeAccessToken, token: str) -> None:
        self._in_hand[resource.metadata.uid] = token

    # What it says

    def asked(self, resource: PineconeAccessToken, credentials: Credentials) -> Iterator[str]:
        """Yield what is wrong with a request to the endpoint that is made now."""
        uid, now = resource.metadata.uid, self._now()
        if self._attempts.get(uid) == (now, credentials):
            yield f"{resource.key} asks for a token twice at one moment"
        self._attempts[uid] = now, credentials
        wanted = credentials.client_id, credentials.client_secret
        held = self._endpoint.issued.get(self._in_hand.pop(uid, ""))
        if held and held.credentials == wanted and held.expires_at > now + SLACK:
            yield f"{resource.key} has lost a token that it had in hand"
        current = self.resource(resource.metadata.name)
        if current is None or current.metadata.uid != uid:
            return  # its end is not heard of yet
        _, stored = self.target(current)
        if stored is None:
            return
        issue = self._endpoint.issued[stored.access_token]
        _, latest = refresh_window(
            stored.refreshed_at, stored.expires_at, current.spec.refresh_before
        )
        requested = current.refresh_requested_at
        due = now >= min(stored.refresh_at, latest)
        asked_for = requested and stored.refreshed_at < requested <= now
        if issue.credentials == wanted and not due and not asked_for:
            yield f"{resource.key} asks for a token without a reason"

    def untruths(self, resource: PineconeAccessToken) -> Iterator[str]:
        """Yield what a resource's status says that is not so."""
        conditions = {one["type"]: one for one in resource.status.get("conditions", ())}
        target, stored = self.target(resource)
        now = self._now()
        if stored is not None and abs(stored.expires_at - now) < SLACK:
            return
        vouched = stored is not None and self.may_write(resource, target)
        ready = vouched and stored is not None and stored.expires_at > now
        if ("expiresAt" in resource.status) != vouched:
            yield f"{resource.key}: it tells of a token, or does not: {resource.status}"
        if conditions["Ready"]["status"] != str(ready):
            yield f"{resource.key}: Ready is not {ready}: {conditions['Ready']}"
        elif ready and stored and resource.status["expiresAt"] != f"{stored.expires_at:%FT%TZ}":
            yield f"{resource.key}: expiresAt is not so"

    def wants(self, resource: PineconeAccessToken) -> Iterator[str]:
        """Yield what a resource lacks, once it had all the time and no trouble."""
        target, stored = self.target(resource)
        wanted = self.credentials(resource)
        if resource.spec.suspend or not self.may_write(resource, target):
            return
        if wanted is None or (target is not None and target.immutable):
            return
        if stored is None or target is None:
            yield f"{resource.key} has no token"
            return
        issue = self._endpoint.issued[stored.access_token]
        _, latest = refresh_window(
            stored.refreshed_at, stored.expires_at, resource.spec.refresh_before
        )
        if issue.credentials != wanted:
            yield f"{resource.key} has a token of other credentials"
        if self._now() > min(latest, stored.refresh_at) + SLACK:
            yield f"{resource.key} has a token that is overdue"
        if secret_patch(target, desire(resource, stored), resource.metadata.uid) is not None:
            yield f"{resource.key} has a target that is not as it should be"
        for condition in resource.status["conditions"]:
            if condition["status"] != "True":
                yield f"{resource.key} has a token, but: {condition}"

    def remains(self) -> Iterator[str]:
        """Yield the Secrets of others that hold a token of a resource that is gone."""
        living = {item["metadata"]["uid"] for item in self._api.items(TOKENS)}
        for secret in self._api.items(SECRETS, RESOURCE_UID):
            metadata = secret["metadata"]
            gone = metadata["labels"][RESOURCE_UID] not in living
            if gone and metadata.get("annotations", {}).get(DELETION_POLICY) == "Delete":
                yield f"the Secret {metadata['name']} holds a token of a resource that is gone"

    # What is

    def resources(self) -> list[PineconeAccessToken]:
        """Return the resources that are there to stay."""
        items = self._api.items(TOKENS)
        return [parse_resource(one) for one in items if "deletionTimestamp" not in one["metadata"]]

    def resource(self, name: str) -> PineconeAccessToken | None:
        found = self._api.find(f"{TOKENS}/{name}")
        return parse_resource(found) if found else None

    def target(self, resource: PineconeAccessToken) -> tuple[Target | None, StoredToken | None]:
        """Return a resource's target, and the token in it that can be vouched for."""
        secret = self._api.find(f"{SECRETS}/{resource.target_name}")
        if secret is None:
            return None, None
        target = read_target(secret)
        stored = stored_token(target, resource.metadata.uid)
        if stored is not None:
            issue = self._endpoint.issued[stored.access_token]
            late = stored.expires_at - issue.expires_at
            assert -SLACK < late <= timedelta(), "a token is said to live longer than it does"
        return target, stored

    def may_write(self, resource: PineconeAccessToken, target: Target | None) -> bool:
        """Whether the target is the resource's to write."""
        rivals = [one for one in self.resources() if one.target_name == resource.target_name]
        if min(rivals, key=_age).metadata.uid != resource.metadata.uid:
            return False
        if resource.spec.target.creation_policy is CreationPolicy.MERGE:
            return target is not None and target.allows_merge
        return target is None or is_owned_by(target, resource)

    def credentials(self, resource: PineconeAccessToken) -> tuple[str, str] | None:
        """Return a resource's credentials, if they are good."""
        _, name = resource.credentials_key
        secret = self._api.find(f"{SECRETS}/{name}") or {}
        found = _text(secret, "client_id"), _text(secret, "client_secret")
        return found if found[0] and found[1] in GOOD_SECRETS else None


def _age(resource: PineconeAccessToken) -> tuple[datetime, str]:
    return resource.metadata.creation_timestamp, resource.metadata.name


def _text(secret: Mapping[str, Any], key: str) -> str:
    encoded = (secret.get("data") or {}).get(key, "")
    return base64.b64decode(encoded).decode("utf-8", "replace").strip()
