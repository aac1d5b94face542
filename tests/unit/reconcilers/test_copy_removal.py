"""When a copy is deleted, when it is left alone, and how a failed deletion is retried."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import pytest

from pinecone_token_operator.api.conditions import Reason
from pinecone_token_operator.env import Env
from pinecone_token_operator.errors import ApiError
from pinecone_token_operator.keys import SecretKey
from pinecone_token_operator.kube.interfaces import RequestOptions
from pinecone_token_operator.reconcilers.copy_removal import CopyRemoval, Leaving, removal_problem
from pinecone_token_operator.targets.target import Target
from tests.support.builders import NOON, UID, after
from tests.support.copies import TARGET, make_copies_assignment, make_copies_known

KEY = ("a", TARGET)
NOT_FOUND = ApiError(404, "NotFound", "it does not exist")
CONFLICT = ApiError(409, "Conflict", "the precondition failed")
FORBIDDEN = ApiError(403, "Forbidden", "no delete on secrets")
DOWN = ApiError(503, "ServiceUnavailable", "try later")


class Answers:
    """An API server that answers each kind of request as it is told to, the last answer forever."""

    def __init__(self, **answers: Sequence[dict[str, Any] | ApiError]) -> None:
        self._answers = {method: list(given) for method, given in answers.items()}
        self.requests: list[str] = []
        self.bodies: list[Any] = []

    async def request(
        self, method: str, path: str, **options: Unpack[RequestOptions]
    ) -> dict[str, Any]:
        self.requests.append(method)
        self.bodies.append(options.get("body"))
        assert path == f"/api/v1/namespaces/{KEY[0]}/secrets/{KEY[1]}"
        answers = self._answers[method]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, ApiError):
            raise answer
        return answer


def secret(uid: str = UID, version: str = "8") -> dict[str, Any]:
    """Return a copy as the API server has it."""
    labels = {"pinecone.token-operator.dev/resource-uid": uid}
    metadata = {"namespace": KEY[0], "name": KEY[1], "uid": "5ec", "resourceVersion": version}
    return {"type": "Opaque", "metadata": {**metadata, "labels": labels}}


def seen() -> Target:
    """Return the copy as it was seen last."""
    assignment = make_copies_assignment(["a"])
    target = make_copies_known(assignment).targets[KEY].target
    assert target is not None
    return target


def remove(api: Answers, target: Target | None, *, unwanted: bool = True) -> None:
    asyncio.run(CopyRemoval(api).remove(KEY, UID, target, lambda: unwanted))


def version(body: Any) -> str:
    return str(body["preconditions"]["resourceVersion"])


def test_copy_is_deleted_exactly_as_it_was_seen() -> None:
    api = Answers(DELETE=[{}])
    remove(api, seen())
    assert api.requests == ["DELETE"]
    assert api.bodies[0]["preconditions"] == {"uid": "5ec", "resourceVersion": "7"}


def test_copy_is_read_first_when_it_was_not_seen() -> None:
    api = Answers(GET=[secret()], DELETE=[{}])
    remove(api, None)
    assert api.requests == ["GET", "DELETE"]
    assert version(api.bodies[1]) == "8"


@pytest.mark.parametrize(
    ("found", "unwanted"),
    [
        pytest.param(secret(uid="another"), True, id="of another resource"),
        pytest.param(secret(uid=""), True, id="of nobody"),
        pytest.param(secret(), False, id="wanted again"),
        pytest.param(NOT_FOUND, True, id="gone"),
    ],
)
def test_secret_is_left_alone(found: dict[str, Any] | ApiError, *, unwanted: bool) -> None:
    api = Answers(GET=[found])
    remove(api, None, unwanted=unwanted)
    assert api.requests == ["GET"]


def test_copy_changed_meanwhile_is_read_again() -> None:
    api = Answers(GET=[secret(version="9")], DELETE=[CONFLICT, {}])
    remove(api, seen())
    assert api.requests == ["DELETE", "GET", "DELETE"]
    assert version(api.bodies[2]) == "9"


def test_copy_taken_over_meanwhile_is_left_alone() -> None:
    api = Answers(GET=[secret(uid="another")], DELETE=[CONFLICT])
    remove(api, seen())
    assert api.requests == ["DELETE", "GET"]


def test_copy_that_keeps_changing_is_given_up_for_now() -> None:
    api = Answers(GET=[secret()], DELETE=[CONFLICT])
    with pytest.raises(ApiError) as caught:
        remove(api, None)
    assert caught.value.conflict
    assert api.requests.count("DELETE") == 4


def test_copy_deleted_by_someone_else_is_removed() -> None:
    remove(Answers(DELETE=[NOT_FOUND]), seen())


@pytest.mark.parametrize(
    ("error", "reason", "part"),
    [
        pytest.param(FORBIDDEN, Reason.ACCESS_DENIED, "lacks delete on secrets", id="forbidden"),
        pytest.param(DOWN, Reason.API_SERVER_ERROR, "failed to delete Secret a/", id="down"),
    ],
)
def test_problem_says_why_a_copy_is_still_there(error: ApiError, reason: Reason, part: str) -> None:
    problem = removal_problem(error, KEY)
    assert problem.reason is reason
    assert part in problem.message


# Several copies, and retries


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def env(self) -> Env:
        return Env(lambda: self.now, lambda: 0.0, random.Random(1))


def leaving(api: Answers, clock: Clock) -> Leaving:
    made = Leaving(CopyRemoval(api), clock.env())
    made.add(KEY, seen())
    return made


def remove_all(one: Leaving, is_unwanted: Callable[[SecretKey], bool] = lambda _: True) -> None:
    asyncio.run(one.remove_all(UID, is_unwanted))


def test_removed_copies_leave_nothing_to_retry() -> None:
    one = leaving(Answers(DELETE=[{}]), Clock())
    remove_all(one)
    assert (one.unremoved, one.retry_at) == ({}, None)


def test_failed_removal_is_reported_and_retried_with_backoff() -> None:
    clock = Clock()
    api = Answers(DELETE=[DOWN], GET=[secret()])
    one = leaving(api, clock)
    remove_all(one)
    assert one.unremoved[KEY].reason is Reason.API_SERVER_ERROR
    assert one.retry_at is not None
    assert NOON < one.retry_at <= after(seconds=2)
    delays = []
    for _ in range(20):
        clock.now = one.retry_at
        remove_all(one)
        delays.append(one.retry_at - clock.now)
    assert max(delays[:3]) < max(delays[10:])


def test_retry_reads_the_copy_again() -> None:
    api = Answers(DELETE=[DOWN, {}], GET=[secret(version="9")])
    one = leaving(api, Clock())
    remove_all(one)
    remove_all(one)
    assert api.requests == ["DELETE", "GET", "DELETE"]
    assert version(api.bodies[2]) == "9"
    assert (one.unremoved, one.retry_at) == ({}, None)


def test_copy_wanted_again_needs_no_retry() -> None:
    one = leaving(Answers(DELETE=[DOWN], GET=[secret()]), Clock())
    remove_all(one)
    remove_all(one, lambda _: False)
    assert (one.unremoved, one.retry_at) == ({}, None)
