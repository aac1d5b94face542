import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.controller.queue import Key, Timers, WorkQueue
from tests.support.builders import NOON, after


def key(name: str) -> Key:
    return ("shop", name)


A, B, C = key("a"), key("b"), key("c")


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def make_queue(**urgencies: float) -> WorkQueue:
    return WorkQueue(lambda one: (urgencies.get(one[1], 0.0),))


async def take_all(queue: WorkQueue) -> list[Key]:
    taken = []
    while len(queue):
        taken.append(await queue.take())
        queue.done(taken[-1])
    return taken


async def test_the_most_urgent_comes_first() -> None:
    queue = make_queue(a=3, b=1, c=2)
    for one in (A, B, C):
        queue.add(one)
    assert await take_all(queue) == [B, C, A]


async def test_the_equally_urgent_come_as_they_were_added() -> None:
    queue = make_queue()
    for one in (C, A, B):
        queue.add(one)
    assert await take_all(queue) == [C, A, B]


async def test_a_key_waits_only_once() -> None:
    queue = make_queue()
    for one in (A, B, A, A):
        queue.add(one)
    assert len(queue) == 2
    assert await take_all(queue) == [A, B]
    assert not queue.unfinished


async def test_a_key_that_waits_moves_forward_but_never_back() -> None:
    urgency = {A: 1.0, B: 2.0, C: 3.0}
    queue = WorkQueue(lambda one: (urgency[one],))
    for one in (A, B, C):
        queue.add(one)
    urgency |= {A: 9.0, C: 0.0}
    for one in (A, C):
        queue.add(one)
    assert len(queue) == 3
    assert await queue.take() == C
    urgency[C] = 0.0
    queue.done(C)
    queue.add(C)  # what is left of its earlier places must not count
    assert await take_all(queue) == [C, A, B]
    assert not queue.unfinished


async def test_a_key_in_hand_is_handed_out_again_but_only_afterwards_and_once() -> None:
    queue = make_queue()
    queue.add(A)
    assert await queue.take() == A
    queue.add(A)
    queue.add(A)
    other = asyncio.ensure_future(queue.take())
    await settle()
    assert not other.done()
    queue.done(A)
    assert await asyncio.wait_for(other, 5) == A
    assert len(queue) == 0
    queue.done(A)
    assert not queue.unfinished


async def test_a_worker_that_waits_gets_what_is_added() -> None:
    queue = make_queue()
    workers = [asyncio.ensure_future(queue.take()) for _ in range(2)]
    await settle()
    queue.add(A)
    queue.add(B)
    assert {await worker for worker in workers} == {A, B}


async def test_a_worker_that_gives_up_loses_nothing() -> None:
    queue = make_queue()
    worker = asyncio.ensure_future(queue.take())
    await settle()
    worker.cancel()
    await settle()
    queue.add(A)
    assert await queue.take() == A


async def test_idle_means_nothing_waits_and_nothing_is_in_hand() -> None:
    queue = make_queue()
    assert not queue.unfinished
    queue.add(A)
    assert queue.unfinished
    await queue.take()
    assert queue.unfinished
    queue.done(A)
    assert not queue.unfinished


async def test_an_empty_queue_drains_at_once() -> None:
    await make_queue().drain()


async def test_a_drain_waits_for_what_is_in_hand_and_hands_out_nothing_more() -> None:
    queue = make_queue()
    for one in (A, B, C):
        queue.add(one)
    await queue.take()
    await queue.take()
    worker, drain = asyncio.ensure_future(queue.take()), asyncio.ensure_future(queue.drain())
    assert await worker == C  # it asked before the drain
    workers = [asyncio.ensure_future(queue.take()) for _ in range(2)]
    for one in (A, B, C):
        assert not drain.done()
        queue.add(one)
        queue.done(one)
        await settle()
    await drain
    assert not any(worker.done() for worker in workers)
    for waiting in workers:
        waiting.cancel()


