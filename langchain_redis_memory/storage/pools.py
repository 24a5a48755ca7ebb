"""redis-py's connections and pools, with what we need of them and they do not do."""

from __future__ import annotations

import asyncio
import math
import weakref
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

from langchain_redis_memory.storage.retry import patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from langchain_redis_memory.storage.lanes import Request


class _InTime:
    """A connection of threads that waits for nothing its operation has no time left for."""

    def connect(self) -> Any:
        if not patience():
            raise redis.TimeoutError("no time was left to connect")
        return super().connect()  # type: ignore[misc]  # of redis-py's connection

    def can_read(self, *args: Any, **options: Any) -> Any:
        try:
            return super().can_read(*args, **options)  # type: ignore[misc]  # as above
        except AttributeError as error:
            raise redis.ConnectionError(_CLOSED) from error

    def send_packed_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().send_packed_command(*args, **options)  # type: ignore[misc]  # as above
        except AttributeError as error:
            raise redis.ConnectionError(_CLOSED) from error

    def read_response(self, *args: Any, **options: Any) -> Any:
        if not patience():
            self.disconnect()  # type: ignore[attr-defined]  # what comes must be read by nobody
            raise redis.TimeoutError("no time was left to wait for a reply")
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]  # as above
        except AttributeError as error:
            raise redis.ConnectionError(_CLOSED) from error


# A cluster's client closes the connections of a node that changed its role, before redis-py 8
# also those that other threads use, which then find no socket or parser.
_CLOSED = "another thread closed the connection"


@cache
def in_time(kind: type) -> type:
    """Make a class of connections that wait for nothing their operation has no time left for."""
    return type(kind.__name__, (_InTime, kind), {})


