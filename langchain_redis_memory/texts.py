"""What of `RedisMemory` reads and writes texts under keys of one's own, and what is sent for it."""

from __future__ import annotations

from contextlib import suppress

from langchain_redis_memory.errors import ConfigurationError, StorageRejected
from langchain_redis_memory.limits import check_ttl
from langchain_redis_memory.part import MemoryPart
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.operation import Operation


class Texts(MemoryPart):
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
    from langchain_redis_memory.values import set_all  # noqa: PLC0415 - see `MemoryPart`

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
