import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from pinecone_token_operator.index import Index
from pinecone_token_operator.models import PineconeAccessToken, parse_resource
from pinecone_token_operator.work_queue import Timers, Urgency, WorkQueue

A, B, C = ("team", "a"), ("team", "b"), ("team", "c")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def by_name(key: tuple[str, str]) -> Urgency:
    return (float(ord(key[1])),)


async def test_the_most_urgent_comes_first_and_each_once() -> None:
    queue = WorkQueue(by_name)
    for key in (C, A, B, A):
        queue.add(key)
    assert len(queue) == 3
    assert [await queue.take() for _ in range(3)] == [A, B, C]
    assert not len(queue)


async def test_what_is_in_hand_is_handed_out_again_only_after_it_was_given_back() -> None:
    queue = WorkQueue(by_name)
    queue.add(A)
    assert await queue.take() == A
    queue.add(A)
    assert not len(queue)
    queue.done(A)
    assert len(queue) == 1
    assert await queue.take() == A
    queue.done(A)
    assert queue.idle


async def test_a_drained_queue_hands_out_nothing_and_waits_for_what_is_in_hand() -> None:
    queue = WorkQueue(by_name)
    queue.add(A)
    queue.add(B)
    assert await queue.take() == A
    draining = asyncio.create_task(queue.drain())
    taking = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not draining.done()
    queue.done(A)
    await draining
    assert not taking.done()
    taking.cancel()


async def test_timers_call_at_their_moment_and_the_last_setting_counts() -> None:
    clock = [NOW]
    called: list[tuple[str, str]] = []
    timers = Timers(called.append, lambda: clock[0])
    timers.set(A, NOW + timedelta(hours=1))
    timers.set(A, NOW)
    timers.set(B, NOW)
    timers.set(B, None)
    timers.set(C, NOW + timedelta(hours=2))
    running = asyncio.create_task(timers.run())
    await asyncio.sleep(0)
    assert called == [A]
    clock[0] = NOW + timedelta(hours=3)
    timers.set(B, NOW + timedelta(minutes=1))  # the nearest: it wakes the timers
    for _ in range(5):  # turns of the event loop
        await asyncio.sleep(0)
    assert called == [A, B, C]
    running.cancel()


def one(name: str, created: str, target: str | None = None) -> PineconeAccessToken:
    return parse_resource(
        {
            "metadata": {
                "namespace": "team",
                "name": name,
                "uid": name,
                "creationTimestamp": created,
            },
            "spec": {
                "credentialsSecretRef": {"name": "account"},
                "target": {"name": target} if target else {},
            },
        }
    )


def test_a_secret_is_wanted_as_long_as_a_resource_names_it() -> None:
    index = Index()
    index.put(one("a", "2026-11-25T12:00:00Z"))
    index.put(one("b", "2026-11-25T12:00:00Z"))
    assert set(index.referring_to(("team", "account"))) == {A, B}
    index.remove(A)
    assert index.is_wanted(("team", "account"))
    assert not index.is_wanted(("team", "a"))
    index.remove(B)
    assert not index.is_wanted(("team", "account"))
    assert not len(index)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(one("z", "2026-11-25T11:00:00Z", "a"), "z", id="the older one"),
        pytest.param(one("0", "2026-11-25T12:00:00Z", "a"), "0", id="of one age, by name"),
        pytest.param(one("z", "2026-11-25T13:00:00Z", "a"), None, id="no younger one"),
        pytest.param(one("z", "2026-11-25T11:00:00Z"), None, id="none with another target"),
    ],
)
def test_the_target_belongs_to(other: PineconeAccessToken, expected: str | None) -> None:
    index = Index()
    asked = one("a", "2026-11-25T12:00:00Z")
    index.put(asked)
    index.put(other)
    assert index.older_claimant(asked) == expected
