"""LangChain's cache for what models answer."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.outputs import ChatGeneration, Generation
from typing_extensions import override

from langchain_redis_memory.caching.fingerprint import fingerprint
from langchain_redis_memory.caching.results import decode_result, encode_result
from langchain_redis_memory.errors import (
    ConfigurationError,
    CorruptedDataError,
    RedisMemoryError,
)
from langchain_redis_memory.limits import check_ttl
from langchain_redis_memory.storage.steps import afollow, follow
from langchain_redis_memory.values import delete_matching, get_all, set_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.caches import RETURN_VAL_TYPE

    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.storage.operation import Operation
    from langchain_redis_memory.storage.steps import Steps

_OF_RUN = "lc_run-"
"""How the id of an answer begins that LangChain gave it (`langchain_core.utils`, LC_ID_PREFIX)."""

_logger = logging.getLogger("langchain_redis_memory")


class RedisLLMCache(BaseCache):
    """What models answered, for `set_llm_cache` or a model's ``cache=``.

    Made by `RedisMemory.llm_cache`. An answer that cannot be stored, for what it holds or since
    Redis refuses it or is away, has been paid for: the model gives it, and the log says so.

    Args:
        connection: Where the answers are.
        prefix: What the key of each starts with.
        ttl: Seconds until an answer expires after it was stored; None for never.
    """

    def __init__(self, connection: Connection, prefix: str, ttl: float | None = None) -> None:
        check_ttl(ttl)
        self._connection = connection
        self._prefix = prefix
        self._ttl = ttl

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._prefix!r})"

    @override
    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        name = self._name(prompt, llm_string)
        return _generations(self._connection.run(get_all([name])), name)

    @override
    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        name = self._name(prompt, llm_string)
        return _generations(await self._connection.arun(get_all([name])), name)

    @override
    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        try:
            self._connection.run(self._store(prompt, llm_string, return_val))
        except RedisMemoryError as error:
            _log(error)

    @override
    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        try:
            await self._connection.arun(self._store(prompt, llm_string, return_val))
        except RedisMemoryError as error:
            _log(error)

    @override
    def clear(self, **kwargs: Any) -> int:  # type: ignore[override]  # LangChain's tells nothing
        """Remove all answers of the agent, and tell how many there were.

        Raises:
            ConfigurationError: An option was given: there is no clearing of some of them.
        """
        return follow(self._connection, self._clear(kwargs))

    @override
    async def aclear(self, **kwargs: Any) -> int:  # type: ignore[override]  # see `clear`
        """See `clear`."""
        return await afollow(self._connection, self._clear(kwargs))

    def _name(self, prompt: str, llm_string: str) -> str:
        return self._prefix + fingerprint(str(prompt), str(llm_string))

    def _store(
        self, prompt: str, llm_string: str, generations: Sequence[Generation]
    ) -> Operation[None]:
        entry = encode_result(list(generations), "generations", exact=False)
        return set_all([(self._name(prompt, llm_string), entry)], self._ttl)

    def _clear(self, options: dict[str, Any]) -> Steps[int]:
        if options:
            raise ConfigurationError("clear takes no options: it removes all answers of the agent")
        form = re.compile(re.escape(self._prefix.encode()) + rb"[0-9a-f]{64}")
        return delete_matching(f"{self._prefix}*", form.fullmatch)


def _generations(values: list[bytes | None], name: str) -> list[Generation] | None:
    entry = values[0]
    if entry is None:
        return None
    found = decode_result(entry, name)
    if isinstance(found, list) and all(isinstance(item, Generation) for item in found):
        for generation in found:
            _forget_run(generation)
        return found
    raise CorruptedDataError(name, None, "it holds no generations")


def _forget_run(generation: Generation) -> None:
    # The id that LangChain gives an answer names the run; a second answer with the same one would
    # replace the first in the state of a graph.
    if isinstance(generation, ChatGeneration) and (generation.message.id or "").startswith(_OF_RUN):
        generation.message.id = None


def _log(error: RedisMemoryError) -> None:
    _logger.warning("a model's answer was not stored in the cache: %s", error)
