"""The execution cache: values of one's own, and what functions gave."""

from __future__ import annotations

import re
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from langchain_redis_memory.caching.fingerprint import fingerprint
from langchain_redis_memory.limits import check_ttl
from langchain_redis_memory.storage.exact import decode_value, encode_value
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.steps import afollow, follow
from langchain_redis_memory.values import delete_all, delete_matching, get_all, set_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.tools import BaseTool

    from langchain_redis_memory.caching.options import CachedOptions
    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.storage.operation import Operation
    from langchain_redis_memory.storage.steps import Steps

Cacheable = TypeVar("Cacheable", bound="Callable[..., Any] | BaseTool")


class ExecutionCache:
    """What need not be computed again; made by `RedisMemory.cache`.

    Args:
        connection: Where the entries are.
        prefix: What the key of each starts with.
        ttl: Seconds until an entry expires after it was stored; None for never.
    """

    def __init__(self, connection: Connection, prefix: str, ttl: float | None = 3600) -> None:
        check_ttl(ttl)
        self._connection = connection
        self._prefix = prefix
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._prefix!r})"

    def get(self, key: str, default: Any = None) -> Any:
        """Read a value; the default if there is none.

        Raises:
            ConfigurationError: The key cannot be used.
            CorruptedDataError: What is there is no JSON.
        """
        name = self._name(key)
        return _value(self._connection.run(get_all([name])), name, default)

    async def aget(self, key: str, default: Any = None) -> Any:
        """See `get`."""
        name = self._name(key)
        return _value(await self._connection.arun(get_all([name])), name, default)

    def set(self, key: str, value: Any, ttl: float | EllipsisType | None = ...) -> None:
        """Store a value.

        Args:
            key: Any non-empty string.
            value: What JSON holds.
            ttl: Seconds until it expires; None for never; the cache's unless given.

        Raises:
            ConfigurationError: The key or the time to live cannot be used.
            UnstorableError: JSON does not hold the value; nothing was written.
        """
        self._connection.run(self._set(key, value, ttl))

    async def aset(self, key: str, value: Any, ttl: float | EllipsisType | None = ...) -> None:
        """See `set`."""
        await self._connection.arun(self._set(key, value, ttl))

    def delete(self, key: str) -> None:
        """Remove a value.

        Raises:
            ConfigurationError: The key cannot be used.
        """
        self._connection.run(delete_all([self._name(key)]))

    async def adelete(self, key: str) -> None:
        """See `delete`."""
        await self._connection.arun(delete_all([self._name(key)]))

    def clear(self) -> int:
        """Remove all entries of the agent but models' answers, and tell how many there were.

        What is being computed meanwhile is given to its callers, and not stored.
        """
        return follow(self._connection, self._clear())

    async def aclear(self) -> int:
        """See `clear`."""
        return await afollow(self._connection, self._clear())

    @overload
    def cached(self, function: Cacheable, /, **options: Unpack[CachedOptions]) -> Cacheable: ...

    @overload
    def cached(self, /, **options: Unpack[CachedOptions]) -> Callable[[Cacheable], Cacheable]: ...

    def cached(self, function: Any = None, /, **options: Any) -> Any:
        """Decorate a function, sync or async, or a LangChain tool, so that it keeps its results.

        A call is known by the function's module and name, and by its arguments. One of the callers
        that need the same result at a time computes it, whatever process they are in; the others
        wait for it. See docs/cache.md.

        Args:
            function: The function or the tool; None to decorate with options.
            options: ``ttl``: seconds until a result expires, None for never; the cache's unless
                given.
                ``ignore``: names of arguments that the result does not depend on.
                ``key``: a function of the same arguments, less the ignored ones, that gives what
                counts instead of them.
                ``name``: what the function is known by instead of its module and name.
                ``version``: changed with the code, it leaves old results behind.
                ``errors``: classes of exceptions that are kept too, and raised again as
                `CachedError` of the same class.
                ``error_ttl``: seconds until an error is forgotten; ``ttl`` unless given.
                ``lease``: seconds until another caller may compute what a process that died was
                computing; 30 unless given.
                ``wait``: seconds to wait for another caller, and then compute as well; ``lease``
                unless given.
                ``strict``: whether a result that cannot be stored is an error; a warning in the
                log unless given.

        Raises:
            ConfigurationError: An option cannot be used, or the function cannot be told from
                others.
        """
        from langchain_redis_memory.caching.cached import Place, decorated  # noqa: PLC0415 - loads langchain_core.outputs
        from langchain_redis_memory.caching.options import Options  # noqa: PLC0415 - the same

        chosen = Options(**{"ttl": self._ttl, **_given(options)})
        place = Place(self._connection, self._prefix)
        if function is None:
            return lambda function: decorated(function, place, chosen)
        return decorated(function, place, chosen)

    def _name(self, key: str) -> str:
        encode_id(key, "key")
        return self._prefix + fingerprint("key", str(key))

    def _set(self, key: str, value: Any, ttl: float | EllipsisType | None) -> Operation[None]:
        lasts = self._ttl if isinstance(ttl, EllipsisType) else ttl
        check_ttl(lasts)
        return set_all([(self._name(key), encode_value(value, "value"))], lasts)

    def _clear(self) -> Steps[int]:
        form = re.compile(re.escape(self._prefix.encode()) + rb"[0-9a-f]{64}")
        return delete_matching(f"{self._prefix}*", form.fullmatch)


def _value(values: list[bytes | None], name: str, default: Any) -> Any:
    return default if values[0] is None else decode_value(values[0], name)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not ...}
