"""A limit of what runs at once that nothing waits for long."""

import asyncio
from collections import deque
from datetime import timedelta


class SoftLimit:
    """Lets a number of operations run at once, and one more whenever one has waited long enough.

    What is quick shares few resources that way, and what hangs does not hold up the rest.

    Args:
        count: how many run at once without a wait.
        patience: how long one waits for another to end.
    """

    def __init__(self, count: int, patience: timedelta) -> None:
        self._count = count
        self._patience = patience.total_seconds()
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        if self._running >= self._count:
            await self._wait()
        self._running += 1

    async def __aexit__(self, *_: object) -> None:
        self._running -= 1
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():  # it may have been cancelled
                first.set_result(None)
                break

    async def _wait(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except TimeoutError:
            pass  # the cancelled future is passed over
