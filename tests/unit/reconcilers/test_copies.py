"""How copies are counted, and what of it the status lists."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinecone_token_operator.api.conditions import Problem, Reason
from pinecone_token_operator.policies.input import Attempts
from pinecone_token_operator.reconcilers.copies import MAX_LISTED, Copies, count_copies
from pinecone_token_operator.reconcilers.known_target import KnownTarget
from tests.support.builders import NOON, after, make_token
from tests.support.copies import (
    BLOCKED,
    TARGET,
    holding,
    make_copies_assignment,
    make_copies_known,
    make_copies_outcome,
)

LEFT = Problem(Reason.API_SERVER_ERROR, "the API server failed to delete Secret c/copy")
BASIS = make_copies_assignment(["b"])
(SPEC,) = BASIS.specs
MISSING = KnownTarget(missing=True)
OLDER = holding(SPEC, make_token(refreshed_at=after(-10), expires_at=after(20)))


def counted(changed: Mapping[str, KnownTarget], rivals: Mapping[str, str] | None = None) -> Copies:
    """Return the copies in the namespaces a and b."""
    assignment = make_copies_assignment(["a", "b"], rivals=rivals)
    known = make_copies_known(assignment, changed)
    return count_copies(make_copies_outcome(assignment, known), {}, NOON)


def failed(one: KnownTarget) -> KnownTarget:
    """Return the same after a write was refused."""
    basis = make_copies_known(BASIS, {"b": one}).target_input(SPEC, BASIS).basis
    return KnownTarget(
        target=one.target, times=one.times, attempts=Attempts(1, after(1), BLOCKED, basis)
    )


def test_copies_are_ready_with_the_current_token() -> None:
    assert counted({}) == Copies(2, 2, {})


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        pytest.param(failed(MISSING), Reason.TARGET_NOT_WRITABLE, id="none, and refused"),
        pytest.param(failed(OLDER), Reason.TARGET_NOT_WRITABLE, id="an older one, and refused"),
        pytest.param(
            KnownTarget(unreadable=LEFT, had_token=True), Reason.API_SERVER_ERROR, id="unreadable"
        ),
    ],
)
def test_copy_counts_as_failed_for_its_own_reason(known: KnownTarget, reason: Reason) -> None:
    copies = counted({"b": known})
    assert (copies.matched, copies.ready) == (2, 1)
    assert {name: one.reason for name, one in copies.failed.items()} == {"b": reason}


def test_copy_with_an_older_token_is_neither_ready_nor_failed() -> None:
    assert counted({"b": OLDER}) == Copies(2, 1, {}, pending=1)


def test_target_of_a_rival_is_failed_though_it_holds_a_token() -> None:
    copies = counted({}, {"b": "PineconeAccessToken b/own"})
    assert (copies.matched, copies.ready) == (2, 1)
    assert copies.failed["b"].reason is Reason.TARGET_CONFLICT


def test_lack_of_any_token_is_no_failure_of_each_copy() -> None:
    assert counted({"a": MISSING, "b": MISSING}) == Copies(2, 0, {}, pending=2)


def test_obstacle_is_a_failure_without_any_token() -> None:
    copies = counted({"a": MISSING, "b": MISSING}, {"b": "PineconeAccessToken b/own"})
    assert list(copies.failed) == ["b"]
    assert copies.pending == 1


def test_copy_that_could_not_be_removed_is_failed() -> None:
    assignment = make_copies_assignment(["a"])
    outcome = make_copies_outcome(assignment, make_copies_known(assignment))
    assert count_copies(outcome, {("c", TARGET): LEFT}, NOON) == Copies(1, 1, {"c": LEFT})


def test_status_without_failures_lists_none() -> None:
    assert Copies(3, 3, {}).status() == {"summary": "3/3", "matched": 3, "ready": 3, "failed": []}


def test_status_lists_failures_by_namespace() -> None:
    status = Copies(3, 1, {"b": BLOCKED, "a": LEFT}).status()
    assert [one["namespace"] for one in status["failed"]] == ["a", "b"]
    assert status["failed"][1]["reason"] == "TargetNotWritable"
    assert status["failed"][1]["message"] == BLOCKED.message
    assert "moreFailed" not in status


@pytest.mark.parametrize(
    ("count", "more"),
    [
        pytest.param(MAX_LISTED, None, id="as many as are listed"),
        pytest.param(MAX_LISTED + 1, 1, id="one more"),
        pytest.param(1000, 1000 - MAX_LISTED, id="many more"),
    ],
)
def test_status_counts_failures_beyond_the_listed(count: int, more: int | None) -> None:
    status = Copies(count, 0, {f"team-{number:04}": BLOCKED for number in range(count)}).status()
    assert len(status["failed"]) == MAX_LISTED
    assert status.get("moreFailed") == more


@given(st.integers(0, 300), st.integers(0, 2000))
@example(50, 2000)
def test_status_never_grows_beyond_a_few_kilobytes(count: int, length: int) -> None:
    problem = Problem(Reason.TARGET_NOT_WRITABLE, "x" * length)
    names = [f"{number:063}" for number in range(count)]  # the longest that a namespace has
    status = Copies(count, 0, dict.fromkeys(names, problem)).status()
    assert len(json.dumps(status, ensure_ascii=False).encode()) < 30_000
    assert sum(len(one["message"]) for one in status["failed"]) <= 3000
