"""Requests that share connections: those of one tick of an event loop travel in one pipeline.

A request is what one caller sends and waits for. It keeps its place among others on the same key,
gets its own replies and its own errors, and its caller may leave at any time: what is under way is
seen through.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from langchain_redis_memory.errors import MemoryClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Outcome = list[Any] | Exception
"""The replies to a request, errors of the server among them, or what became of it instead."""

# What a batch holds at most, unless a single request is larger. Larger ones are no faster, and make
# the last of them wait for the first.
_COMMANDS = 128
_BYTES = 1 << 15


class Request:
    """Commands of one caller.

    Args:
        packed: As they go over the wire.
        count: How many they are.
        key: Requests on the same key keep their order; there is none to keep if it is empty.
    """

    __slots__ = ("count", "key", "outcome", "packed")

    def __init__(self, packed: bytes, count: int, key: str) -> None:
        self.packed = packed
        self.count = count
        self.key = key
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def answer(self, outcome: Outcome) -> None:
        """Give the caller what it waits for, if it still does and has nothing yet."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Lane:
    """The way to one server, from one event loop.

    A batch leaves at the end of the tick in which its first request came, on a connection of its
    own. What comes while all connections are taken leaves together with the next that is free.

    Args:
        pool: Where the connections are from; see `pools.AsyncPool`.
        limit: How many batches may be under way at once.
        patience: Seconds that a batch may take. No caller waits longer.
        departs: Called when a batch leaves.
    """

    def __init__(self, pool: Any, limit: int, patience: float, departs: Callable[[], None]) -> None:
        self.pool = pool
        self._limit = limit
        self._patience = patience
        self._departs = departs
        self._waiting: deque[Request] = deque()
        self._keys: set[str] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._boarding: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way

    def send(self, packed: bytes, count: int, key: str = "") -> asyncio.Future[Outcome]:
        """Send commands in one piece; who cancels the future leaves.

        Raises:
            MemoryClosedError: The lane is closed.
        """
        if self._closed:
            raise MemoryClosedError
        request = Request(packed, count, key)
        self._waiting.append(request)
        self._call()
        return request.outcome

    async def aclose(self) -> None:
        """Let what is under way end, refuse what is not, and close the connections."""
        self._closed = True
        await asyncio.sleep(0)  # for those who board
        for request in self._waiting:
            request.answer(MemoryClosedError())
        self._waiting.clear()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self.pool.aclose()

    def _call(self) -> None:
        # The task begins after all others that are ready now: they may add to what it takes along.
        if self._waiting and self._boarding is None and len(self._under_way) < self._limit:
            self._boarding = asyncio.ensure_future(self._travel())
            self._under_way.add(self._boarding)
            self._boarding.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._boarding is task:  # it was cancelled before it began
            self._boarding = None
            self._call()

    async def _travel(self) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        if self._boarding is not task:
            await asyncio.sleep(0)  # a task factory began it at once (Python 3.12)
        self._boarding = None
        batch = self._board()
        if not batch:  # all have left, or wait for one on the same key
            self._under_way.discard(task)
            return
        keys = {request.key for request in batch if request.key}
        self._keys |= keys
        outcome: Outcome = ConnectionAbortedError("the event loop ends")
        try:
            await self._carry(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must be told
            outcome = error
        finally:
            for request in batch:
                request.answer(outcome)
            self._keys -= keys
            self._under_way.discard(task)
            self._call()

    async def _carry(self, batch: Sequence[Request]) -> None:
        self._departs()
        latest = asyncio.get_running_loop().time() + self._patience
        connection = await self.pool.take(latest)
        try:
            await connection.exchange(batch, latest)
        finally:
            await self.pool.give_back(connection)

    def _board(self) -> list[Request]:
        """Take those who go together, in the order in which they came."""
        batch: list[Request] = []
        held: list[Request] = []
        size = count = 0
        while self._waiting:
            request = self._waiting.popleft()
            if request.outcome.done():
                continue  # its caller has left
            if request.key in self._keys:
                held.append(request)
                continue
            size += len(request.packed)
            count += request.count
            if batch and (size > _BYTES or count > _COMMANDS):
                self._waiting.appendleft(request)
                self._call()  # for those who find no room
                break
            batch.append(request)
        self._waiting.extendleft(reversed(held))
        return batch
