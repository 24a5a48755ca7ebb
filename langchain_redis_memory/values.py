"""Values by key: what of `RedisMemory` reads and writes them, and what is sent for it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import ConfigurationError, StorageRejected
from langchain_redis_memory.limits import check_ttl, in_milliseconds
from langchain_redis_memory.part import MemoryPart
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.operation import Command, Operation
from langchain_redis_memory.storage.steps import each_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_redis_memory.storage.operation import Page
    from langchain_redis_memory.storage.steps import Steps

_BATCH = 500  # keys a request


class Values(MemoryPart):
    """Text by key, of a memory."""

    def get(self, key: str) -> str | None:
        """Read a text under a key of your own, outside the namespace; None if there is none.

        Raises:
            ConfigurationError: The key cannot be used.
        """
        return self._connection.run(get_text(self._keys.foreign(key)))

    async def aget(self, key: str) -> str | None:
        """See `get`."""
        return await self._connection.arun(get_text(self._keys.foreign(key)))

    def set(self, key: str, value: str, ttl: float | None = 3600) -> None:
        """Write a text under a key of your own, outside the namespace.

        Args:
            key: The key, as it stands.
            value: The text.
            ttl: Seconds until it expires; None for never.

        Raises:
            ConfigurationError: An argument cannot be used.
        """
        self._connection.run(set_text(self._keys.foreign(key), value, ttl))

    async def aset(self, key: str, value: str, ttl: float | None = 3600) -> None:
        """See `set`."""
        await self._connection.arun(set_text(self._keys.foreign(key), value, ttl))


def get_all(names: Sequence[str]) -> Operation[list[bytes | None]]:
    """Read values, None for each that is not there; GET each, as they may be in many slots."""
    commands: list[Command] = [("GET", name) for name in names]
    return Operation(
        "reading values",
        tuple(commands),
        list,
        names[0],
        absent=lambda: [None] * len(names),
    )


def set_all(pairs: Sequence[tuple[str, bytes]], ttl: float | None) -> Operation[None]:
    """Write values; on a cluster not all of them at one moment."""
    expiry: tuple[Any, ...] = ("PX", in_milliseconds(ttl)) if ttl is not None else ()
    commands: list[Command] = [("SET", name, value, *expiry) for name, value in pairs]
    return Operation(
        "storing values",
        tuple(commands),
        lambda _: None,
        pairs[0][0],
        absent=lambda: None,
        writes=True,
    )


def delete_all(names: Sequence[str]) -> Operation[None]:
    """Remove values."""
    commands: list[Command] = [("UNLINK", name) for name in names]
    return Operation("removing values", tuple(commands), lambda _: None, names[0])


def delete_matching(pattern: str, is_meant: Callable[[bytes], object]) -> Steps[int]:
    """Remove the values whose keys match and are meant, and tell how many there were."""
    removed = 0

    def delete(page: Page) -> Steps[None]:
        nonlocal removed
        names = [name for name in page if is_meant(name)]
        for begin in range(0, len(names), _BATCH):
            removed += yield _unlink(names[begin : begin + _BATCH])

    yield from each_page(pattern, delete)
    return removed


def _unlink(names: Sequence[bytes]) -> Operation[int]:
    commands: list[Command] = [("UNLINK", name) for name in names]
    return Operation("removing values", tuple(commands), sum)


def get_text(key: str) -> Operation[str | None]:
    """Read a text."""
    return Operation(
        "reading a value",
        (("GET", _checked_key(key)),),
        lambda replies: _text(replies[0], key),
        key,
        absent=lambda: None,
    )


def set_text(key: str, value: str, ttl: float | None) -> Operation[None]:
    """Write a text."""
    check_ttl(ttl)
    if not isinstance(value, str):
        raise ConfigurationError(f"the value must be a string, not {type(value).__name__}")
    return set_all([(_checked_key(key), _encoded(value, "the value"))], ttl)


def _checked_key(key: str) -> str:
    encode_id(key, "key")
    _encoded(key, "key")
    return key


def _encoded(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{name} is not text that UTF-8 can hold") from None


def _text(value: bytes | None, key: str) -> str | None:
    if value is None:
        return None
    with suppress(UnicodeDecodeError):
        return value.decode()
    raise StorageRejected(
        f"the key {key!r} holds bytes that are no text; another program may have written them"
    )
