"""`RedisMemory`: owns a connection, and hands out everything that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from langchain_redis_memory.caching.part import Caches
from langchain_redis_memory.chats import Chats
from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.inspection.part import Inspection
from langchain_redis_memory.limits import SEVEN_DAYS
from langchain_redis_memory.moving.part import Adoption, Archive
from langchain_redis_memory.opening import Opening
from langchain_redis_memory.profiles.part import Profiles
from langchain_redis_memory.sessions.part import Sessions
from langchain_redis_memory.sessions.removal import Removal
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.servers import GivenClients
from langchain_redis_memory.summaries.part import Summaries
from langchain_redis_memory.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import redis
    import redis.asyncio

    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.opening import OnUnavailable
    from langchain_redis_memory.storage.retry import RetryPolicy
    from langchain_redis_memory.store import RedisStore
    from langchain_redis_memory.window import Window


class RedisMemory(
    Opening,
    Chats,
    Profiles,
    Sessions,
    Summaries,
    Removal,
    Archive,
    Adoption,
    Caches,
    Texts,
    Shown,
    Inspection,
):
    """Memory of conversations in Redis.

    Made by `from_url`, `from_settings` or `embedded`, or here with redis-py clients of your own,
    which are used as they are and never closed. Nothing connects before it is used. One memory
    serves any number of threads and event loops; close it with `close`, `aclose`, ``with`` or
    ``async with``.

    Args:
        client: A `redis.Redis`, for synchronous use.
        async_client: A `redis.asyncio.Redis`, for use on the event loop that it belongs to.
        namespace: What every key starts with, so that tenants and environments can share a
            server.
        ttl: Seconds after its last read or write until a conversation expires; seven days unless
            said otherwise, None for never.
        profile_ttl: Seconds after its last read or write until a profile expires; None for never.
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
        profile_ttl: float | None = None,
        window: Window | int | None = None,
        max_messages: int | None = None,
        retry: RetryPolicy | None = None,
        on_unavailable: OnUnavailable = "error",
        outage_pause: float = 5.0,
    ) -> None:
        self._set_up(
            lambda _: GivenClients(client, async_client),
            namespace=namespace,
            ttl=ttl,
            profile_ttl=profile_ttl,
            window=window,
            max_messages=max_messages,
            retry=retry,
            on_unavailable=on_unavailable,
            outage_pause=outage_pause,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, namespace={self._keys.namespace!r})"

    def _card(self) -> Card:
        from langchain_redis_memory.display.memories import memory_card  # noqa: PLC0415 - see `Shown`

        return memory_card(
            self._connection,
            self._keys,
            self._limits,
            self._profile_ttl,
            is_stateless=self._is_stateless,
        )

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
        """How many requests went to the server so far.

        One may hold several commands, and on an event loop those of several callers.
        """
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


def _answered(replies: Sequence[Any]) -> bool:
    return replies[0] in (True, b"PONG", "PONG")


_PING: Operation[bool] = Operation("asking for an answer", (("PING",),), _answered)
