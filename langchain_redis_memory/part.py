"""What the parts of `RedisMemory` stand on; each is a class in the module of its subject."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_redis_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_redis_memory.limits import Limits
    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.storage.keys import Keys
    from langchain_redis_memory.storage.steps import Steps

T = TypeVar("T")

DEFAULT_USER = "default"
"""The user of a session for which none was named."""


class MemoryPart:
    """A part of `RedisMemory`: some of its methods, on what the memory holds.

    The modules of the parts are loaded with the memory, so they load what does the work when it is
    used: most programs use few of them.
    """

    _connection: Connection
    _keys: Keys
    _limits: Limits
    _profile_ttl: float | None

    def _follow(self, steps: Steps[T]) -> T:
        from langchain_redis_memory.storage.steps import follow  # noqa: PLC0415 - see the class

        return follow(self._connection, steps)

    async def _afollow(self, steps: Steps[T]) -> T:
        from langchain_redis_memory.storage.steps import afollow  # noqa: PLC0415 - see the class

        return await afollow(self._connection, steps)

    def _stream(self, steps: Steps[None]) -> Iterator[Any]:
        from langchain_redis_memory.storage.steps import stream  # noqa: PLC0415 - see the class

        return stream(self._connection, steps)

    def _astream(self, steps: Steps[None]) -> AsyncIterator[Any]:
        from langchain_redis_memory.storage.steps import astream  # noqa: PLC0415 - see the class

        return astream(self._connection, steps)


def check_progress(progress: object) -> None:
    """Refuse what cannot be called with progress, which nobody awaits."""
    if progress is not None and (not callable(progress) or inspect.iscoroutinefunction(progress)):
        raise ConfigurationError("progress must be a function, and none that is to be awaited")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False: what "no" or None would mean is a guess."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r:.80}")
