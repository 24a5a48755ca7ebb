"""redis-py's connections and pools, with what we need of them and they do not do."""

from __future__ import annotations

import math
import weakref
from functools import cache
from typing import Any, cast

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

from langchain_redis_memory.storage.retry import patience


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


class AsyncSentinelPool(
    redis.asyncio.sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool
):
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
