"""What of `RedisMemory` lists sessions, and whose they are, and copies them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_redis_memory.part import MemoryPart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_redis_memory.sessions.copying import Until
    from langchain_redis_memory.sessions.listing import SessionPage
    from langchain_redis_memory.storage.steps import Steps


class Sessions(MemoryPart):
    """The sessions of a memory's users."""

    def agents(self) -> Iterator[str]:
        """Give each agent that has something stored, once, as SCAN finds them.

        SCAN goes through all keys of the server, about a thousand a round trip. An agent that
        begins meanwhile may be missing.

        Raises:
            StorageUnavailable: Redis could not be reached, also when going on without it.
        """
        return self._stream(self._naming_agents())

    def aagents(self) -> AsyncIterator[str]:
        """See `agents`."""
        return self._astream(self._naming_agents())

    def users(self, agent: str | None = None) -> Iterator[str]:
        """Give each user of whom something is stored, once, as SCAN finds them; see `agents`.

        About 100 bytes are held for each of them until all are given.

        Args:
            agent: Which agent's: who has a session with it or a profile for it. None for those of
                all agents, and who has a profile for all.

        Raises:
            ConfigurationError: The id cannot be used.
            StorageUnavailable: See `agents`.
        """
        return self._stream(self._naming_users(agent))

    def ausers(self, agent: str | None = None) -> AsyncIterator[str]:
        """See `users`."""
        return self._astream(self._naming_users(agent))

    def sessions(
        self, agent: str, user: str, *, limit: int | None = None, after: str | None = None
    ) -> SessionPage:
        """List a user's sessions with an agent, the one that was active last first.

        One round trip, and one more for each 500 of them, however many keys there are. What
        expired is left out.

        Args:
            agent: Which agent.
            user: Whose sessions.
            limit: How many at most; None for all.
            after: The ``next`` of the page before. Sessions that become active meanwhile move to
                the front, and none of the others is passed over.

        Raises:
            ConfigurationError: An id, the limit or the position cannot be used.
        """
        return self._follow(self._listing(agent, user, limit, after))

    async def asessions(
        self, agent: str, user: str, *, limit: int | None = None, after: str | None = None
    ) -> SessionPage:
        """See `sessions`."""
        return await self._afollow(self._listing(agent, user, limit, after))

    def count_sessions(self, agent: str, user: str) -> int:
        """Count a user's sessions with an agent, without those that expired.

        Raises:
            ConfigurationError: An id cannot be used.
        """
        return len(self.sessions(agent, user))

    async def acount_sessions(self, agent: str, user: str) -> int:
        """See `count_sessions`."""
        return len(await self.asessions(agent, user))

    def copy_session(
        self,
        agent: str,
        user: str,
        session: str,
        copy: str,
        *,
        until: Until = ...,
    ) -> int:
        """Copy a session, or its beginning, to go on from there in another direction.

        Its summary is copied too, unless it covers messages that are not. What an application put
        below the session's key stays with the original.

        Args:
            agent: Which agent.
            user: Whose session.
            session: Which one.
            copy: The id of the new session, of the same user and agent.
            until: The last message to copy, by its id, or how many messages; all unless given.
                A message that a user wrote mostly has no id.

        Returns:
            How many messages were copied.

        Raises:
            ConfigurationError: There is no such session or message, the copy would part a tool's
                result from its call, or there is a session of the new id with other messages.
        """
        return self._follow(self._copying(agent, user, session, copy, until))

    async def acopy_session(
        self,
        agent: str,
        user: str,
        session: str,
        copy: str,
        *,
        until: Until = ...,
    ) -> int:
        """See `copy_session`."""
        return await self._afollow(self._copying(agent, user, session, copy, until))

    def _naming_agents(self) -> Steps[None]:
        from langchain_redis_memory.sessions.owners import each_agent  # noqa: PLC0415 - see `MemoryPart`

        return each_agent(self._keys)

    def _naming_users(self, agent: str | None) -> Steps[None]:
        from langchain_redis_memory.sessions.owners import each_user  # noqa: PLC0415 - see `MemoryPart`

        return each_user(self._keys, agent)

    def _listing(
        self, agent: str, user: str, limit: int | None, after: str | None
    ) -> Steps[SessionPage]:
        from langchain_redis_memory.sessions.listing import list_sessions  # noqa: PLC0415 - see `MemoryPart`

        index = self._keys.sessions(agent, user)
        together = not self._connection.server.spans_slots
        return list_sessions(index, limit, after, together=together)

    def _copying(self, agent: str, user: str, session: str, copy: str, until: Until) -> Steps[int]:
        from langchain_redis_memory.sessions.copying import copy_session  # noqa: PLC0415 - see `MemoryPart`

        return copy_session(self._keys, (agent, user, session), copy, self._limits.ttl_ms, until)
