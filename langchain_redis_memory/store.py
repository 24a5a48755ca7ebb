"""LangChain's `BaseStore` of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.stores import BaseStore
from typing_extensions import override

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.limits import check_ttl
from langchain_redis_memory.storage.keys import decode_id, encode_text
from langchain_redis_memory.storage.steps import Item, astream, each_page, stream
from langchain_redis_memory.values import delete_all, get_all, set_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.storage.operation import Operation, Page
    from langchain_redis_memory.storage.steps import Steps


class RedisStore(BaseStore[str, bytes]):
    """Bytes by key, for whatever in LangChain takes a store; made by `RedisMemory.store`.

    Several keys travel in one round trip.

    Args:
        connection: Where the values are.
        prefix: What the key of each starts with.
        ttl: Seconds until a value expires after it was set; None for never.
    """

    def __init__(self, connection: Connection, prefix: str, ttl: float | None = None) -> None:
        check_ttl(ttl)
        self._connection = connection
        self._prefix = prefix
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._prefix!r})"

    @override
    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._connection.run(get_all(self._names(keys))) if keys else []

    @override
    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._connection.arun(get_all(self._names(keys))) if keys else []

    @override
    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        if key_value_pairs:
            self._connection.run(self._set_all(key_value_pairs))

    @override
    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        if key_value_pairs:
            await self._connection.arun(self._set_all(key_value_pairs))

    @override
    def mdelete(self, keys: Sequence[str]) -> None:
        if keys:
            self._connection.run(delete_all(self._names(keys)))

    @override
    async def amdelete(self, keys: Sequence[str]) -> None:
        if keys:
            await self._connection.arun(delete_all(self._names(keys)))

    @override
    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        yield from stream(self._connection, self._each_key(prefix))

    @override
    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        async for key in astream(self._connection, self._each_key(prefix)):
            yield key

    def _names(self, keys: Sequence[str]) -> list[str]:
        return [self._prefix + encode_text(key, "a store's key") for key in keys]

    def _set_all(self, pairs: Sequence[tuple[str, bytes]]) -> Operation[None]:
        for _, value in pairs:
            if not isinstance(value, bytes):
                raise ConfigurationError(
                    f"a store's values must be bytes, not {type(value).__name__}"
                )
        names = self._names([key for key, _ in pairs])
        values = [value for _, value in pairs]
        return set_all(list(zip(names, values, strict=True)), self._ttl)

    def _each_key(self, prefix: str | None) -> Steps[None]:
        # Encoding goes character by character, so the encoded prefix is the prefix of the encoded.
        begin = self._prefix + (encode_text(prefix, "prefix") if prefix else "")
        seen: set[str] = set()  # SCAN may name a key twice

        def name_new(page: Page) -> Steps[None]:
            for name in page:
                key = decode_id(name.decode().removeprefix(self._prefix))
                if key not in seen:
                    seen.add(key)
                    yield Item(key)

        return each_page(f"{begin}*", name_new)
