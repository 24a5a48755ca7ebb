"""Servers named by a URL, with clients of our own: standalone, Sentinel, Cluster, embedded.

Clients that we make have redis-py's retries off, in every place where it has some: `retry` owns
them. Callers wait for a connection of the pool in place of failing.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.storage.async_pools import (
    AsyncClusterBefore8,
    AsyncPool,
    AsyncSentinelPool,
    before_8,
)
from langchain_redis_memory.storage.pools import (
    InTurn,
    Pool,
    SentinelPool,
    in_time,
    set_up_and_settle,
    settle,
)
from langchain_redis_memory.storage.urls import Address, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_redis_memory.storage.embedded import EmbeddedServer
    from langchain_redis_memory.storage.retry import RetryPolicy
    from langchain_redis_memory.storage.servers import AsyncClient, Client, Server


def server_at(url: str | Address, policy: RetryPolicy, options: dict[str, Any]) -> Server:
    """Give the server that a URL names, or what was made of one.

    Args:
        url: See `RedisMemory.from_url`.
        policy: Its time-outs bound those of the clients.
        options: What redis-py's connections and pools take, over our defaults: 10 connections,
            time-outs, keepalive, a check of connections that were idle for 30 s. What stands in
            the URL takes precedence, as in redis-py.

    Raises:
        ConfigurationError: The URL or an option cannot be used.
    """
    address = url if isinstance(url, Address) else parse(url)
    kinds = {"standalone": Standalone, "sentinel": Sentinel, "cluster": Cluster}
    return kinds[address.topology](address, policy, options)


class Standalone:
    """One server, by TCP, TLS or a Unix socket; see `server_at` for the arguments."""

    owns_clients = True
    starts = False
    spans_slots = False

    def __init__(self, address: Address, policy: RetryPolicy, options: dict[str, Any]) -> None:
        self.address = str(address)
        self._at = address
        self._options = {**_defaults(address, policy), **options, **address.options}
        _refuse_retries(self._options)
        self._check()

    @property
    def limit(self) -> int:
        """As many as there are connections.

        redis-py's asynchronous pools lose a waiting caller when another one is cancelled, and a
        cluster's do not wait at all; so nobody gets to wait there.
        """
        return int(self._options["max_connections"])

    @property
    def encrypts(self) -> bool:
        """See `Server.encrypts`."""
        return self._at.tls

    def prepare(self) -> None:
        """See `Server.prepare`."""

    def client(self) -> Client:
        """See `Server.client`."""
        return redis.Redis.from_pool(self._pool())

    def async_client(self) -> AsyncClient:
        """See `Server.async_client`."""
        return redis.asyncio.Redis.from_pool(self._async_pool())

    def release(self) -> None:
        """See `Server.release`."""

    def _pool(self) -> redis.BlockingConnectionPool:
        return Pool(
            connection_class=self._connection_class(redis),
            **self._settling(set_up_and_settle),
            **self._reached(),
            retry=_no_retry(),
        )

    def _async_pool(self) -> redis.asyncio.BlockingConnectionPool:
        return AsyncPool(
            connection_class=self._connection_class(redis.asyncio),
            **self._reached(),
            retry=_no_async_retry(),
        )

    def _settling(self, connected: Callable[[Any], None]) -> dict[str, Any]:
        """Give what makes connections with TLS ready for redis-py's threads' pools."""
        ours = self._at.tls and "redis_connect_func" not in self._options
        return {"redis_connect_func": connected} if ours else {}

    def _connection_class(self, flavour: Any) -> Any:
        if not self._at.nodes:
            return flavour.UnixDomainSocketConnection
        return flavour.SSLConnection if self._at.tls else flavour.Connection

    def _reached(self) -> dict[str, Any]:
        place = (
            dict(zip(("host", "port"), self._at.nodes[0], strict=True)) if self._at.nodes else {}
        )
        return {**self._options, **place}

    def _check(self) -> None:
        """Let redis-py look at the options; it connects only when a connection is used."""
        try:
            pool = self._pool()
            pool.connection_class(**pool.connection_kwargs)
        except (TypeError, ValueError, redis.RedisError) as error:
            # redis-py's words name the option; they never hold its value.
            raise ConfigurationError(f"the options for {self.address} are wrong: {error}") from None


class Embedded(Standalone):
    """The embedded server in a directory."""

    starts = True

    def __init__(
        self, embedded: EmbeddedServer, policy: RetryPolicy, options: dict[str, Any]
    ) -> None:
        self._embedded = embedded
        at = Address("standalone", options={"path": embedded.socket_path})
        super().__init__(at, policy, options)

    def prepare(self) -> None:
        """Start the server if it does not run."""
        self._embedded.ensure_running()

    def release(self) -> None:
        """Leave the server; the last to leave stops it."""
        self._embedded.release()


class Sentinel(Standalone):
    """The primary that some sentinels agree on."""

    def _pool(self) -> redis.BlockingConnectionPool:
        settling = self._settling(set_up_and_settle)
        manager = redis.sentinel.Sentinel(
            self._at.nodes,
            sentinel_kwargs={**settling, **self._for_sentinels(), "retry": _no_retry()},
        )
        manager.sentinels = InTurn(manager.sentinels)
        for sentinel in manager.sentinels:
            pool = sentinel.connection_pool
            pool.connection_class = in_time(pool.connection_class)
        return SentinelPool(  # type: ignore[no-untyped-call]  # its base is redis-py's
            self._at.service, manager, **settling, **self._for_primary(), retry=_no_retry()
        )

    def _async_pool(self) -> redis.asyncio.BlockingConnectionPool:
        manager = redis.asyncio.sentinel.Sentinel(
            self._at.nodes, sentinel_kwargs={**self._for_sentinels(), "retry": _no_async_retry()}
        )
        manager.sentinels = InTurn(manager.sentinels)
        return AsyncSentinelPool(  # type: ignore[no-untyped-call]  # its base is redis-py's
            self._at.service, manager, **self._for_primary(), retry=_no_async_retry()
        )

    def _for_primary(self) -> dict[str, Any]:
        options = {k: v for k, v in self._options.items() if not k.startswith("sentinel_")}
        return {**options, "ssl": self._at.tls}

    def _for_sentinels(self) -> dict[str, Any]:
        # Sentinels have users of their own; the network is the same.
        shared = ("socket_", "ssl_", "driver_info", "lib_", "protocol")
        options = {k: v for k, v in self._options.items() if k.startswith(shared)}
        for name in ("username", "password"):
            if f"sentinel_{name}" in self._options:
                options[name] = self._options[f"sentinel_{name}"]
        return {**options, "ssl": self._at.tls, **self._options.get("sentinel_kwargs", {})}


class Cluster(Standalone):
    """A cluster, found by any of its nodes."""

    spans_slots = True

    @property
    def limit(self) -> int:
        """One fewer: a node that is asked for the slots has a connection for that meanwhile."""
        return max(super().limit - 1, 1)

    def _reached(self) -> dict[str, Any]:
        # What only the cluster's client takes is no option of a connection.
        its_own = set(inspect.signature(redis.RedisCluster.__init__).parameters)
        return {k: v for k, v in super()._reached().items() if k not in its_own - {"host", "port"}}

    def client(self) -> Client:
        """See `Server.client`."""
        # By itself it drops options without a word, health_check_interval among them, and with
        # nodes alone also the class of pool: so the pools get theirs here, and it gets a URL.
        pool = partial(
            Pool,
            connection_class=self._connection_class(redis),
            **self._reached(),
        )
        (host, port), *others = self._at.nodes
        return redis.RedisCluster(
            url=f"redis://[{host}]:{port}" if ":" in host else f"redis://{quote(host)}:{port}",
            startup_nodes=[redis.cluster.ClusterNode(*node) for node in others],
            connection_pool_class=pool,
            **self._settling(settle),
            retry=_no_retry(),
            **{name: value for name, value in self._options.items() if name != "timeout"},
        )

    def async_pool(self, host: str, port: int) -> AsyncPool:
        """Make a pool of connections to one node."""
        options = {**self._reached(), "host": host, "port": port}
        kind = self._connection_class(redis.asyncio)
        return AsyncPool(connection_class=kind, **options, retry=_no_async_retry())

    def async_client(self) -> AsyncClient:
        """See `Server.async_client`."""
        options = {k: v for k, v in self._options.items() if k != "timeout"}
        kind = redis.asyncio.RedisCluster
        if "driver_info" not in inspect.signature(kind.__init__).parameters:
            kind, options = AsyncClusterBefore8, before_8(options)
        return kind(
            startup_nodes=[redis.asyncio.cluster.ClusterNode(*node) for node in self._at.nodes],
            retry=_no_async_retry(),
            ssl=self._at.tls,
            **options,
        )


def _defaults(address: Address, policy: RetryPolicy) -> dict[str, Any]:
    return {
        "max_connections": 10,
        "timeout": policy.deadline,
        "socket_timeout": policy.attempt_timeout,
        "socket_connect_timeout": policy.attempt_timeout,
        "health_check_interval": 30,
        # RESP2 needs no HELLO, and no CLIENT command that a restricted user lacks.
        "protocol": 2,
        **({"socket_keepalive": True} if address.nodes else {}),
        **_no_client_info(),
    }


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


def _no_async_retry() -> AsyncRetry:
    return AsyncRetry(NoBackoff(), 0)


def _refuse_retries(options: dict[str, Any]) -> None:
    for name in ("retry", "retry_on_error", "retry_on_timeout", "cluster_error_retry_attempts"):
        if name in options:
            raise ConfigurationError(
                f"{name} is not for redis-py to decide here: its retries would multiply with "
                "ours; pass retry=RetryPolicy(...)"
            )


def _no_client_info() -> dict[str, Any]:
    # CLIENT SETINFO costs two trips at every new connection, and a restricted user may lack it.
    if "driver_info" in inspect.signature(redis.Redis.__init__).parameters:
        return {"driver_info": None}
    return {"lib_name": None, "lib_version": None}
