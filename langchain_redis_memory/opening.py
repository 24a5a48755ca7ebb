"""What of `RedisMemory` makes one: on the server of a URL, on an embedded one, from settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.limits import SEVEN_DAYS, Limits, check_ttl
from langchain_redis_memory.part import MemoryPart
from langchain_redis_memory.storage.connection import Connection
from langchain_redis_memory.storage.keys import Keys
from langchain_redis_memory.storage.retry import checked
from langchain_redis_memory.storage.topologies import Embedded, server_at

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from langchain_redis_memory.settings.memory_settings import MemorySettings
    from langchain_redis_memory.settings.redis_settings import RedisSettings
    from langchain_redis_memory.storage.retry import RetryPolicy
    from langchain_redis_memory.storage.servers import Server
    from langchain_redis_memory.window import Window

OnUnavailable = Literal["error", "stateless"]


class Opening(MemoryPart):
    """The ways to make a memory."""

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        namespace: str = "agent",
        ttl: float | None = SEVEN_DAYS,
        profile_ttl: float | None = None,
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
            profile_ttl: See `RedisMemory`.
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
        return cls._on(
            lambda policy: server_at(url, policy, redis_options),
            namespace=namespace,
            ttl=ttl,
            profile_ttl=profile_ttl,
            window=window,
            max_messages=max_messages,
            retry=retry,
            on_unavailable=on_unavailable,
            outage_pause=outage_pause,
        )

    @classmethod
    def embedded(
        cls,
        directory: str | os.PathLike[str],
        *,
        namespace: str = "agent",
        ttl: float | None = SEVEN_DAYS,
        profile_ttl: float | None = None,
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
            profile_ttl: See `RedisMemory`.
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

        return cls._on(
            lambda policy: Embedded(EmbeddedServer(directory), policy, redis_options),
            namespace=namespace,
            ttl=ttl,
            profile_ttl=profile_ttl,
            window=window,
            max_messages=max_messages,
            retry=retry,
            on_unavailable=on_unavailable,
            outage_pause=outage_pause,
        )

    @classmethod
    def from_settings(
        cls,
        redis: RedisSettings | None = None,
        memory: MemorySettings | None = None,
        **options: Any,
    ) -> Self:
        """Make a memory as environment variables say, or the file ``.env``: docs/settings.md.

        Args:
            redis: Where the server is; ``REDIS__...`` unless given.
            memory: How the memory behaves; ``MEMORY__...`` unless given.
            options: What `from_url` takes by keyword, in place of what the settings say.

        Raises:
            ConfigurationError: A variable or an option cannot be used; it names all such variables.
        """
        from langchain_redis_memory.settings.reading import settings_of  # noqa: PLC0415 - loads pydantic-settings

        place, behaviour = settings_of(redis, memory)
        chosen = {name: options.pop(name, said) for name, said in behaviour.options().items()}
        if place.embedded is not None:
            return cls.embedded(place.embedded, **chosen, **{**place.options(), **options})
        address = place.address(options)
        return cls._on(lambda policy: server_at(address, policy, {}), **chosen)

    @classmethod
    def _on(cls, server: Callable[[RetryPolicy], Server], **options: Any) -> Self:
        memory = cls.__new__(cls)
        memory._set_up(server, **options)  # noqa: SLF001 - a second constructor
        return memory

    def _set_up(
        self,
        server: Callable[[RetryPolicy], Server],
        *,
        namespace: str,
        ttl: float | None,
        profile_ttl: float | None,
        window: Window | int | None,
        max_messages: int | None,
        retry: RetryPolicy | None,
        on_unavailable: OnUnavailable,
        outage_pause: float,
    ) -> None:
        check_ttl(profile_ttl, "profile_ttl")
        self._profile_ttl = profile_ttl
        self._limits = Limits(ttl=ttl, window=window, max_messages=max_messages)
        policy = checked(retry)
        pause = _pause(on_unavailable, outage_pause)
        self._is_stateless = pause is not None
        self._keys = Keys(namespace)
        self._connection = Connection(server(policy), policy, pause)


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
