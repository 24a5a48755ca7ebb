"""What of `RedisMemory` gives summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_redis_memory.part import MemoryPart

if TYPE_CHECKING:
    from langchain_redis_memory.storage.operation import Operation
    from langchain_redis_memory.storage.steps import Steps
    from langchain_redis_memory.summaries.stored import Summary


class Summaries(MemoryPart):
    """The summaries of a memory's sessions, which ``with_history(..., summary=...)`` writes."""

    def summary(self, agent: str, user: str, session: str) -> Summary | None:
        """Give the summary of a session's older messages; None if there is none.

        It puts off no expiry.

        Args:
            agent: Which agent.
            user: Whose session.
            session: Which one.

        Raises:
            ConfigurationError: An id cannot be used.
        """
        return self._follow(self._summary(agent, user, session))

    async def asummary(self, agent: str, user: str, session: str) -> Summary | None:
        """See `summary`."""
        return await self._afollow(self._summary(agent, user, session))

    def clear_summary(self, agent: str, user: str, session: str) -> None:
        """Remove the summary of a session, whose messages stay.

        The next turn that finds too many messages outside of a summary begins a new one. Of
        messages that were removed with ``remove_folded=True`` nothing is left.

        Args:
            agent: Which agent.
            user: Whose session.
            session: Which one.

        Raises:
            ConfigurationError: An id cannot be used.
        """
        self._connection.run(self._clearing_summary(agent, user, session))

    async def aclear_summary(self, agent: str, user: str, session: str) -> None:
        """See `clear_summary`."""
        await self._connection.arun(self._clearing_summary(agent, user, session))

    def _summary(self, agent: str, user: str, session: str) -> Steps[Summary | None]:
        from langchain_redis_memory.summaries.stored import summary  # noqa: PLC0415 - see `MemoryPart`

        return summary(self._keys.session(agent, user, session))

    def _clearing_summary(self, agent: str, user: str, session: str) -> Operation[None]:
        from langchain_redis_memory.summaries.stored import delete  # noqa: PLC0415 - see `MemoryPart`

        return delete(self._keys.session(agent, user, session))
