"""The same of event loops: redis-py's connections and pools, with what we need of them."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, cast

import redis.asyncio
import redis.asyncio.sentinel

from langchain_redis_memory.storage.wire import Wire


class AsyncPool(redis.asyncio.BlockingConnectionPool):
    """A pool of connections that are read by a `Wire`.

    For whoever sees to it that there are never too many: redis-py's `get_connection`, which may
    wait for one, costs half as much as a trip.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._idle: list[Wire] = []
        self._gone: list[Wire] = []

    def take(self) -> Wire | None:
        """Give a connection that is ready, if there is one."""
        while self._idle:
            wire = self._idle.pop()
            if wire.is_ready():
                return wire
            wire.abort()
            self._gone.append(wire)
        return None

    async def open(self, latest: float) -> Wire:
        """Open another one.

        Args:
            latest: When to give up, by the event loop's clock.
        """
        async with asyncio.timeout_at(latest):
            while self._gone:
                await self._let_go(self._gone.pop().connection)
            connection = await self.get_connection()  # type: ignore[no-untyped-call]  # redis-py's
        try:
            return Wire(connection)
        except BaseException:
            await self._let_go(connection)
            raise

    def give_back(self, wire: Wire) -> None:
        """Take back what `take` or `open` gave."""
        # A new token of a credential provider is given to new connections.
        if wire.connection._re_auth_token is not None:  # noqa: SLF001 - redis-py tells nobody
            wire.abort()
        if wire.is_open:
            self._idle.append(wire)
        else:
            self._gone.append(wire)
            self.leave()  # what broke this one may have broken all

    def leave(self) -> None:
        """Close the idle connections."""
        for wire in self._idle:
            wire.abort()

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close all connections, or only idle ones."""
        if not inuse_connections:
            self.leave()
        await super().disconnect(inuse_connections)

    async def _let_go(self, connection: Any) -> None:
        connection.set_re_auth_token(None)  # it asks the provider when it connects again
        try:
            await connection.disconnect(nowait=True)
        finally:
            await self.release(connection)


class AsyncSentinelPool(redis.asyncio.sentinel.SentinelConnectionPool, AsyncPool):
    """The same on an event loop."""

    def give_back(self, wire: Wire) -> None:
        """See `AsyncPool.give_back`; one to a server that is no primary any more is closed."""
        if (wire.connection.host, wire.connection.port) != self.master_address:
            wire.abort()
        super().give_back(wire)


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
