"""Faults by several resources that name one target."""

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from tests.chaos.environment import Environment
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.population import EXPENDABLE, Member
from tests.chaos.records import Claim, Key
from tests.support.api import secret_path, token_path
from tests.support.conditions import conditions
from tests.support.documented import RESOURCE_UID

_SETTLED_SECONDS = 60.0
_POLL_SECONDS = 0.3


@contextmanager
def _claimed_by_another(env: Environment, rng: random.Random) -> Iterator[Injected]:
    """Create a resource that names the target of one that has it."""
    member = rng.choice([each for each in env.members if each.namespace not in EXPENDABLE])
    injected = Injected(env.seconds(), frozenset({member.key}), "/".join(member.key))
    rival = replace(member, name=f"{member.name}-rival")
    _create(env, rival, member.name)
    yield injected
    _judge(env, member.key, [member, rival])
    env.retry(partial(env.kube.delete, token_path(*rival.key)), accept=(404,))


@contextmanager
def _two_at_once(env: Environment, rng: random.Random) -> Iterator[Injected]:
    """Create two resources that name one target, which does not exist, at the same time."""
    like = rng.choice([each for each in env.members if each.namespace not in EXPENDABLE])
    target = like.namespace, f"{like.name}-twin-{rng.randrange(10**6)}"
    twins = [replace(like, name=f"{target[1]}-{number}") for number in range(2)]
    injected = Injected(env.seconds(), frozenset({like.key}), "/".join(target))
    env.witness.claimed.add(target)
    with ThreadPoolExecutor(len(twins)) as pool:
        list(pool.map(lambda twin: _create(env, twin, target[1]), twins))
    yield injected
    _judge(env, target, twins)
    for twin in twins:
        env.retry(partial(env.kube.delete, token_path(*twin.key)), accept=(404,))


def _create(env: Environment, member: Member, target: str) -> None:
    obj = member.resource()
    obj["spec"]["target"]["name"] = target
    env.retry(partial(env.kube.create, token_path(member.namespace), obj), accept=(409,))


def _judge(env: Environment, target: Key, claimants: Sequence[Member]) -> None:
    """Record who has the target, as soon as exactly one has or after a minute."""
    deadline = env.seconds() + _SETTLED_SECONDS
    while not env.stop.wait(_POLL_SECONDS):
        claim = _look(env, target, claimants)
        if claim is None:
            return
        if claim.ready == {claim.owner} or env.seconds() > deadline:
            env.witness.claims.append(claim)
            return


def _look(env: Environment, target: Key, claimants: Sequence[Member]) -> Claim | None:
    """Return who has the target; None if a claimant was deleted meanwhile."""
    found: dict[str, Mapping[str, Any]] = {}
    for member in claimants:
        resource = env.retry(partial(env.kube.get, token_path(*member.key)))
        if resource is None:
            return None
        found[member.name] = resource
    secret = env.retry(partial(env.kube.get, secret_path(*target))) or {"metadata": {}}
    uid = (secret["metadata"].get("labels") or {}).get(RESOURCE_UID)
    return Claim(
        target,
        frozenset(name for name, resource in found.items() if _is_ready(resource)),
        next((name for name, each in found.items() if each["metadata"]["uid"] == uid), None),
    )


def _is_ready(resource: Mapping[str, Any]) -> bool:
    return bool(conditions(resource).get("Ready", {}).get("status") == "True")


FAULTS: Mapping[str, Inject] = {
    "other writers: target claimed by another": _claimed_by_another,
    "other writers: two claims at once": _two_at_once,
}
