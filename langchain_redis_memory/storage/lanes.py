"""Requests that share connections: those of one tick of an event loop travel in one pipeline.

A request is what one caller sends and waits for. It keeps its place among others on the same key,
gets its own replies and its own errors, and its caller may leave at any time: what is under way is
seen through.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import MemoryClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_redis_memory.storage.wire import Wire

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


class Batch:
    """Requests that travel together."""

    __slots__ = ("keys", "requests")

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests
        self.keys = {request.key for request in requests if request.key}


class Lane:
    """The way to one server, from one event loop.

    A batch leaves at the end of the tick in which its first request came, on a connection of its
    own. What comes while all connections are taken leaves together with the next that is free.

    Args:
        pool: Where the connections are from; see `async_pools.AsyncPool`.
        limit: How many batches may be under way at once.
        patience: Seconds that a batch may take. No caller waits longer.
        departs: Called when a batch leaves.
    """

    def __init__(self, pool: Any, limit: int, patience: float, departs: Callable[[], None]) -> None:
        self.pool = pool
        self._limit = limit
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._departs = departs
        self._waiting: deque[Request] = deque()
        self._keys: set[str] = set()
        self._under_way: set[Batch] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._is_called = False
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
        # Not for those whose callers have left, as when the event loop ends.
        if awaited := [request.outcome for batch in self._under_way for request in batch.requests]:
            await asyncio.wait(awaited)
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await self.pool.aclose()

    def _call(self) -> None:
        # After all others that are ready now: they may add to what leaves.
        if self._waiting and not self._is_called and len(self._under_way) < self._limit:
            self._is_called = True
            self._loop.call_soon(self._leave)

    def _leave(self) -> None:
        self._is_called = False
        batch = Batch(self._board())
        if not batch.requests:  # all have left, or wait for one on the same key
            return
        self._under_way.add(batch)
        self._keys |= batch.keys
        self._departs()
        latest = self._loop.time() + self._patience
        wire = self.pool.take()
        if wire is None:
            task = self._loop.create_task(self._open(batch, latest))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._send(wire, batch, latest)
        self._call()  # for those who found no room

    async def _open(self, batch: Batch, latest: float) -> None:
        outcome: Exception = ConnectionAbortedError("the event loop ends")
        wire: Wire | None = None
        try:
            wire = await self.pool.open(latest)
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must be told
            outcome = error
        finally:
            if wire is None:
                self._arrived(batch, outcome)
        if wire is not None:
            self._send(wire, batch, latest)

    def _send(self, wire: Wire, batch: Batch, latest: float) -> None:
        def arrived(error: Exception | None) -> None:
            self.pool.give_back(wire)
            self._arrived(batch, error)

        wire.send(batch.requests, latest, arrived)

    def _arrived(self, batch: Batch, error: Exception | None) -> None:
        if error is not None:
            for request in batch.requests:
                request.answer(error)
        self._keys -= batch.keys
        self._under_way.discard(batch)
        self._call()

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
                break
            batch.append(request)
        self._waiting.extendleft(reversed(held))
        return batch
