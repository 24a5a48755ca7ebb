"""What of `RedisMemory` looks at what there is, and at the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_redis_memory.part import MemoryPart

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_redis_memory.inspection.doctor import Diagnosis
    from langchain_redis_memory.inspection.figures import Stats
    from langchain_redis_memory.inspection.walking import Walked
    from langchain_redis_memory.storage.steps import Steps


class Inspection(MemoryPart):
    """Figures of a memory, and what is wrong with it or its server."""

    def stats(
        self,
        *,
        agent: str | None = None,
        user: str | None = None,
        top: int = 10,
        progress: Callable[[Walked], object] | None = None,
    ) -> Stats:
        """Count what the memory holds: sessions, messages, bytes, expiries, and whose they are.

        Goes through all keys of the server, in steps of less than a millisecond, and keeps sums
        and the largest only, so that it needs no more memory for a million keys than for a few.
        What changes meanwhile may be counted or not.

        Args:
            agent: Whose keys; None for those of all agents, and what belongs to none.
            user: Whose keys; None for those of all users, and what belongs to none.
            top: How many agents, users and sessions are named.
            progress: Called with how far it has come.

        Raises:
            ConfigurationError: An argument cannot be used.
            StorageUnavailable: Redis could not be reached.
        """
        return self._follow(self._counting(agent, user, top, progress))

    async def astats(
        self,
        *,
        agent: str | None = None,
        user: str | None = None,
        top: int = 10,
        progress: Callable[[Walked], object] | None = None,
    ) -> Stats:
        """See `stats`."""
        return await self._afollow(self._counting(agent, user, top, progress))

    def doctor(
        self, *, keys: bool = True, progress: Callable[[Walked], object] | None = None
    ) -> Diagnosis:
        """Look for what is wrong with the server, with what it allows, and with what is stored.

        The one method that sends admin commands, all of which only read: see docs/operations.md.
        What cannot be reached and what the server does not tell is a finding, and no error.
        Nothing that is stored changes.

        Args:
            keys: Whether to go through all keys too, as `stats` does.
            progress: Called with how far that has come.

        Raises:
            ConfigurationError: An argument cannot be used.
        """
        return self._follow(self._examining(keys, progress))

    async def adoctor(
        self, *, keys: bool = True, progress: Callable[[Walked], object] | None = None
    ) -> Diagnosis:
        """See `doctor`."""
        return await self._afollow(self._examining(keys, progress))

    def _counting(
        self,
        agent: str | None,
        user: str | None,
        top: int,
        progress: Callable[[Walked], object] | None,
    ) -> Steps[Stats]:
        from langchain_redis_memory.inspection.survey import Survey  # noqa: PLC0415 - see `MemoryPart`

        return Survey(self._keys, agent, user, top).steps(progress)

    def _examining(
        self, keys: bool, progress: Callable[[Walked], object] | None
    ) -> Steps[Diagnosis]:
        from langchain_redis_memory.inspection.doctor import examine  # noqa: PLC0415 - see `MemoryPart`

        server = self._connection.server
        return examine(self._keys, server, self._limits.ttl_ms, walks=keys, progress=progress)
