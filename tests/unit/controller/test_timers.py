"""Timers, with a clock that the tests set."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from pinecone_token_operator.controller.timers import Timers
from pinecone_token_operator.keys import ObjectRef
from tests.support.builders import NOON, after
from tests.support.controller import A, B, C, ref, settle
from tests.support.watching import until


class Clock:
    """A clock that stops until it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Fixture:
    """Timers that run, their clock, and what was due."""

    def __init__(self) -> None:
        self.clock, self.due = Clock(), list[ObjectRef]()
        self.timers = Timers(self.due.append, self.clock)

    async def pass_to(self, time: datetime) -> None:
        """Move the clock and have the timers look at it, as they do every few seconds."""
        self.clock.now = time
        self.timers.set(ref("look"), NOON)
        await until(lambda: ref("look") in self.due, lambda: "the timers do not run")
        self.due.remove(ref("look"))

    async def wait_for(self, count: int) -> None:
        """Wait until so many references were due."""
        await until(lambda: len(self.due) >= count, lambda: f"{len(self.due)} were due")


@asynccontextmanager
async def running() -> AsyncIterator[Fixture]:
    fixture = Fixture()
    task = asyncio.ensure_future(fixture.timers.run())
    await settle()
    yield fixture
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_timers_call_due_at_the_time_and_not_before() -> None:
    async with running() as fixture:
        fixture.timers.set(A, after(5))
        await fixture.pass_to(after(4, 59))
        assert fixture.due == []
        await fixture.pass_to(after(5))
        assert fixture.due == [A]
        await fixture.pass_to(after(60))
        assert fixture.due == [A]


async def test_timers_call_due_in_order_of_time() -> None:
    async with running() as fixture:
        for one, minutes in ((A, 3), (B, 1), (C, 2)):
            fixture.timers.set(one, after(minutes))
        await fixture.pass_to(after(10))
        assert fixture.due == [B, C, A]


@pytest.mark.parametrize(
    "times",
    [
        pytest.param([5, 9], id="later replaces earlier"),
        pytest.param([12, 9], id="earlier replaces later"),
        pytest.param([9, 5, 9], id="same time set again counts once"),
        pytest.param([9, 9], id="same time twice"),
        pytest.param([9, None, 9], id="removed and set again"),
    ],
)
async def test_timers_use_the_time_that_was_set_last(times: list[float | None]) -> None:
    async with running() as fixture:
        for minutes in times:
            fixture.timers.set(A, None if minutes is None else after(minutes))
        await fixture.pass_to(after(8))
        assert fixture.due == []
        await fixture.pass_to(after(9))
        assert fixture.due == [A]
        await fixture.pass_to(after(20))
        assert fixture.due == [A]


async def test_timers_never_call_due_when_the_time_was_removed() -> None:
    async with running() as fixture:
        fixture.timers.set(A, after(5))
        fixture.timers.set(A, None)
        fixture.timers.set(B, None)
        await fixture.pass_to(after(60))
        assert fixture.due == []


async def test_timers_call_due_at_once_when_the_time_has_passed() -> None:
    async with running() as fixture:
        fixture.timers.set(A, after(-5))
        await settle()
        assert fixture.due == [A]


async def test_timers_wake_up_when_an_earlier_time_is_set() -> None:
    async with running() as fixture:
        fixture.timers.set(A, after(5))
        await settle()
        fixture.timers.set(B, NOON)
        await settle()
        assert fixture.due == [B]


async def test_timers_call_due_for_times_set_before_the_start() -> None:
    fixture = Fixture()
    fixture.timers.set(A, NOON)
    task = asyncio.ensure_future(fixture.timers.run())
    await settle()
    assert fixture.due == [A]
    task.cancel()


async def test_timers_memory_is_bounded_when_times_are_replaced() -> None:
    fixture = Fixture()
    measured = Timers(fixture.due.append, fixture.clock)
    refs = [ref(f"r{number}") for number in range(100)]
    tracemalloc.start()
    try:
        for round_ in range(20):
            _set_all(measured, refs, round_)
        before, _ = tracemalloc.get_traced_memory()
        for round_ in range(20, 1020):
            _set_all(measured, refs, round_)
        after_, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Each of the 100,000 replaced times would take more than 100 bytes.
    assert after_ - before < 500_000


def _set_all(timers: Timers, refs: list[ObjectRef], round_: int) -> None:
    for one in refs:
        timers.set(one, after(60, round_))


async def test_timers_lose_nothing_when_times_are_replaced_often() -> None:
    refs = [ref(f"r{number}") for number in range(400)]
    async with running() as fixture:
        for round_ in range(9):  # in the last one, the heap is rebuilt for the last time
            for number, one in enumerate(refs):
                fixture.timers.set(one, after(60 - round_, 400 - number))
        fixture.timers.set(refs[7], None)
        await fixture.pass_to(after(52))
        assert fixture.due == []
        await fixture.pass_to(after(70))
        await fixture.wait_for(399)
        assert fixture.due == [*reversed(refs[8:]), *reversed(refs[:7])]
        await fixture.pass_to(after(90))
        assert len(fixture.due) == 399


async def test_timers_release_few_together_and_many_in_batches() -> None:
    few = [ref(f"r{number:03}") for number in range(7)]
    many = [ref(f"r{number:03}") for number in range(100)]
    async with running() as fixture:
        for one in few:
            fixture.timers.set(one, after(5))
        await fixture.pass_to(after(5))
        assert fixture.due == few
        fixture.due.clear()
        for one in many:
            fixture.timers.set(one, after(10))
        await fixture.pass_to(after(10))
        assert 0 < len(fixture.due) < 20
        await fixture.wait_for(100)
        assert fixture.due == many


async def test_timers_release_nothing_that_was_replaced_meanwhile() -> None:
    refs = [ref(f"r{number:03}") for number in range(100)]
    async with running() as fixture:
        for one in refs:
            fixture.timers.set(one, after(5))
        await fixture.pass_to(after(5))
        assert refs[-1] not in fixture.due
        fixture.timers.set(refs[-1], None)
        fixture.timers.set(refs[-2], after(9))
        await fixture.wait_for(98)
        await settle()
        assert fixture.due == refs[:-2]
        await fixture.pass_to(after(9))
        assert fixture.due == refs[:-1]
