"""The only place that sends commands."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import redis
import redis.asyncio
from redis import exceptions as redis_errors
from redis.client import NEVER_DECODE

from langchain_redis_memory.errors import MemoryClosedError, StorageUnavailable
from langchain_redis_memory.storage.failures import FAILURES, says_demoted, translate
from langchain_redis_memory.storage.operation import Command, Layout, Operation
from langchain_redis_memory.storage.requests import (
    by_digest,
    checked,
    in_full,
    layout_of,
    packed,
    refuse_if_gone,
    replace,
    unknown_scripts,
)
from langchain_redis_memory.storage.retry import patience
from langchain_redis_memory.storage.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from langchain_redis_memory.storage.servers import Client, Server

T = TypeVar("T")

# A client that was passed in may decode replies; ours are bytes for the codec to read.
_RAW: dict[str, Any] = {NEVER_DECODE: []}


class RoundTrips:
    """Counts the requests that were sent, from any thread."""

    def __init__(self, count: int = 0) -> None:
        self._lock = threading.Lock()
        self.count = count

    def add(self) -> None:
        """Count one request, which may hold several commands."""
        with self._lock:
            self.count += 1


class Executor:
    """Sends operations through a redis-py client, one attempt each."""

    def __init__(self, server: Server, trips: RoundTrips) -> None:
        self._server = server
        self._trips = trips
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._asks_for_slots = False
        # A cluster's pipeline waits for one pool while it holds a connection of another, so two
        # of them could wait for each other: no more may be under way than each pool serves.
        self._turnstile = Turnstile(server.limit) if server.limit else None

    @property
    def client(self) -> Client:
        """The client, made when it is first used."""
        if self._client is None:
            # A cluster's client connects when it is made, which may take as long as an operation.
            with _held(self._lock):
                if self._client is None:
                    self._client = self._server.client()
        return self._client

    def close(self) -> None:
        """Close the client, if it is ours."""
        if self._client is not None and self._server.owns_clients:
            self._client.close()
            if isinstance(self._client, redis.RedisCluster):
                self._client.disconnect_connection_pools()  # it leaves open pools of our kind
            for sentinel in _sentinels(self._client):
                sentinel.close()

    def attempt(self, operation: Operation[T]) -> T:
        """Send the operation once and read its result.

        Raises:
            StorageUnavailable: It may succeed when tried again; it may have been applied.
            StorageRejected: The server refused it.
        """
        try:
            return self._attempt(operation)
        except StorageUnavailable:
            self._asks_for_slots = isinstance(self._client, redis.RedisCluster)
            raise

    def _attempt(self, operation: Operation[T]) -> T:
        try:
            if self._asks_for_slots:
                self._ask_for_slots()
            refuse_if_gone(operation.node, self.client)
            replies = self._send(by_digest(operation), operation.node)
            if missing := unknown_scripts(replies):
                again = self._send([in_full(operation, i) for i in missing])
                replace(replies, missing, again)
        except FAILURES as error:
            raise translate(error, operation, self._server.address) from error
        if says_demoted(replies) and self._server.owns_clients:
            self._leave_demoted_server()
        return operation.read(checked(replies, operation, self._server.address))

    def _ask_for_slots(self) -> None:
        # redis-py asks a cluster which node has which keys when it tries again by itself, which it
        # does not: without this it would look for a primary that died for ever.
        cast("redis.RedisCluster", self.client).nodes_manager.initialize()
        self._asks_for_slots = False

    def nodes(self) -> Layout:
        """Name the nodes that hold keys, for operations on each of them; a cluster is asked."""
        try:
            if isinstance(self.client, redis.RedisCluster):
                self._ask_for_slots()
        except FAILURES as error:
            raise translate(error, _FINDING_NODES, self._server.address) from error
        return layout_of(self.client)

    def _send(self, commands: Sequence[Command], node: Any = None) -> list[Any]:
        self._trips.add()
        client = self.client
        with _held(self._turnstile):
            if self._server.owns_clients and isinstance(client, redis.Redis):
                return _exchange(client.connection_pool, commands)
            with client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command, **_RAW, **self._route(command, node))
                return pipeline.execute(raise_on_error=False)

    def _route(self, command: Command, node: Any) -> dict[str, Any]:
        if node is None and isinstance(self.client, redis.RedisCluster) and len(command) > 1:
            # Left to itself, redis-py asks a node for a script's key before every call, and fails
            # when that node is away, whether it is needed or not.
            key = command[3 if command[0] in ("EVAL", "EVALSHA") else 1]
            node = self.client.get_node_from_key(key)
        return {} if node is None else {"target_nodes": node}

    def _leave_demoted_server(self) -> None:
        # The name leads to the new primary, but connections that are open lead to the old one.
        if isinstance(self.client, redis.Redis):
            self.client.connection_pool.disconnect(inuse_connections=False)


class AsyncExecutor:
    """The same for a `redis.asyncio` client, on the event loop that the client belongs to."""

    def __init__(self, server: Server, trips: RoundTrips) -> None:
        self._server = server
        self._trips = trips
        self.client = server.async_client()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._asks_for_slots = False
        self._asking: asyncio.Task[None] | None = None
        # Clients that were passed in have pools of their own to limit them.
        self._turnstile = asyncio.Semaphore(server.limit or sys.maxsize)

    async def aclose(self) -> None:
        """Close the client, if it is ours, when the requests that are under way have ended."""
        self._closed = True
        if self._server.limit:
            for _ in range(self._server.limit):
                await self._turnstile.acquire()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._server.owns_clients:
            await self.client.aclose()
            for sentinel in _sentinels(self.client):
                await sentinel.aclose()

    async def attempt(self, operation: Operation[T]) -> T:
        """See `Executor.attempt`."""
        try:
            return await self._attempt(operation)
        except StorageUnavailable:
            self._asks_for_slots = isinstance(self.client, redis.asyncio.RedisCluster)
            raise

    async def _attempt(self, operation: Operation[T]) -> T:
        try:
            if self._asks_for_slots:
                await self._ask_for_slots()
            refuse_if_gone(operation.node, self.client)
            replies = await self._send(by_digest(operation), operation.node)
            if missing := unknown_scripts(replies):
                again = await self._send([in_full(operation, i) for i in missing])
                replace(replies, missing, again)
        except FAILURES as error:
            raise translate(error, operation, self._server.address) from error
        if says_demoted(replies) and self._server.owns_clients:
            await self._leave_demoted_server()
        return operation.read(checked(replies, operation, self._server.address))

    async def _ask_for_slots(self) -> None:
        # Once for all callers, or each would open a connection; any of them may leave, as with
        # requests.
        if self._asking is None or self._asking.done():
            cluster = cast("redis.asyncio.RedisCluster", self.client)
            self._asking = self._begin(cluster.nodes_manager.initialize())
        await asyncio.shield(self._asking)
        self._asks_for_slots = False

    async def nodes(self) -> Layout:
        """See `Executor.nodes`."""
        try:
            if isinstance(self.client, redis.asyncio.RedisCluster):
                await self.client.initialize()
                await self._ask_for_slots()
        except FAILURES as error:
            raise translate(error, _FINDING_NODES, self._server.address) from error
        return layout_of(self.client)

    async def _send(self, commands: Sequence[Command], node: Any = None) -> list[Any]:
        if not isinstance(self.client, redis.asyncio.RedisCluster):
            return await self._send_through(commands, node)
        # A cluster's client loses the connections of a task that is cancelled (redis-py 6), so
        # the caller may leave, and the request is seen through to its reply.
        return await asyncio.shield(self._begin(self._send_through(commands, node)))

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._settle)
        return task

    def _settle(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, since the caller may have left

    async def _send_through(self, commands: Sequence[Command], node: Any) -> list[Any]:
        options = _RAW if node is None else {**_RAW, "target_nodes": node}
        async with self._turnstile:
            if self._closed:
                raise MemoryClosedError
            self._trips.add()
            async with self.client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command, **options)
                return await pipeline.execute(raise_on_error=False)

    async def _leave_demoted_server(self) -> None:
        if isinstance(self.client, redis.asyncio.Redis):
            # The pool's own `disconnect` would wait, and close what others begin to use meanwhile.
            for connection in [*self.client.connection_pool._available_connections]:  # noqa: SLF001
                await connection.disconnect(nowait=True)


_FINDING_NODES: Operation[None] = Operation("finding the nodes", (), lambda _: None)


def _exchange(pool: redis.ConnectionPool, commands: Sequence[Command]) -> list[Any]:
    """Send commands and read their replies; what redis-py's pipeline adds costs as much again."""
    connection = pool.get_connection()
    try:
        connection.send_packed_command([packed(commands)])
        return [_reply(connection) for _ in commands]
    except BaseException:
        connection.disconnect()  # what comes must be read by nobody
        raise
    finally:
        pool.release(connection)


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except redis_errors.ResponseError as error:
        return error


@contextmanager
def _held(lock: threading.Lock | Turnstile | None) -> Iterator[None]:
    """Hold a lock, if there is one, and give up when the thread's operation must."""
    if lock is None:
        yield
        return
    if not lock.acquire(timeout=patience()):
        raise redis_errors.TimeoutError("too many others wait")
    try:
        yield
    finally:
        lock.release()


def _sentinels(client: Any) -> list[Any]:
    """Give the clients of the sentinels, which redis-py leaves open with the primary's."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return manager.sentinels if manager else []
