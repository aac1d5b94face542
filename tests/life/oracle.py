"""Judges the operator by what it cannot see: all objects, all writes and every token's true expiry.

The promise that it judges:

- A target holds a token that is valid for its resource's current credentials, and is refreshed
  before `refreshBefore` (by default a third of its lifetime) is left. Beside it stand its type, its
  expiry, and whatever the template says; nothing of the operator's that the template no longer
  names.
- The target says whose it is: by the label `resource-uid`, the annotation `resource` and, if it is
  to be deleted with the resource, the one owner reference.
- `Ready` is True exactly while the target holds a token that nobody has tampered with and that has
  not expired.
- An exchange is made for a reason: there is no such token, it is due, its credentials changed, or a
  refresh was requested. A token that was fetched is written, not fetched again.
- A Secret that belongs to someone else is left alone, and of several resources with one target, one
  owns it.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.life.endpoint import GOOD_SECRETS, Account, Asker, Endpoint, Issue
from tests.life.managed_fields import OPERATOR, managers
from tests.life.paths import secrets_path, tokens_path
from tests.life.reading import Resource, Secret, fill, read_resource, read_secret
from tests.life.small_api import Change, SmallApi
from tests.support import documented
from tests.support.documented import GROUP, KIND, PREFIX

# Times are whole seconds, and requests take a while.
SLACK: Final = timedelta(seconds=2)
# Beside a token; together they detect that it was tampered with.
_SEALED: Final = (
    documented.CHECKSUM,
    documented.CREDENTIALS,
    documented.EXPIRES_AT,
    documented.REFRESHED_AT,
)


class Oracle:
    """Judges what the operator does.

    Args:
        api: the objects.
        endpoint: the tokens that were issued.
        now: the clock.
        namespaces: those that the operator serves.
    """

    def __init__(
        self,
        api: SmallApi,
        endpoint: Endpoint,
        now: Callable[[], datetime],
        namespaces: tuple[str, ...],
    ) -> None:
        self._api = api
        self._endpoint = endpoint
        self._now = now
        self._namespaces = namespaces
        self._unwritten: dict[str, str] = {}  # tokens that are in no Secret yet, by resource UID
        self._attempts: dict[str, tuple[datetime, Account]] = {}
        self._sealed: dict[tuple[str, str], Mapping[str, str]] = {}  # by resource UID and token
        self._changed_at: dict[str, datetime] = {}  # of Secrets, by path
        self._reconfigured_at = datetime.min.replace(tzinfo=UTC)

    # What it notes

    def others_acted(self) -> None:
        """Note that someone else did something: whatever was tried may be tried again."""
        self._attempts.clear()

    def reconfigured(self) -> None:
        """Note that earlier tokens are not what the operator's new settings ask for."""
        self._reconfigured_at = self._now()

    def memory_lost(self) -> None:
        """Note that the operator's process was restarted."""
        self._attempts.clear()
        self._unwritten.clear()

    def changed(self, change: Change) -> None:
        """Note a change of an object."""
        if change.path.startswith(f"/apis/{GROUP}/"):
            if change.type == "DELETED":
                self._unwritten.pop(change.object["metadata"]["uid"], None)
            return
        self._changed_at[change.path] = self._now()
        secret = read_secret(change.object)
        self._unwritten = {
            uid: token for uid, token in self._unwritten.items() if token != secret.token
        }
        if change.by == OPERATOR and secret.token:
            uid = secret.labels.get(documented.RESOURCE_UID, "")
            self._sealed.setdefault((uid, secret.token), _seals(secret))

    def gave(self, asker: Asker, token: str) -> None:
        """Note that a token was issued."""
        self._unwritten[asker.uid] = token

    # What it finds

    def asked(self, asker: Asker, account: Account) -> Iterator[str]:
        """Yield what is wrong with an exchange that is requested now."""
        now = self._now()
        if self._attempts.get(asker.uid) == (now, account):
            yield f"{asker} requests a token twice at the same moment"
        self._attempts[asker.uid] = now, account
        unwritten = self._endpoint.issued.get(self._unwritten.pop(asker.uid, ""))
        if unwritten and unwritten.account == account and unwritten.expires_at > now + SLACK:
            yield f"{asker} requests a token although it has not written the last one"
        resource = self.resource(asker.namespace, asker.name)
        if resource is None or resource.uid != asker.uid:
            return  # the operator has not seen its deletion yet
        credentials = f"{secrets_path(resource.namespace)}/{resource.account}"
        if self._changed_at.get(credentials) == now:
            return  # the operator may have read them before
        issue = self.intact(resource)
        if issue is None:
            return
        target = self.target(resource)
        assert target is not None
        is_due = now >= self._due(resource, target)
        is_right = issue.account == account and issue.at >= self._reconfigured_at
        if is_right and not is_due and not _is_requested(resource, target):
            yield f"{asker} requests a token without a reason"

    def untruths(self, resource: Resource) -> Iterator[str]:
        """Yield what is wrong in a resource's status."""
        target, issue, now = self.target(resource), self.intact(resource), self._now()
        stated = target.time(documented.EXPIRES_AT) if target else None
        if issue is not None and stated is not None and abs(stated - now) < SLACK:
            return
        is_held = issue is not None and self.may_write(resource, target)
        is_ready = is_held and stated is not None and stated > now
        if ("expiresAt" in resource.status) != is_held:
            yield f"{resource}: expiresAt is wrongly set or missing: {resource.status}"
        ready = resource.conditions["Ready"]
        if ready["status"] != str(is_ready):
            yield f"{resource}: Ready is not {is_ready}: {ready}"
        elif is_ready and resource.status["expiresAt"] != f"{stated:%FT%TZ}":
            yield f"{resource}: expiresAt is wrong"

    def shortcomings(self, resource: Resource) -> Iterator[str]:
        """Yield what a resource lacks after it had time enough and no disturbance."""
        target = self.target(resource)
        wanted = self.account(resource)
        if resource.suspended or not self.may_write(resource, target):
            return
        if wanted is None or (target is not None and target.immutable):
            return
        issue = self.intact(resource)
        if issue is None or target is None:
            yield f"{resource} has no token"
            return
        if issue.account != wanted:
            yield f"{resource} has a token of other credentials"
        if _is_requested(resource, target):
            yield f"{resource} has a token from before the refresh was requested"
        if self._now() > self._due(resource, target) + SLACK:
            yield f"{resource} has an overdue token"
        yield from self._wrong_content(resource, target)
        for condition in resource.conditions.values():
            if condition["type"] in ("Ready", "Refreshed") and condition["status"] != "True":
                yield f"{resource} has a token, but: {condition}"

    def leftovers(self) -> Iterator[str]:
        """Yield the Secrets of others that hold a token of a deleted resource."""
        for namespace in self._namespaces:
            living = {item["metadata"]["uid"] for item in self._api.items(tokens_path(namespace))}
            label = documented.RESOURCE_UID
            for obj in self._api.items(secrets_path(namespace), label):
                secret = read_secret(obj)
                policy = secret.annotations.get(documented.DELETION_POLICY)
                if secret.labels[label] not in living and policy == "Delete":
                    yield f"Secret {obj['metadata']['name']} holds a token of a deleted resource"

    # What it knows

    def resources(self) -> list[Resource]:
        """Return the resources that are not being deleted."""
        found = [
            read_resource(item)
            for namespace in self._namespaces
            for item in self._api.items(tokens_path(namespace))
        ]
        return [resource for resource in found if not resource.deleting]

    def resource(self, namespace: str, name: str) -> Resource | None:
        found = self._api.find(f"{tokens_path(namespace)}/{name}")
        return read_resource(found) if found else None

    def target(self, resource: Resource) -> Secret | None:
        """Return a resource's target."""
        found = self._api.find(f"{secrets_path(resource.namespace)}/{resource.target}")
        return read_secret(found) if found else None

    def intact(self, resource: Resource) -> Issue | None:
        """Return what is known of the token in a target; None if somebody tampered with it.

        It is intact if the endpoint issued it and everything that vouches for it is as the operator
        wrote it.
        """
        target = self.target(resource)
        if target is None:
            return None
        issue = self._endpoint.issued.get(target.token)
        if issue is None or self._sealed.get((resource.uid, target.token)) != _seals(target):
            return None
        stated = target.time(documented.EXPIRES_AT)
        if stated is None or target.time(documented.REFRESH_AT) is None:
            return None
        late = stated - issue.expires_at
        assert -SLACK < late <= timedelta(), "a token is said to live longer than it does"
        return issue

    def may_write(self, resource: Resource, target: Secret | None) -> bool:
        """Return whether the target is the resource's to write."""
        if self._owner(resource, target).uid != resource.uid:
            return False
        if resource.merges:
            return target is not None and target.allows_merge
        return target is None or _is_own(target, resource)

    def account(self, resource: Resource) -> Account | None:
        """Return a resource's credentials; None if the endpoint would reject them."""
        found = self._api.find(f"{secrets_path(resource.namespace)}/{resource.account}")
        data = read_secret(found).data if found else {}
        client_id = data.get(resource.id_key, "").strip()
        client_secret = data.get(resource.secret_key, "").strip()
        return (client_id, client_secret) if client_id and client_secret in GOOD_SECRETS else None

    def _owner(self, resource: Resource, target: Secret | None) -> Resource:
        """Return which of the resources with this target owns it.

        The one whose UID is on the Secret, else the oldest.
        """
        rivals = [
            one
            for one in self.resources()
            if (one.namespace, one.target) == (resource.namespace, resource.target)
        ]
        written = _uids(target) if target else set()
        holders = [one for one in rivals if one.uid in written]
        return min(holders or rivals, key=lambda one: (one.created, one.name))

    def _due(self, resource: Resource, target: Secret) -> datetime:
        refreshed_at = target.time(documented.REFRESHED_AT)
        expires_at = target.time(documented.EXPIRES_AT)
        refresh_at = target.time(documented.REFRESH_AT)
        assert refreshed_at is not None
        assert expires_at is not None
        assert refresh_at is not None
        return min(refresh_at, resource.latest_refresh(refreshed_at, expires_at))

    def _wrong_content(self, resource: Resource, target: Secret) -> Iterator[str]:
        expires_at = target.annotations[documented.EXPIRES_AT]
        expiry = target.time(documented.EXPIRES_AT)
        assert expiry is not None
        values = {
            "access_token": target.token,
            "token_type": "Bearer",
            "expires_at": expires_at,
        }
        known = {**values, "expires_at_unix": str(int(expiry.timestamp()))}
        filled = {key: fill(text, known) for key, text in resource.template.items()}
        expected = {
            "data": {**values, **filled},
            "labels": {**resource.labels, documented.RESOURCE_UID: resource.uid},
            "annotations": {**resource.annotations, documented.RESOURCE: resource.name},
        }
        if resource.merges:
            policy = "Delete" if resource.deletes else "Retain"
            expected["annotations"][documented.DELETION_POLICY] = policy
        else:
            expected["annotations"].setdefault(documented.RELOADER_IGNORE, "true")
        actual = {
            "data": target.data,
            "labels": target.labels,
            "annotations": target.annotations,
        }
        for part, wanted in expected.items():
            wrong = [name for name, value in wanted.items() if actual[part].get(name) != value]
            if wrong:
                yield f"{resource}: the target's {part} lack {sorted(wrong)}"
        yield from self._stale_content(resource, expected)
        owners = [owner for owner in target.owners if owner.get("kind") == KIND]
        if [dict(owner) for owner in owners] != _owner_references(resource):
            yield f"{resource}: the target's owner references are wrong: {owners}"

    def _stale_content(
        self, resource: Resource, expected: Mapping[str, Mapping[str, str]]
    ) -> Iterator[str]:
        """Yield what the operator wrote once and the resource no longer names."""
        path = f"{secrets_path(resource.namespace)}/{resource.target}"
        for field in managers(self._api.find(path) or {}).get(OPERATOR, ()):
            part, name = field[-2:] if len(field) > 1 else ("", "")
            if part in expected and name not in expected[part] and not name.startswith(PREFIX):
                yield f"{resource}: the target's {part} still have {name}"


