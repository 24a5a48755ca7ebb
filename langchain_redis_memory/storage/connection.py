"""Runs operations: on one client for all threads and one for each event loop, again when it helps.

A `Connection` opens clients when they are first needed and closes what it opened. Where the server
is, and how clients for it are made, it asks a `Server` (see `servers`).
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from typing import TYPE_CHECKING, TypeVar

from langchain_redis_memory.errors import MemoryClosedError, StorageUnavailable
from langchain_redis_memory.storage import retry
from langchain_redis_memory.storage.availability import Availability
from langchain_redis_memory.storage.deadlines import Deadline
from langchain_redis_memory.storage.executor import Executor, RoundTrips
from langchain_redis_memory.storage.loops import LoopClients
from langchain_redis_memory.storage.retry import RetryPolicy
from langchain_redis_memory.telemetry.switch import signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_redis_memory.storage.loops import LoopClient
    from langchain_redis_memory.storage.operation import Layout, Operation
    from langchain_redis_memory.storage.sentinels import Word
    from langchain_redis_memory.storage.servers import Client, Server

T = TypeVar("T")

_FINDING = "finding the nodes"


class Connection:
    """Runs operations on a server.

    Args:
        server: Where to.
        policy: How long to go on trying.
        pause: Seconds between attempts to reach a server that is away, while operations that can
            go on without it do; None if they raise instead.
    """

    def __init__(
        self, server: Server, policy: RetryPolicy | None = None, pause: float | None = None
    ) -> None:
        self.server = server
        self.policy = policy or RetryPolicy()
        self.trips = RoundTrips(server.address)
        self.availability = Availability(pause or 0, self.policy.deadline)
        self._stateless = pause is not None
        self._closed = False
        self._prepared = not server.starts
        self._executor = Executor(server, self.trips)
        self._loops = LoopClients(server, self.trips, self.policy.deadline)
        _connections.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server.address!r})"

    @property
    def client(self) -> Client:
        """The redis-py client for all threads."""
        return self._executor.client

    def run(self, operation: Operation[T]) -> T:
        """Run the operation within the policy's deadline.

        Raises:
            StorageUnavailable: Redis could not be reached in that time, and the operation cannot
                go on without it.
            StorageRejected: The server refused it.
            MemoryClosedError: The connection is closed.
        """
        self._refuse_if_closed()
        if not self._asks(operation):
            return self._without(operation)
        try:
            result = self._run_watched(operation, self.policy)
        except StorageUnavailable as error:
            if self._gives_up_on(operation, error):
                raise
            return self._without(operation)
        self.availability.succeeded(self.server.address)
        return result

    async def arun(self, operation: Operation[T]) -> T:
        """Run the operation on the running event loop; see `run`."""
        self._refuse_if_closed()
        if not self._asks(operation):
            return self._without(operation)
        try:
            if on := signals():
                with on.request(operation, self.server.address) as watched:
                    result = await self._arun_in_time(watched)
            else:
                result = await self._arun_in_time(operation)
        except StorageUnavailable as error:
            if self._gives_up_on(operation, error):
                raise
            return self._without(operation)
        self.availability.succeeded(self.server.address)
        return result

    def glance(self, operation: Operation[T]) -> T:
        """Run the operation for somebody who looks: soon or not at all, and never without Redis.

        Raises:
            StorageUnavailable: Redis could not be reached; see `retry.in_haste`.
        """
        self._refuse_if_closed()
        return self._run_watched(operation, retry.in_haste(self.policy))

    def nodes(self, *, in_haste: bool = False) -> Layout:
        """Name the nodes that hold keys, for operations on each of them (`Operation.node`).

        Args:
            in_haste: Whether somebody looks; see `glance`.

        Raises:
            StorageUnavailable: See `run`, as for the rest.
        """
        self._refuse_if_closed()
        policy = retry.in_haste(self.policy) if in_haste else self.policy
        return retry.call(policy, self._executor.nodes, _FINDING, self.server.address)

    async def anodes(self) -> Layout:
        """See `nodes`."""
        self._refuse_if_closed()
        executor = (await self._client_of_loop()).executor
        return await retry.acall(self.policy, executor.nodes, _FINDING, self.server.address)

    def sentinels(self) -> list[Word]:
        """Ask each sentinel for its word on the primary; none if there are no sentinels."""
        self._refuse_if_closed()
        what, where = "asking the sentinels", self.server.address
        return retry.call(self.policy, self._executor.sentinels, what, where)

    async def asentinels(self) -> list[Word]:
        """See `sentinels`."""
        self._refuse_if_closed()
        return await (await self._client_of_loop()).executor.sentinels()

    def close(self) -> None:
        """Close what was opened for threads, and refuse further use."""
        self._closed = True
        self._executor.close()
        self.availability.leave(time.monotonic(), self.server.address)
        self.server.release()

    async def aclose(self) -> None:
        """Close the running event loop's client as well; other loops close theirs as they end."""
        self._closed = True  # first, so that nobody opens a client while this one is closed
        if (mine := self._loops.leave()) is not None:
            await mine.closer.aclose()
        self.close()

    def hold_open(self) -> Callable[[], None]:
        """Let the running event loop, when it ends, wait a moment before it closes its client.

        Returns:
            What to call when there is no need to wait any more.
        """
        mine = self._loops.running()
        return (lambda: None) if mine is None else mine.hold_open()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise MemoryClosedError

    def _asks(self, operation: Operation[T]) -> bool:
        if not self._stateless or operation.absent is None:
            return True
        return self.availability.may_ask(time.monotonic())

    def _gives_up_on(self, operation: Operation[T], error: StorageUnavailable) -> bool:
        if not self._closed:
            self.availability.failed(time.monotonic(), self.server.address, error)
        return not self._stateless or operation.absent is None

    def _without(self, operation: Operation[T]) -> T:
        if operation.writes:
            self.availability.drop(self.server.address)
        assert operation.absent is not None  # noqa: S101 - `_asks` and `_gives_up_on` saw to it
        return operation.absent()

    def _run_watched(self, operation: Operation[T], policy: RetryPolicy) -> T:
        if on := signals():
            with on.request(operation, self.server.address) as watched:
                return self._run_in_time(watched, policy)
        return self._run_in_time(operation, policy)

    def _run_in_time(self, operation: Operation[T], policy: RetryPolicy) -> T:
        return retry.call(
            policy,
            lambda: self._attempt(operation),
            operation.name,
            self.server.address,
            lambda: self._attempt(operation.repeated()),
        )

    async def _arun_in_time(self, operation: Operation[T]) -> T:
        name, address, policy = operation.name, self.server.address, self.policy
        mine = self._loops.running() or await self._client_of_loop()
        limit = Deadline(mine.deadlines)
        try:
            with limit:
                return await retry.acall(
                    policy,
                    lambda: self._aattempt(operation, mine),
                    name,
                    address,
                    lambda: self._aattempt(operation.repeated(), mine),
                )
        except TimeoutError as error:
            if not limit.passed:
                raise
            raise StorageUnavailable(
                f"{name} on Redis at {address} took longer than the "
                f"deadline of {policy.deadline:g} s"
            ) from error

    def _attempt(self, operation: Operation[T]) -> T:
        if not self._prepared:
            self.server.prepare()
            self._prepared = True
        try:
            return self._executor.attempt(operation)
        except Exception as error:
            self._after(error)
            raise
        finally:
            if self._closed:
                self._executor.close()  # closed meanwhile: this attempt may have connected again

    async def _aattempt(self, operation: Operation[T], mine: LoopClient) -> T:
        self._refuse_if_closed()
        if not self._prepared:
            await asyncio.to_thread(self.server.prepare)
            self._prepared = True
        try:
            return await mine.executor.attempt(operation)
        except Exception as error:
            self._after(error)
            raise

    def _after(self, error: Exception) -> None:
        if self._closed:
            # redis-py has many ways to fail on a socket that is closed under its hands.
            raise MemoryClosedError from None
        if isinstance(error, StorageUnavailable):
            self._prepared = not self.server.starts

    async def _client_of_loop(self) -> LoopClient:
        self._refuse_if_closed()
        return self._loops.running() or await self._loops.join()

    def _start_anew(self) -> None:
        """Forget, in a forked child, locks that a thread of the parent may have held."""
        self.trips = RoundTrips(self.server.address, self.trips.count)
        self.availability = self.availability.copy()
        self._executor = Executor(self.server, self.trips)
        # Kept, not collected: closing them here would take the parent's sockets from its loop.
        self._parents = self._loops
        self._loops = LoopClients(self.server, self.trips, self.policy.deadline)


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _start_anew_in_child() -> None:
    for connection in list(_connections):
        connection._start_anew()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_start_anew_in_child)
