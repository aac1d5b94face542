import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from pinecone_token_operator.controller.workers import WorkQueue
from pinecone_token_operator.keys import ObjectRef
from tests.support.controller import A, B, C, ref, settle


def make_queue(**urgencies: float) -> WorkQueue:
    return WorkQueue(lambda one: (urgencies.get(one.name, 0.0),), time.monotonic)


async def take_all(queue: WorkQueue) -> list[ObjectRef]:
    taken = []
    while len(queue):
        taken.append(await queue.take())
        queue.done(taken[-1])
    return taken


async def test_queue_takes_the_most_urgent_first() -> None:
    queue = make_queue(a=3, b=1, c=2)
    for one in (A, B, C):
        queue.add(one)
    assert await take_all(queue) == [B, C, A]


async def test_queue_takes_equally_urgent_in_order_of_arrival() -> None:
    queue = make_queue()
    for one in (C, A, B):
        queue.add(one)
    assert await take_all(queue) == [C, A, B]


async def test_queue_holds_a_reference_only_once() -> None:
    queue = make_queue()
    for one in (A, B, A, A):
        queue.add(one)
    assert len(queue) == 2
    assert await take_all(queue) == [A, B]
    assert not queue.unfinished


async def test_queue_moves_a_waiting_reference_forward_only() -> None:
    urgency = {A: 1.0, B: 2.0, C: 3.0}
    queue = WorkQueue(lambda one: (urgency[one],), time.monotonic)
    for one in (A, B, C):
        queue.add(one)
    urgency |= {A: 9.0, C: 0.0}
    for one in (A, C):
        queue.add(one)
    assert len(queue) == 3
    assert await queue.take() == C
    urgency[C] = 0.0
    queue.done(C)
    queue.add(C)  # its earlier places must not count
    assert await take_all(queue) == [C, A, B]
    assert not queue.unfinished


async def test_queue_requeues_once_when_added_during_processing() -> None:
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


async def test_queue_wakes_waiting_workers() -> None:
    queue = make_queue()
    workers = [asyncio.ensure_future(queue.take()) for _ in range(2)]
    await settle()
    queue.add(A)
    queue.add(B)
    assert {await worker for worker in workers} == {A, B}


async def test_queue_loses_nothing_when_a_worker_is_cancelled() -> None:
    queue = make_queue()
    worker = asyncio.ensure_future(queue.take())
    await settle()
    worker.cancel()
    await settle()
    queue.add(A)
    assert await queue.take() == A


async def test_queue_unfinished_counts_queued_and_in_progress() -> None:
    queue = make_queue()
    assert not queue.unfinished
    queue.add(A)
    assert queue.unfinished
    await queue.take()
    assert queue.unfinished
    queue.done(A)
    assert not queue.unfinished


async def test_queue_notes_progress_at_the_first_add_and_each_done() -> None:
    moment = 0.0
    queue = WorkQueue(lambda _: (0.0,), lambda: moment)
    for moment, act, expected in (
        (10.0, lambda: queue.add(A), 10.0),
        (20.0, lambda: queue.add(B), 10.0),
        (30.0, queue.take, 10.0),
        (40.0, lambda: queue.done(A), 40.0),
        (50.0, queue.take, 40.0),
        (60.0, lambda: queue.done(B), 60.0),
        (70.0, lambda: queue.add(A), 70.0),
    ):
        found = act()
        if found is not None:
            await found
        assert queue.last_progress == expected, moment


async def test_queue_drains_at_once_when_empty() -> None:
    await make_queue().drain()


async def test_queue_drain_waits_for_work_in_progress_only() -> None:
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


async def test_queue_drain_ignores_what_nobody_took() -> None:
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
def test_queue_returns_every_reference_once_in_order(
    urgencies: dict[str, int], added: list[str]
) -> None:
    async def run() -> list[ObjectRef]:
        queue = make_queue(**urgencies)
        for name in added:
            queue.add(ref(name))
        return await take_all(queue)

    names = [one.name for one in asyncio.run(run())]
    assert names == sorted(dict.fromkeys(added), key=lambda name: urgencies.get(name, 0))
