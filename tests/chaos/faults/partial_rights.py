"""Faults of rights and admission in a single namespace."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from tests.chaos.environment import Environment
from tests.chaos.faults.injection import Inject, Injected
from tests.chaos.population import EXPENDABLE, NAMESPACES
from tests.support.admission import (
    DENYING_POLICY,
    POLICIES,
    POLICY_BINDINGS,
    WEBHOOKS,
    dead_webhook_object,
    probe,
    restricted_to,
)
from tests.support.api import KubeError

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PLURALS = {"Role": "roles", "RoleBinding": "rolebindings"}
_DENIALS = (403, 422, 500)

Lose = Callable[[Environment, str], AbstractContextManager[None]]


def _in_one_namespace(lose: Lose) -> Inject:
    @contextmanager
    def inject(env: Environment, rng: random.Random) -> Iterator[Injected]:
        # One that another fault may delete has rights of its own to lose.
        namespace = rng.choice([each for each in NAMESPACES if each not in EXPENDABLE])
        affects = frozenset(each.key for each in env.members if each.namespace == namespace)
        injected = Injected(env.seconds(), affects, namespace)
        with lose(env, namespace):
            yield injected

    return inject


def grant(env: Environment, namespace: str, *kinds: str) -> None:
    """Create the operator's Roles and RoleBindings in a namespace, where they are missing."""
    for obj in env.rights.get(namespace, ()):
        if not kinds or obj["kind"] in kinds:
            create = partial(env.kube.create, _collection(obj), obj)
            env.retry(create, accept=(409,))


@contextmanager
def _without_bindings(env: Environment, namespace: str) -> Iterator[None]:
    for obj in env.rights[namespace]:
        if obj["kind"] == "RoleBinding":
            env.retry(partial(env.kube.delete, _path(obj)), accept=(404,))
    try:
        yield
    finally:
        grant(env, namespace, "RoleBinding")


@contextmanager
def _without_get(env: Environment, namespace: str) -> Iterator[None]:
    roles = [obj for obj in env.rights[namespace] if obj["kind"] == "Role"]
    for obj in roles:
        rules = [_without_verb(rule, "secrets", "get") for rule in obj["rules"]]
        env.retry(partial(env.kube.patch, _path(obj), {"rules": rules}))
    try:
        yield
    finally:
        for obj in roles:
            env.retry(partial(env.kube.patch, _path(obj), {"rules": obj["rules"]}))


def _without_verb(rule: Mapping[str, Any], resource: str, verb: str) -> Mapping[str, Any]:
    if resource not in rule["resources"]:
        return rule
    return {**rule, "verbs": [each for each in rule["verbs"] if each != verb]}


@contextmanager
def _refused(env: Environment, namespace: str) -> Iterator[None]:
    name = f"chaos-{namespace}"
    binding = {
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": restricted_to(namespace),
        },
    }
    objects = (
        (POLICIES, {"metadata": {"name": name}, "spec": DENYING_POLICY}),
        (POLICY_BINDINGS, binding),
    )
    with _installed(env, namespace, objects):
        yield


@contextmanager
def _webhook_down(env: Environment, namespace: str) -> Iterator[None]:
    with _installed(env, namespace, ((WEBHOOKS, dead_webhook_object(namespace)),)):
        yield


@contextmanager
def _installed(
    env: Environment, namespace: str, objects: tuple[tuple[str, Mapping[str, Any]], ...]
) -> Iterator[None]:
    """Create what denies writes of Secrets, and wait until it does, and until it does no more."""
    try:
        for path, obj in objects:
            env.retry(partial(env.kube.create, path, obj), accept=(409,))
        env.wait_until(partial(_is_denied, env, namespace), "writes are denied")
        yield
    finally:
        for path, obj in reversed(objects):
            delete = partial(env.kube.delete, f"{path}/{obj['metadata']['name']}")
            env.retry(delete, accept=(404,))
    env.wait_until(lambda: not _is_denied(env, namespace), "writes are allowed")


def _is_denied(env: Environment, namespace: str) -> bool:
    try:
        probe(env.kube, namespace)
    except KubeError as error:
        if error.status in _DENIALS:
            return True
        raise
    return False


def _collection(obj: Mapping[str, Any]) -> str:
    return f"{_RBAC}/namespaces/{obj['metadata']['namespace']}/{_PLURALS[obj['kind']]}"


def _path(obj: Mapping[str, Any]) -> str:
    return f"{_collection(obj)}/{obj['metadata']['name']}"


FAULTS: Mapping[str, Inject] = {
    "partial rights: RoleBindings removed": _in_one_namespace(_without_bindings),
    "partial rights: Secrets not readable": _in_one_namespace(_without_get),
    "partial rights: Secrets refused by a policy": _in_one_namespace(_refused),
    "partial rights: webhook down": _in_one_namespace(_webhook_down),
}
