"""Rule: one failure stays in its place.

A namespace, a Secret or a resource that cannot be handled never stops anything else, neither while
the operator runs nor when it starts.
"""

from collections.abc import Callable

import pytest

from tests.life.connection import ListFault
from tests.life.lab import HOUR, MINUTE, Lab
from tests.life.paths import secrets_path, tokens_path
from tests.life.rights import Permission

GOOD, BAD, OTHER = "team-a", "team-b", "team-c"


def fail_lists(lab: Lab, path: str, status: int) -> None:
    lab.connection.list_faults[path] = [ListFault(status)] * 100_000


FAILURES: dict[str, Callable[[Lab], None]] = {
    "no permissions": lambda lab: lab.api.rights.revoked.add(Permission(namespace=BAD)),
    "no list of Secrets": lambda lab: lab.api.rights.revoked.update(
        {Permission("list", "secrets", BAD), Permission("watch", "secrets", BAD)}
    ),
    "no list of resources": lambda lab: lab.api.rights.revoked.update(
        {Permission(verb, "pineconeaccesstokens", BAD) for verb in ("list", "watch")}
    ),
    "lists of resources fail": lambda lab: fail_lists(lab, tokens_path(BAD), 500),
    "lists of Secrets fail": lambda lab: fail_lists(lab, secrets_path(BAD), 500),
}


@pytest.fixture
def served(make_lab: Callable[..., Lab]) -> Lab:
    """Return a lab with three namespaces, each with a resource `a` that is ready."""
    lab = make_lab(GOOD, BAD, OTHER)
    for namespace in lab.namespaces:
        lab.create("a", namespace)
    for namespace in lab.namespaces:
        lab.wait_until_ready("a", namespace)
    return lab


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("failure", FAILURES)
def test_other_namespaces_are_served_when_one_fails(
    served: Lab, failure: str, *, restarted: bool
) -> None:
    FAILURES[failure](served)
    if restarted:
        served.crash()
    served.run(MINUTE)
    for namespace in (GOOD, OTHER):
        served.create("late", namespace)
    served.run(MINUTE)

    healthy = [(name, where) for name in ("a", "late") for where in (GOOD, OTHER)]
    assert all(served.is_ready(*each) for each in healthy)
    for _ in served.passing(HOUR, 2 * MINUTE):
        assert all(served.is_fresh(*each) for each in healthy)


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("failure", FAILURES)
def test_namespace_is_served_again_when_it_recovers(
    served: Lab, failure: str, *, restarted: bool
) -> None:
    FAILURES[failure](served)
    if restarted:
        served.crash()
    served.run(HOUR)
    served.api.rights.revoked.clear()
    served.connection.list_faults.clear()
    served.run(15 * MINUTE)
    served.create("late", BAD)
    served.run(MINUTE)

    assert served.is_fresh("a", BAD)
    assert served.is_ready("a", BAD)
    assert served.is_ready("late", BAD)


@pytest.mark.parametrize(
    "permission", [Permission("get", "secrets", BAD), Permission("patch", "secrets", BAD)], ids=str
)
def test_others_are_refreshed_on_time_when_one_is_blocked(
    served: Lab, permission: Permission
) -> None:
    served.api.rights.revoked.add(permission)

    for _ in served.passing(HOUR, 2 * MINUTE):
        assert served.is_fresh("a", GOOD)
        assert served.is_fresh("a", OTHER)
