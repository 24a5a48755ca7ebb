"""What each event loop uses, closed when the loop ends."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.storage.deadlines import Deadlines
from langchain_redis_memory.storage.executor import AsyncExecutor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from langchain_redis_memory.storage.executor import RoundTrips
    from langchain_redis_memory.storage.servers import Server

# How long a loop that ends waits for turns that are being stored, in seconds.
_PATIENCE = 2.0


class LoopClient:
    """What one event loop uses, and what closes it."""

    def __init__(self, executor: AsyncExecutor, deadlines: Deadlines) -> None:
        self.executor = executor
        self.deadlines = deadlines
        self.needs: set[asyncio.Future[None]] = set()
        self.closer = _closes_with_loop(self)

    def hold_open(self) -> Callable[[], None]:
        """Have the loop, when it ends, wait a moment; see `Connection.hold_open`."""
        need = asyncio.get_running_loop().create_future()
        self.needs.add(need)

        def end() -> None:
            self.needs.discard(need)
            if not need.done():
                need.set_result(None)

        return end


class LoopClients:
    """What the event loops use that have used a connection.

    Args:
        server: Where to.
        trips: Counts them.
        deadline: Seconds that an operation may take.
    """

    def __init__(self, server: Server, trips: RoundTrips, deadline: float) -> None:
        self._server = server
        self._trips = trips
        self._deadline = deadline
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopClient]
        self._by_loop = weakref.WeakKeyDictionary()

    def running(self) -> LoopClient | None:
        """Give what the running event loop uses, if it has used anything."""
        return self._by_loop.get(asyncio.get_running_loop())

    async def join(self) -> LoopClient:
        """Make what the running event loop is to use.

        Raises:
            ConfigurationError: A client that was passed in is another loop's.
        """
        self._check_others()
        executor = AsyncExecutor(self._server, self._trips, self._deadline)
        mine = LoopClient(executor, Deadlines(self._deadline))
        self._by_loop[asyncio.get_running_loop()] = mine
        await mine.closer.__anext__()
        return mine

    def leave(self) -> LoopClient | None:
        """Forget what the running event loop uses, and give it to be closed."""
        return self._by_loop.pop(asyncio.get_running_loop(), None)

    def _check_others(self) -> None:
        # A list of references: other threads add loops meanwhile.
        others = [loop for reference in self._by_loop.keyrefs() if (loop := reference())]
        if others and not self._server.owns_clients:
            raise ConfigurationError(
                "the async client that was passed in belongs to the event loop on which it was "
                "first used; make a memory for each loop, or use RedisMemory.from_url"
            )
        for loop in others:
            # A client refers to its loop, so the weak keys alone would keep both for good.
            if loop.is_closed():
                self._by_loop.pop(loop, None)


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
