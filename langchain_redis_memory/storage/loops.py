"""What one event loop uses, closed when the loop ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from langchain_redis_memory.storage.executor import AsyncExecutor

# How long a loop that ends waits for turns that are being stored, in seconds.
_PATIENCE = 2.0


class LoopClient:
    """What one event loop uses, and what closes it."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self.executor = executor
        self.needs: set[asyncio.Future[None]] = set()
        self.closer = _closes_with_loop(self)


async def _closes_with_loop(mine: LoopClient) -> AsyncGenerator[None]:
    # asyncio.run ends by closing the asynchronous generators that are still suspended
    # (loop.shutdown_asyncgens): the one moment at which a loop that ends can close its sockets.
    try:
        yield
    finally:
        while mine.needs:
            _, late = await asyncio.wait([*mine.needs], timeout=_PATIENCE)
            await asyncio.sleep(0)  # for whoever was waited for, to come to its own end
            if late:
                break
        await mine.executor.aclose()