async def test_a_drain_does_not_wait_for_what_nobody_took() -> None:
    queue = make_queue()
    queue.add(A)
    await queue.drain()
    worker = asyncio.ensure_future(queue.take())
    await settle()
    assert not worker.done()
    worker.cancel()


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3)),
    st.lists(st.sampled_from("abcdef")),
)
def test_every_key_that_was_added_comes_once_in_order(
    urgencies: dict[str, int], added: list[str]
) -> None:
    async def run() -> list[Key]:
        queue = make_queue(**urgencies)
        for name in added:
            queue.add(key(name))
        return await take_all(queue)

    names = [name for _, name in asyncio.run(run())]
    assert names == sorted(dict.fromkeys(added), key=lambda name: urgencies.get(name, 0))


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Fixture:
    """Timers that run, their clock, and what was due."""

    def __init__(self) -> None:
        self.clock, self.due = Clock(), list[Key]()
        self.timers = Timers(self.due.append, self.clock)

    async def pass_to(self, moment: datetime) -> None:
        """Move the clock and have the timers look at it, as they do every few seconds."""
        self.clock.now = moment
        self.timers.set(key("look"), NOON)
        await settle()
        self.due.remove(key("look"))


@asynccontextmanager
async def running() -> AsyncIterator[Fixture]:
    fixture = Fixture()
    task = asyncio.ensure_future(fixture.timers.run())
    await settle()
    yield fixture
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_key_is_due_at_its_moment_and_not_before() -> None:
    async with running() as fixture:
        fixture.timers.set(A, after(5))
        await fixture.pass_to(after(4, 59))
        assert fixture.due == []
        await fixture.pass_to(after(5))
        assert fixture.due == [A]
        await fixture.pass_to(after(60))
        assert fixture.due == [A]


async def test_keys_are_due_in_the_order_of_their_moments() -> None:
    async with running() as fixture:
        for one, minutes in ((A, 3), (B, 1), (C, 2)):
            fixture.timers.set(one, after(minutes))
        await fixture.pass_to(after(10))
        assert fixture.due == [B, C, A]


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([5, 9], id="a later moment replaces an earlier one"),
        pytest.param([12, 9], id="an earlier moment replaces a later one"),
        pytest.param([9, 5, 9], id="a moment that comes back counts once"),
        pytest.param([9, 9], id="the same moment again changes nothing"),
        pytest.param([9, None, 9], id="a moment can be taken away and set again"),
    ],
)
async def test_the_moment_that_was_set_last_counts(moments: list[float | None]) -> None:
    async with running() as fixture:
        for minutes in moments:
            fixture.timers.set(A, None if minutes is None else after(minutes))
        await fixture.pass_to(after(8))
        assert fixture.due == []
        await fixture.pass_to(after(9))
        assert fixture.due == [A]
        await fixture.pass_to(after(20))
        assert fixture.due == [A]


async def test_a_key_without_a_moment_is_never_due() -> None:
    async with running() as fixture:
        fixture.timers.set(A, after(5))
        fixture.timers.set(A, None)
        fixture.timers.set(B, None)
        await fixture.pass_to(after(60))
        assert fixture.due == []


async def test_a_moment_that_has_passed_is_due_at_once() -> None:
    async with running() as fixture:
        fixture.timers.set(A, after(-5))
        await settle()
        assert fixture.due == [A]


async def test_an_earlier_moment_interrupts_the_sleep_for_a_later_one() -> None:
    async with running() as fixture:
        fixture.timers.set(A, after(5))
        await settle()
        fixture.timers.set(B, NOON)
        await settle()
        assert fixture.due == [B]


async def test_what_was_set_before_the_start_is_due_too() -> None:
    fixture = Fixture()
    fixture.timers.set(A, NOON)
    task = asyncio.ensure_future(fixture.timers.run())
    await settle()
    assert fixture.due == [A]
    task.cancel()
