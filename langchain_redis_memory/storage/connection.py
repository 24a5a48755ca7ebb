"""Owns clients: one for all threads, and one for each event loop.

A `Connection` opens clients when they are first needed and closes what it opened. Where the server
is, and how clients for it are made, it asks a `Server` (see `servers`).
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, TypeVar

from langchain_redis_memory.errors import MemoryClosedError, StorageUnavailable
from langchain_redis_memory.storage import retry
from langchain_redis_memory.storage.executor import AsyncExecutor, Executor, RoundTrips
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import redis
    import redis.asyncio

    from langchain_redis_memory.storage.operation import Operation
    from langchain_redis_memory.storage.servers import Server

T = TypeVar("T")


class Connection:
    """Runs operations on a server, again when that can help.

    Args:
        server: Where to.
        policy: How long to go on trying.
    """

    def __init__(self, server: Server, policy: RetryPolicy | None = None) -> None:
        self.server = server
        self.policy = policy or RetryPolicy()
        self.trips = RoundTrips()
        self._lock = threading.Lock()
        self._executor: Executor | None = None
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopClient]
        self._by_loop = weakref.WeakKeyDictionary()
        self._prepared = not server.starts
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server.address!r})"

    @property
    def client(self) -> redis.Redis:
        """The redis-py client for all threads."""
        return self._ready().client

    def run(self, operation: Operation[T]) -> T:
        """Run the operation within the policy's deadline."""
        attempts = operation.attempts()
        return retry.call(self.policy, lambda: self._attempt(next(attempts)))

    async def arun(self, operation: Operation[T]) -> T:
        """Run the operation on the running event loop; see `run`."""
        attempts = operation.attempts()
        try:
            async with asyncio.timeout(self.policy.deadline) as limit:
                return await retry.acall(self.policy, lambda: self._aattempt(next(attempts)))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise StorageUnavailable(
                f"{operation.name} on Redis at {self.server.address} took longer than the "
                f"deadline of {self.policy.deadline:g} s"
            ) from error

    def close(self) -> None:
        """Close what was opened for threads, and refuse further use."""
        with self._lock:
            executor, self._executor = self._executor, None
            self._closed = True
        if executor is not None and self.server.owns_clients:
            executor.client.close()
        self.server.release()

    async def aclose(self) -> None:
        """Close the running event loop's client as well; other loops close theirs as they end."""
        mine = self._by_loop.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            await mine.closer.aclose()
        self.close()

    def _attempt(self, operation: Operation[T]) -> T:
        executor = self._ready()
        if not self._prepared:
            self.server.prepare()
            self._prepared = True
        try:
            return executor.attempt(operation)
        except StorageUnavailable:
            self._prepared = not self.server.starts
            raise

    async def _aattempt(self, operation: Operation[T]) -> T:
        executor = await self._aready()
        if not self._prepared:
            await asyncio.to_thread(self.server.prepare)
            self._prepared = True
        try:
            return await executor.attempt(operation)
        except StorageUnavailable:
            self._prepared = not self.server.starts
            raise

    def _ready(self) -> Executor:
        executor = self._executor
        if executor is not None:
            return executor
        with self._lock:
            if self._closed:
                raise MemoryClosedError
            if self._executor is None:
                client = self.server.client()
                self._executor = Executor(client, self.server.address, self.trips)
            return self._executor

    async def _aready(self) -> AsyncExecutor:
        if self._closed:
            raise MemoryClosedError
        loop = asyncio.get_running_loop()
        mine = self._by_loop.get(loop)
        if mine is None:
            self._forget_closed_loops()
            client = self.server.async_client()
            executor = AsyncExecutor(client, self.server.address, self.trips)
            closer = _closes_with_loop(client if self.server.owns_clients else None)
            mine = self._by_loop[loop] = _LoopClient(executor, closer)
            await closer.__anext__()
        return mine.executor

    def _forget_closed_loops(self) -> None:
        # A client refers to its loop, so the weak keys alone would keep both for good.
        for loop in [loop for loop in self._by_loop if loop.is_closed()]:
            self._by_loop.pop(loop, None)


class _LoopClient:
    """What one event loop uses, and what closes it."""

    def __init__(self, executor: AsyncExecutor, closer: AsyncGenerator[None]) -> None:
        self.executor = executor
        self.closer = closer


async def _closes_with_loop(client: redis.asyncio.Redis | None) -> AsyncGenerator[None]:
    # asyncio.run ends by closing the asynchronous generators that are still suspended
    # (loop.shutdown_asyncgens): the one moment at which a loop that ends can close its sockets.
    try:
        yield
    finally:
        if client is not None:
            await client.aclose()
