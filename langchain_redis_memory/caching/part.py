"""What of `RedisMemory` gives caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_redis_memory.part import MemoryPart

if TYPE_CHECKING:
    from langchain_redis_memory.caching.cache import ExecutionCache
    from langchain_redis_memory.caching.llm_cache import RedisLLMCache


class Caches(MemoryPart):
    """The caches of a memory."""

    def cache(self, agent: str, ttl: float | None = 3600) -> ExecutionCache:
        """Give the execution cache of an agent.

        Args:
            agent: Which agent; any non-empty string.
            ttl: Seconds until an entry expires after it was stored; None for never.

        Raises:
            ConfigurationError: An argument cannot be used.
        """
        from langchain_redis_memory.caching.cache import ExecutionCache  # noqa: PLC0415 - see `MemoryPart`

        return ExecutionCache(self._connection, self._keys.cache(agent), ttl)

    def llm_cache(self, agent: str, ttl: float | None = None) -> RedisLLMCache:
        """Give a cache of what models answer, for `set_llm_cache` or a model's ``cache=``.

        Args:
            agent: Which agent; any non-empty string.
            ttl: Seconds until an answer expires after it was stored; None for never.

        Raises:
            ConfigurationError: An argument cannot be used.
        """
        from langchain_redis_memory.caching.llm_cache import RedisLLMCache  # noqa: PLC0415 - the same

        return RedisLLMCache(self._connection, f"{self._keys.cache(agent)}llm:", ttl)
