"""What a `Connection` asks of a server, and the server whose clients were passed in."""

from __future__ import annotations

from typing import Any, Protocol

import redis
import redis.asyncio

from langchain_redis_memory.errors import ConfigurationError

Client = redis.Redis | redis.RedisCluster
AsyncClient = redis.asyncio.Redis | redis.asyncio.RedisCluster


class Server(Protocol):
    """A server that a `Connection` may use."""

    address: str
    """Where it is, for people: never with a password."""
    owns_clients: bool
    """Whether the clients are ours to close."""
    starts: bool
    """Whether `prepare` has work to do, which may take a moment."""

    spans_slots: bool
    """Whether it is a cluster, where one call cannot reach keys of several slots."""

    @property
    def encrypts(self) -> bool:
        """Whether what is sent is encrypted."""

    @property
    def limit(self) -> int | None:
        """How many operations the threads, or one event loop, may have under way at once.

        None if that is not ours to say.
        """

    def prepare(self) -> None:
        """See to it that the server runs: before first use, and after it could not be reached."""

    def client(self) -> Client:
        """Make a client for all threads; a cluster's asks for the slots at once."""

    def async_client(self) -> AsyncClient:
        """Make a client for one event loop; no I/O."""

    def release(self) -> None:
        """Leave the server, when its last client is closed."""


class GivenClients:
    """Clients that were passed in: they are used as they are, and never closed.

    Args:
        client: For synchronous use.
        async_client: For use on the event loop that it belongs to.
    """

    owns_clients = False
    starts = False
    limit = None

    def __init__(self, client: Client | None, async_client: AsyncClient | None) -> None:
        if client is None and async_client is None:
            raise ConfigurationError(
                "name a server: RedisMemory.from_url(...), RedisMemory.embedded(...), or "
                "RedisMemory(client=..., async_client=...)"
            )
        _expect("client", client, Client)
        _expect("async_client", async_client, AsyncClient)
        self._client = client
        self._async_client = async_client
        self.spans_slots = isinstance(
            client if client is not None else async_client,
            redis.RedisCluster | redis.asyncio.RedisCluster,
        )
        self.address = _address(client if client is not None else async_client)

    @property
    def encrypts(self) -> bool:
        """See `Server.encrypts`."""
        client: Any = self._client if self._client is not None else self._async_client
        if self.spans_slots:
            options = client.nodes_manager.connection_kwargs
            return bool(options.get("ssl")) or _is_encrypted(options.get("connection_class"))
        return _is_encrypted(client.connection_pool.connection_class)

    def prepare(self) -> None:
        """See `Server.prepare`."""

    def client(self) -> Client:
        """Give the client that was passed in."""
        if self._client is None:
            raise ConfigurationError(
                "this memory was made with an async client only; pass client= for synchronous use"
            )
        return self._client

    def async_client(self) -> AsyncClient:
        """Give the async client that was passed in."""
        if self._async_client is None:
            raise ConfigurationError(
                "this memory was made with a synchronous client only; pass async_client= for "
                "asynchronous use"
            )
        return self._async_client

    def release(self) -> None:
        """See `Server.release`."""


def _expect(name: str, value: object, kinds: Any) -> None:
    if value is not None and not isinstance(value, kinds):
        package = "redis.asyncio" if kinds is AsyncClient else "redis"
        raise ConfigurationError(
            f"{name} must be a {package}.Redis or {package}.RedisCluster, "
            f"not {type(value).__module__}.{type(value).__name__}"
        )


def _is_encrypted(connections: Any) -> bool:
    kinds = (redis.SSLConnection, redis.asyncio.SSLConnection)
    return isinstance(connections, type) and issubclass(connections, kinds)


def _address(client: Any) -> str:
    if isinstance(client, redis.RedisCluster | redis.asyncio.RedisCluster):
        return "cluster " + ",".join(client.nodes_manager.startup_nodes)
    pool = client.connection_pool
    options = pool.connection_kwargs
    if "path" in options:
        return f"unix://{options['path']}"
    if service := getattr(pool, "service_name", ""):
        return f"sentinel {service}/{options.get('db', 0)}"
    host, port = options.get("host", "localhost"), options.get("port", 6379)
    return f"{host}:{port}/{options.get('db', 0)}"
