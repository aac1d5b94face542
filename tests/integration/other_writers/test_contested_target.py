"""Another writer changes what a token depends on, at each change of ours.

Right is: repairs and exchanges back off, and a condition names the other writer where it is known.
"""

import contextlib
import time
from collections.abc import Callable

import pytest

from tests.support.api import Kube, KubeError, eventually, secret_path
from tests.support.encoding import encode
from tests.support.operator_process import StartOperator
from tests.support.token_endpoint import TokenEndpoint

# Without damping, some ten changes a second.
_SECONDS = 4.0
_MOST_SECONDS = 40.0
# Five at once, and then after 2, 4, 8 s, and what a slow machine adds.
_MOST = 9
# The first one, and those until a token stays in memory because it is fought over.
_UNTIL_KEPT = 3


Undo = Callable[[Kube, str], bool]
"""Undoes the operator's latest change in a namespace; returns False if there is none."""


@pytest.fixture
def served(kube: Kube, namespace: str, start_operator: StartOperator) -> None:
    """Start an operator and a resource that has its token."""
    start_operator()
    kube.create_token(namespace)
    kube.until(namespace, "Ready", "TokenValid")


def fight(kube: Kube, namespace: str, act: Callable[[], bool]) -> tuple[int, str]:
    """Act at each change of the operator's, for a while and until it reports that.

    Returns:
        How often it acted, and what the condition said at last.
    """
    begin, times, message = time.monotonic(), 0, ""
    while time.monotonic() < begin + (_SECONDS if message else _MOST_SECONDS):
        with contextlib.suppress(KubeError):  # the operator was faster
            times += act()
        message = contested_message(kube, namespace) or message
        time.sleep(0.02)
    return times, message


def remove_token(kube: Kube, namespace: str) -> bool:
    if "access_token" not in (kube.secret(namespace, "search") or {}):
        return False
    kube.patch(secret_path(namespace, "search"), {"data": {"access_token": None}})
    return True


def overwrite_token(kube: Kube, namespace: str) -> bool:
    if (kube.secret(namespace, "search") or {}).get("access_token") == "theirs":
        return False
    kube.patch(secret_path(namespace, "search"), {"data": {"access_token": encode("theirs")}})
    return True


def delete_target(kube: Kube, namespace: str) -> bool:
    kube.delete(secret_path(namespace, "search"))
    return True


def strip(part: str) -> Undo:
    def undo(kube: Kube, namespace: str) -> bool:
        if not (kube.secret_object(namespace, "search") or {})["metadata"].get(part):
            return False
        kube.patch(secret_path(namespace, "search"), {"metadata": {part: None}})
        return True

    return undo


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("undo", "words"),
    [
        pytest.param(remove_token, "the last writer was unknown", id="token removed"),
        pytest.param(overwrite_token, "field manager tests", id="token overwritten"),
        pytest.param(delete_target, "quick succession", id="target deleted"),
        pytest.param(strip("labels"), "the last writer was unknown", id="labels removed"),
        pytest.param(strip("annotations"), "the last writer was unknown", id="annotations removed"),
    ],
)
def test_change_that_is_undone_is_repeated_ever_more_rarely(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, undo: Undo, words: str
) -> None:
    times, message = fight(kube, namespace, lambda: undo(kube, namespace))
    assert 5 <= times <= _MOST
    assert endpoint.exchanges <= _UNTIL_KEPT
    assert words in message
    # The fight is over: the token comes back by itself.
    kube.until(namespace, "Ready", "TokenValid", timeout=30)


@pytest.mark.usefixtures("served")
def test_restored_old_secret_costs_few_exchanges(
    kube: Kube, endpoint: TokenEndpoint, namespace: str
) -> None:
    old = kube.secret_object(namespace, "search") or {}
    for field in ("resourceVersion", "uid", "creationTimestamp", "managedFields"):
        old["metadata"].pop(field)
    time.sleep(1.1)  # times are in whole seconds: the next token is a later one
    kube.patch(secret_path(namespace, "account"), {"data": {"client_id": encode("new")}})
    kube.until(namespace, "Refreshed", "Succeeded")
    eventually(lambda: endpoint.exchanges == 2, "the credentials give a new token")

    def restore() -> bool:
        found = kube.secret_object(namespace, "search") or {}
        if found.get("data") == old["data"]:
            return False
        kube.replace(secret_path(namespace, "search"), old)
        return True

    times, message = fight(kube, namespace, restore)
    assert 5 <= times <= _MOST + 1
    assert endpoint.exchanges <= _MOST
    assert "field manager tests" in message


def test_two_operators_with_two_audiences_do_not_race(
    kube: Kube, endpoint: TokenEndpoint, namespace: str, start_operator: StartOperator
) -> None:
    start_operator()
    start_operator(options=("--audience", "https://api.pinecone.io"))
    kube.create_token(namespace)

    _, message = fight(kube, namespace, lambda: False)
    assert endpoint.exchanges <= 2 * _MOST
    assert "another instance of this operator" in message


@pytest.mark.usefixtures("served")
def test_two_writers_of_the_credentials_cost_few_exchanges(
    kube: Kube, endpoint: TokenEndpoint, namespace: str
) -> None:
    sources = [encode("one"), encode("two")]

    def alternate() -> bool:
        sources.reverse()
        kube.patch(secret_path(namespace, "account"), {"data": {"client_id": sources[0]}})
        return True

    times, message = fight(kube, namespace, alternate)
    assert times > _MOST
    assert 5 <= endpoint.exchanges <= _MOST + 1
    assert "the credentials changed" in message
    # The one that stays is used in the end, and the fight is over after half a quiet minute.
    kube.until(namespace, "Refreshed", "Succeeded", timeout=90)


def contested_message(kube: Kube, namespace: str) -> str:
    """Return what the condition says of the other writer; empty if it says nothing of one."""
    refreshed = kube.condition(namespace, "search", "Refreshed") or {}
    return str(refreshed["message"]) if refreshed.get("reason") == "TargetContested" else ""