class Pool(redis.BlockingConnectionPool):
    """A pool whose callers wait for a connection as long as their operation may."""

    def __init__(self, *, connection_class: Any = redis.Connection, **options: Any) -> None:
        super().__init__(connection_class=in_time(connection_class), **options)  # type: ignore[no-untyped-call]  # redis-py's

    @property
    def timeout(self) -> float:
        """Seconds to wait for a connection."""
        return min(self._longest, patience())

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._longest = math.inf if seconds is None else seconds

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close all connections, or only idle ones; redis-py 6.0 knows no difference here."""
        if inuse_connections:
            super().disconnect()
        else:
            for connection in list(self.pool.queue):
                if connection is not None:
                    connection.disconnect()


# What part of a time-out may have passed before it begins anew: a timer costs as much as a reply.
_COARSE = 0.1


class _Exchanging:
    """A connection of an event loop, on which many requests are one exchange."""

    # Of redis-py's connection.
    socket_timeout: float | None
    health_check_interval: float
    next_health_check: float
    check_health: Callable[[], Awaitable[None]]
    disconnect: Callable[..., Awaitable[None]]
    _writer: asyncio.StreamWriter | None
    _parser: Any

    async def exchange(self, batch: Sequence[Request], latest: float) -> None:
        """Send all commands in one piece, and give each request its replies as they come.

        redis-py's own way, a task or a timer for every write and every reply, costs more than the
        trip.

        Args:
            batch: What is sent.
            latest: When it has failed, by the event loop's clock, whatever has come.

        Raises:
            redis.ConnectionError: The connection broke; some requests may have their replies.
            redis.TimeoutError: Nothing came for as long as `socket_timeout` says.
        """
        try:
            await self.check_health()
            async with asyncio.timeout_at(self._due(latest)) as limit:
                await self._write(b"".join([request.packed for request in batch]))
                for request in batch:
                    request.answer([await self._reply(limit, latest) for _ in range(request.count)])
        except BaseException as error:
            await self.disconnect(nowait=True)  # what comes must be read by nobody
            if isinstance(error, TimeoutError):
                raise redis.TimeoutError("no reply came in time") from error
            raise
        now = asyncio.get_running_loop().time()
        self.next_health_check = now + self.health_check_interval

    async def _write(self, packed: bytes) -> None:
        if self._writer is None:
            raise redis.ConnectionError("the connection was closed meanwhile")
        self._writer.write(packed)
        await self._writer.drain()

    def _due(self, latest: float) -> float:
        """Tell when something must have come."""
        longest = math.inf if self.socket_timeout is None else self.socket_timeout
        return min(latest, asyncio.get_running_loop().time() + longest)

    async def _reply(self, limit: asyncio.Timeout, latest: float) -> Any:
        due = self._due(latest)
        if due - cast("float", limit.when()) > _COARSE * (self.socket_timeout or 0):
            limit.reschedule(due)
        try:
            return await self._parser.read_response(disable_decoding=True)
        except redis.ConnectionError as error:
            if type(error) is redis.ConnectionError:
                raise
            return error  # the server said so, of this command: it is loading, for instance


@cache
def exchanging(kind: type) -> type:
    """Make a class of connections on which many requests are one exchange."""
    return type(kind.__name__, (_Exchanging, kind), {})


class AsyncPool(redis.asyncio.BlockingConnectionPool):
    """A pool of connections on which many requests are one exchange."""

    def __init__(self, *, connection_class: Any = redis.asyncio.Connection, **options: Any) -> None:
        super().__init__(connection_class=exchanging(connection_class), **options)

    async def take(self, latest: float) -> Any:
        """Give a connection that is ready, for whoever sees to it that there are never too many.

        redis-py's `get_connection`, which may wait for one, costs half as much as a trip.

        Args:
            latest: When to give up, by the event loop's clock.
        """
        idle = self._available_connections
        if not idle or not idle[-1].is_connected:
            async with asyncio.timeout_at(latest):
                return await self.get_connection()  # type: ignore[no-untyped-call]  # redis-py's
        connection = idle.pop()
        self._in_use_connections.add(connection)
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def give_back(self, connection: Any) -> None:
        """Take back what `take` gave."""
        # redis-py 6 knows no maintenance of servers, before which connections are made anew.
        leaves = getattr(connection, "should_reconnect", bool)
        if leaves():
            await self.release(connection)  # which disconnects it
        else:
            self._in_use_connections.remove(connection)
            self._available_connections.append(connection)

    async def leave(self) -> None:
        """Close the idle connections; `disconnect` waits, and closes what others begin to use."""
        for connection in [*self._available_connections]:
            await connection.disconnect(nowait=True)


def set_up_and_settle(connection: Any) -> None:
    """Make a new connection with TLS ready; see `settle`."""
    connection.on_connect()
    settle(connection)


def settle(connection: Any) -> None:
    """Read what a server with TLS 1.3 sends after the handshake: session tickets.

    redis-py's pool for threads takes them, unread, for the rest of a reply and refuses the
    connection; they are read along with the first reply, which there is none of without password
    and database.
    """
    connection.send_command("PING", check_health=False)
    # A user who may not ask is told so by what comes next.
    with suppress(redis.ResponseError):
        connection.read_response()


class InTurn(list[Any]):
    """The sentinels in the order in which they are asked.

    redis-py moves the one that answered to the front by exchanging two items. When two callers do
    so at once, one sentinel is there twice then and another one lost, until none is left but those
    that are dead; and what was lost is never closed.
    """

    def __setitem__(self, position: Any, sentinel: Any) -> None:
        if position == 0:
            others = [other for other in self if other is not sentinel]
            super().__setitem__(slice(None), [sentinel, *others])


class SentinelPool(redis.sentinel.SentinelConnectionPool, Pool):
    """Asks the sentinels for the primary, and makes callers wait for a connection."""


class AsyncSentinelPool(redis.asyncio.sentinel.SentinelConnectionPool, AsyncPool):
    """The same on an event loop."""


class AsyncClusterBefore8(redis.asyncio.RedisCluster):
    """A client that keeps no connections that it could not open.

    Before version 8, redis-py forgets these, but they stay on its list for ever: when there are as
    many as may be, it opens no other.
    """

    async def initialize(self, *args: Any, **options: Any) -> redis.asyncio.RedisCluster:
        """Find the nodes, if that was not done before; redis-py does so before each request."""
        manager = self.nodes_manager
        for node in (*manager.startup_nodes.values(), *manager.nodes_cache.values()):
            if isinstance(node._connections, list):  # noqa: SLF001 - see above
                cast("Any", node)._connections = _Known(node._connections)  # noqa: SLF001
        return await super().initialize(*args, **options)


class _Known(weakref.WeakSet[Any]):
    """The connections of a node that are free or that somebody uses."""

    append = weakref.WeakSet.add


def before_8(options: dict[str, Any]) -> dict[str, Any]:
    """Give the options of an `AsyncClusterBefore8`."""
    # redis-py 7.2 to 7.4 have driver_info for other clients only.
    kept = {name: value for name, value in options.items() if name != "driver_info"}
    return {"lib_name": None, "lib_version": None, **kept}