def _seals(secret: Secret) -> dict[str, str]:
    return {name: secret.annotations.get(name, "") for name in _SEALED}


def _uids(secret: Secret) -> set[str]:
    label = secret.labels.get(documented.RESOURCE_UID, "")
    return {label, *(str(owner.get("uid")) for owner in secret.owners)}


def _is_own(secret: Secret, resource: Resource) -> bool:
    """Return whether a Secret is the resource's own or was left behind by its predecessor."""
    if any(owner.get("uid") == resource.uid for owner in secret.owners):
        return True
    others = [owner for owner in secret.owners if not _is_predecessor(owner, resource)]
    if others or documented.DELETION_POLICY in secret.annotations:
        return False
    return (
        secret.labels.get(documented.RESOURCE_UID) == resource.uid
        or secret.annotations.get(documented.RESOURCE) == resource.name
        or bool(secret.owners)
    )


def _is_predecessor(owner: Mapping[str, object], resource: Resource) -> bool:
    return (
        owner.get("kind") == KIND
        and str(owner.get("apiVersion")).startswith(PREFIX)
        and owner.get("name") == resource.name
        and owner.get("uid") != resource.uid
    )


def _owner_references(resource: Resource) -> list[dict[str, object]]:
    """Return the owner references to resources that a target should have."""
    if resource.merges or not resource.deletes:
        return []
    return [
        {
            "apiVersion": f"{GROUP}/{documented.VERSION}",
            "kind": KIND,
            "name": resource.name,
            "uid": resource.uid,
            "controller": True,
        }
    ]


def _is_requested(resource: Resource, target: Secret) -> bool:
    """Return whether a refresh is requested that neither the token nor the status has served."""
    served = (
        target.annotations.get(documented.REFRESH_REQUEST),
        resource.status.get("lastHandledRefreshRequest"),
    )
    return bool(resource.request) and resource.request not in served
