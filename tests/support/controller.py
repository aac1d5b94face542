"""References and scheduling for tests of the work queue and the timers."""

import asyncio

from pinecone_token_operator.keys import ObjectRef
from tests.support.documented import KIND


def ref(name: str) -> ObjectRef:
    """Return a reference to a resource in `shop`."""
    return ObjectRef(KIND, "shop", name)


A, B, C = ref("a"), ref("b"), ref("c")


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)
