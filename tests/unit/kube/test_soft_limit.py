import asyncio
from datetime import timedelta

from pinecone_token_operator.kube.soft_limit import SoftLimit
from tests.support.controller import settle

LONG = timedelta(hours=1)


class Operations:
    """Operations, each of which runs until `end` or `cancel` is called for it."""

    def __init__(self, limit: SoftLimit) -> None:
        self.begun: list[int] = []
        self._begun = asyncio.Condition()
        self._limit = limit
        self._ends: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self._ends[number] = asyncio.Event()
            self._tasks[number] = asyncio.create_task(self._run(number))

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self._ends[number].set()
            await self._tasks[number]
        await settle()

    async def all_begun(self, count: int) -> None:
        async with self._begun:
            await self._begun.wait_for(lambda: len(self.begun) == count)

    async def cancel(self, number: int) -> None:
        self._tasks[number].cancel()
        await asyncio.wait([self._tasks[number]])
        await settle()

    async def _run(self, number: int) -> None:
        async with self._limit:
            self.begun.append(number)
            async with self._begun:
                self._begun.notify_all()
            await self._ends[number].wait()


async def test_limit_lets_the_next_begin_when_one_ends() -> None:
    operations = Operations(SoftLimit(2, LONG))
    operations.start(0, 1, 2, 3)
    await settle()
    assert operations.begun == [0, 1]
    await operations.end(1)
    assert operations.begun == [0, 1, 2]
    await operations.end(0, 2)
    assert operations.begun == [0, 1, 2, 3]
    await operations.end(3)


async def test_limit_passes_over_what_was_cancelled() -> None:
    operations = Operations(SoftLimit(1, LONG))
    operations.start(0, 1, 2)
    await settle()
    await operations.cancel(1)
    await operations.end(0)
    assert operations.begun == [0, 2]
    await operations.cancel(2)
    operations.start(3)
    await settle()
    assert operations.begun == [0, 2, 3]
    await operations.end(3)


async def test_nothing_waits_forever_behind_what_hangs() -> None:
    operations = Operations(SoftLimit(2, timedelta(milliseconds=1)))
    operations.start(*range(10))
    await operations.all_begun(10)
    await operations.end(*range(10))
