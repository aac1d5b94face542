"""Faults by users: they overwrite or delete targets, resources and whole namespaces."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.chaos.environment import Environment
from tests.chaos.faults.credentials import create_credentials
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.faults.partial_rights import grant
from tests.chaos.population import EXPENDABLE, LABEL, Member
from tests.support.api import secret_path, token_path
from tests.support.documented import CHECKSUM, EXPIRES_AT, MANAGED, REFRESH_AT, RESOURCE_UID
from tests.support.encoding import encode

_MOST = 5
_FAR = "2099-01-01T00:00:00Z"
# A list that is in progress may still contain a namespace's Secrets.
_READ_SECONDS = 1.5

_KEYS: tuple[Mapping[str, str | None], ...] = (
    {"access_token": encode("overwritten by a user")},
    {"access_token": None},
    {"token_type": None},
    {"expires_at": encode(_FAR)},
    {"authorization": encode("overwritten too")},
    {"surprise": encode("an additional key"), "token_type": None},
)
_ANNOTATIONS: tuple[Mapping[str, str | None], ...] = (
    {EXPIRES_AT: _FAR},
    {REFRESH_AT: _FAR},
    {EXPIRES_AT: _FAR, REFRESH_AT: _FAR},
    {CHECKSUM: None},
    {CHECKSUM: "0" * 32},
    {REFRESH_AT: "soon"},
    {MANAGED: "[["},
    {EXPIRES_AT: None, REFRESH_AT: None, CHECKSUM: None},
)


def populate(env: Environment, members: list[Member]) -> None:
    """Create credentials and resources."""
    for key in sorted({member.account_key for member in members}):
        create_credentials(env, key)
    for member in members:
        _create_resource(env, member)


def _to_members(do: Callable[[Environment, Member, random.Random], None]) -> Inject:
    """Return a fault that does something to a few resources or their targets."""

    @contextmanager
    def inject(env: Environment, rng: random.Random) -> Iterator[Injected]:
        members = _choose(env, rng)
        injected = _injected(env, members)
        for member in members:
            do(env, member, rng)
        yield injected

    return inject


def _patching(patch: Callable[[random.Random], Mapping[str, Any]]) -> Inject:
    def do(env: Environment, member: Member, rng: random.Random) -> None:
        write = partial(env.kube.patch, secret_path(*member.key), patch(rng))
        env.retry(write, accept=(404,))

    return _to_members(do)


def _choose(env: Environment, rng: random.Random) -> list[Member]:
    most = min(_MOST, len(env.members))
    return rng.sample(env.members, rng.randint(1, most))


def _injected(env: Environment, members: list[Member]) -> Injected:
    note = ", ".join("/".join(member.key) for member in members)
    return Injected(env.seconds(), frozenset(member.key for member in members), note)


def _delete_target(env: Environment, member: Member) -> None:
    env.retry(partial(env.kube.delete, secret_path(*member.key)), accept=(404,))


@contextmanager
def _replaced(env: Environment, rng: random.Random) -> Iterator[Injected]:
    members = _choose(env, rng)
    injected = _injected(env, members)
    for member in members:
        env.wait_until(partial(_replace_target, env, member), "another Secret is in place")
    others = {member.key: _read_other(env, member) for member in members}
    yield injected
    for member in members:
        before, after = others[member.key], _read_other(env, member)
        if before is not None:
            env.witness.compare(f"Secret {'/'.join(member.key)}", before, after)
        _delete_target(env, member)


def _read_other(env: Environment, member: Member) -> dict[str, Any] | None:
    """Return what stands in for the target, if it is still there."""
    found = env.retry(partial(env.kube.get, secret_path(*member.key)))
    return found if found and "password" in (found.get("data") or {}) else None


def _replace_target(env: Environment, member: Member) -> bool:
    """Turn the target into a Secret of someone else's; return False if another write came first."""
    found = env.kube.secret_object(*member.key)
    other: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": member.name},
        "data": {"password": encode("someone else's")},
    }
    if found is None:
        write = partial(env.kube.create, secret_path(member.namespace), other)
    else:
        other["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
        write = partial(env.kube.replace, secret_path(*member.key), other)
    return env.retry(write, accept=(404, 409)) is not None


def _recreate_resource(env: Environment, member: Member, _: random.Random) -> None:
    env.retry(partial(env.kube.delete, token_path(*member.key)), accept=(404,))
    _create_resource(env, member)


@contextmanager
def _namespace_recreated(env: Environment, rng: random.Random) -> Iterator[Injected]:
    namespace = rng.choice(EXPENDABLE)
    members = [member for member in env.members if member.namespace == namespace]
    injected = Injected(env.seconds(), frozenset(member.key for member in members), namespace)
    path = f"/api/v1/namespaces/{namespace}"
    with env.reader.paused(namespace):
        env.retry(partial(env.kube.delete, path), accept=(404, 409))
        env.wait_until(lambda: env.kube.get(path) is None, f"{namespace} is deleted")
        env.stop.wait(_READ_SECONDS)
    create = partial(env.kube.create, "/api/v1/namespaces", {"metadata": {"name": namespace}})
    env.retry(create, accept=(409,))
    grant(env, namespace)
    yield injected
    populate(env, members)


def _create_resource(env: Environment, member: Member) -> None:
    create = partial(env.kube.create, token_path(member.namespace), member.resource())
    env.retry(create, accept=(409,))


FAULTS: Mapping[str, Inject] = {
    "users: targets deleted": _to_members(lambda env, member, _: _delete_target(env, member)),
    "users: keys overwritten": _patching(lambda rng: {"data": rng.choice(_KEYS)}),
    "users: annotations overwritten": _patching(
        lambda rng: {"metadata": {"annotations": rng.choice(_ANNOTATIONS)}}
    ),
    "users: labels removed": _patching(
        lambda _: {"metadata": {"labels": {RESOURCE_UID: None, LABEL: None}}}
    ),
    "users: owner references removed": _patching(lambda _: {"metadata": {"ownerReferences": None}}),
    "users: target replaced by another Secret": _replaced,
    "users: resource recreated": _to_members(_recreate_resource),
    "users: namespace recreated": _namespace_recreated,
}
