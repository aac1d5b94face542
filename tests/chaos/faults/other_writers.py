"""Faults by other writers: tools that strip, restore, copy or annotate targets."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import httpx

from tests.chaos.environment import Environment
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.population import EXPENDABLE, LABEL, NAMESPACES, Member
from tests.chaos.records import Fight, Key
from tests.support.api import Kube, KubeError, secret_path, token_path
from tests.support.documented import REFRESH_REQUESTED_AT, RESOURCE_UID
from tests.support.encoding import encode

_POLL_SECONDS = 0.05
_REQUEST_SECONDS = 3.0
_REFRESH_SECONDS = 20.0
_AS_OTHER = "?fieldManager=other-writer"

Secret = Mapping[str, Any]
Change = Callable[[Secret], Mapping[str, Any] | None]
"""Returns the merge patch with which the writer undoes a change; None if there is none to undo."""


@contextmanager
def _fight(env: Environment, target: Key, undo: Change) -> Iterator[None]:
    """Undo each change of a target until the context is left."""
    stop = threading.Event()
    path = secret_path(*target)
    at: list[float] = []

    def run() -> None:
        with Kube(env.cluster, _REQUEST_SECONDS) as kube:
            while not stop.wait(_POLL_SECONDS):
                # The API server may be down, or the target may be gone.
                with suppress(httpx.HTTPError, KubeError):
                    secret = kube.get(path)
                    patch = undo(secret) if secret else None
                    if patch is not None:
                        kube.patch(f"{path}{_AS_OTHER}", patch)
                        at.append(env.seconds())

    thread = threading.Thread(target=run, name="other writer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if at:
            env.witness.fights.append(Fight(target, at[0], at[-1], len(at)))


def _fighting(undo: Callable[[random.Random], Change]) -> Inject:
    @contextmanager
    def inject(env: Environment, rng: random.Random) -> Iterator[Injected]:
        member = rng.choice(env.members)
        injected = _injected(env, member)
        with _fight(env, member.key, undo(rng)):
            yield injected

    return inject


def _remove_keys(rng: random.Random) -> Change:
    keys = rng.choice((("access_token",), ("token_type", "authorization"), ("expires_at",)))

    def undo(secret: Secret) -> Mapping[str, Any] | None:
        there = [key for key in keys if key in (secret.get("data") or {})]
        return {"data": dict.fromkeys(there)} if there else None

    return undo


def _remove_metadata(rng: random.Random) -> Change:
    labels = rng.choice(((LABEL,), (LABEL, RESOURCE_UID)))
    owners = rng.random() < 0.5

    def undo(secret: Secret) -> Mapping[str, Any] | None:
        metadata = secret["metadata"]
        there = [name for name in labels if name in (metadata.get("labels") or {})]
        patch: dict[str, Any] = {"labels": dict.fromkeys(there)} if there else {}
        if owners and metadata.get("ownerReferences"):
            patch["ownerReferences"] = None
        return {"metadata": patch} if patch else None

    return undo


@contextmanager
def _old_one_at_each_change(env: Environment, rng: random.Random) -> Iterator[Injected]:
    member = rng.choice(env.members)
    injected = _injected(env, member)
    old = _superseded(env, member, rng)
    if old is None:
        yield injected
        return
    token = old["data"].get("access_token")

    def undo(secret: Secret) -> Mapping[str, Any] | None:
        if (secret.get("data") or {}).get("access_token") == token:
            return None
        return {"data": old["data"], "metadata": _kept_metadata(old)}

    with _fight(env, member.key, undo):
        yield injected


@contextmanager
def _old_one(env: Environment, rng: random.Random) -> Iterator[Injected]:
    """Restore what the last fault of this kind backed up, whose token has often expired."""
    backups = env.witness.backups
    key = next(iter(backups), None)
    if key is None:
        member = rng.choice(env.members)
        old = _superseded(env, member, rng)
    else:
        member = next(member for member in env.members if member.key == key)
        old = backups.pop(key)
    injected = _injected(env, member)
    if old is not None:
        _restore(env, member.key, old)
    another = rng.choice(env.members)
    found = env.retry(partial(env.kube.get, secret_path(*another.key)))
    if found is not None and found.get("data"):
        backups[another.key] = found
    yield injected


def _superseded(env: Environment, member: Member, rng: random.Random) -> Secret | None:
    """Return a target as it was before a refresh that was just made; None if none was in time."""
    read = partial(env.kube.get, secret_path(*member.key))
    old = env.retry(read)
    if old is None or "access_token" not in (old.get("data") or {}):
        return None
    annotations = {REFRESH_REQUESTED_AT: f"chaos {rng.random()}"}
    request = {"metadata": {"annotations": annotations}}
    env.retry(partial(env.kube.patch, token_path(*member.key), request), accept=(404,))
    deadline = env.seconds() + _REFRESH_SECONDS
    while env.seconds() < deadline and not env.stop.wait(_POLL_SECONDS):
        new = env.retry(read) or {}
        token = (new.get("data") or {}).get("access_token")
        if token not in (None, old["data"]["access_token"]):
            return old
    return None


def _restore(env: Environment, key: Key, old: Secret) -> None:
    """Put back a Secret as a backup tool does: without owner references."""
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": key[1], **_kept_metadata(old)},
        "data": old["data"],
    }
    path = f"{secret_path(*key)}{_AS_OTHER}"
    if env.retry(partial(env.kube.replace, path, obj), accept=(404,)) is None:
        env.retry(
            partial(env.kube.create, f"{secret_path(key[0])}{_AS_OTHER}", obj), accept=(409, 403)
        )


def _kept_metadata(secret: Secret) -> dict[str, Any]:
    metadata = secret["metadata"]
    return {name: metadata.get(name) or {} for name in ("labels", "annotations")}


@contextmanager
def _copied(env: Environment, rng: random.Random) -> Iterator[Injected]:
    """Copy a target into another namespace, with its labels and annotations, as replicators do."""
    member = rng.choice(env.members)
    injected = Injected(env.seconds(), frozenset(), "/".join(member.key))
    source = env.retry(partial(env.kube.get, secret_path(*member.key)))
    others = sorted({*NAMESPACES} - {member.namespace, *EXPENDABLE})
    key = rng.choice(others), f"{member.name}-copy"
    if source is None:
        yield injected
        return
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": key[1], **_kept_metadata(source)},
        "data": source.get("data") or {},
    }
    create = partial(env.kube.create, f"{secret_path(key[0])}{_AS_OTHER}", obj)
    before = env.retry(create, accept=(409,))
    yield injected
    if before is None:
        return
    after = env.retry(partial(env.kube.get, secret_path(*key)))
    env.witness.compare(f"copy {'/'.join(key)}", before, after)
    env.retry(partial(env.kube.delete, secret_path(*key)), accept=(404,))


@contextmanager
def _added(env: Environment, rng: random.Random) -> Iterator[Injected]:
    """Add a key, a label and an annotation to a target; whoever added them owns them."""
    member = rng.choice(env.members)
    injected = _injected(env, member)
    mark = f"{rng.random()}"
    added = {
        "data": {"ca.crt": encode(mark)},
        "metadata": {
            "labels": {"team.example/owner": "search"},
            "annotations": {"team.example/note": mark},
        },
    }
    path = secret_path(*member.key)
    before = env.retry(partial(env.kube.patch, f"{path}{_AS_OTHER}", added), accept=(404,))
    yield injected
    after = env.retry(partial(env.kube.get, path))
    # Meanwhile a user may have deleted the target or replaced it.
    if before and after and _same_target(before, after):
        env.witness.compare_parts(f"target {'/'.join(member.key)}", added, after)


def _same_target(one: Secret, other: Secret) -> bool:
    labels = other["metadata"].get("labels") or {}
    return one["metadata"]["uid"] == other["metadata"]["uid"] and RESOURCE_UID in labels


def _injected(env: Environment, member: Member) -> Injected:
    return Injected(env.seconds(), frozenset({member.key}), "/".join(member.key))


FAULTS: Mapping[str, Inject] = {
    "other writers: keys removed at each change": _fighting(_remove_keys),
    "other writers: metadata removed at each change": _fighting(_remove_metadata),
    "other writers: old Secret restored at each change": _old_one_at_each_change,
    "other writers: old Secret restored": _old_one,
    "other writers: Secret copied": _copied,
    "other writers: keys and metadata added": _added,
}
