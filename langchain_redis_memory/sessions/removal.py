"""What of `RedisMemory` removes sessions, users and agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from langchain_redis_memory.part import MemoryPart, check_flag
from langchain_redis_memory.storage.keys import encode_id

if TYPE_CHECKING:
    from langchain_redis_memory.sessions.removing import How, Receipt
    from langchain_redis_memory.storage.steps import Steps


class Removal(MemoryPart):
    """What removes more than one conversation's messages."""

    def clear_session(
        self,
        agent: str,
        user: str,
        session: str,
        **how: Unpack[How],
    ) -> Receipt:
        """Remove a session: its messages, and all keys that begin with ``<its key>:``.

        Applications may keep there what belongs to the session. These are found by SCAN, which
        goes through all keys of the server; ``memory.history(...).clear()`` removes the messages
        alone, in one round trip.

        Args:
            agent: Which agent.
            user: Whose session.
            session: Which one.
            how: See `How`.

        Raises:
            ConfigurationError: An id is empty or no string.
            StorageUnavailable: Redis could not be reached, also when going on without it: what
                was to be removed may still be there. Call it again.
        """
        return self._follow(self._clearing_session(agent, user, session, **how))

    async def aclear_session(
        self,
        agent: str,
        user: str,
        session: str,
        **how: Unpack[How],
    ) -> Receipt:
        """See `clear_session`."""
        return await self._afollow(self._clearing_session(agent, user, session, **how))

    def clear_user(
        self,
        agent: str,
        user: str,
        *,
        keep_profiles: bool = False,
        **how: Unpack[How],
    ) -> Receipt:
        """Remove all that an agent keeps of a user: sessions, what lies below them, the profile.

        Args:
            agent: Which agent.
            user: Which user.
            keep_profiles: Whether the user's profile for this agent stays.
            how: See `How`.
        """
        return self._follow(self._clearing_user(agent, user, keep_profiles, **how))

    async def aclear_user(
        self,
        agent: str,
        user: str,
        *,
        keep_profiles: bool = False,
        **how: Unpack[How],
    ) -> Receipt:
        """See `clear_user`."""
        return await self._afollow(self._clearing_user(agent, user, keep_profiles, **how))

    def clear_agent(
        self,
        agent: str,
        *,
        keep_profiles: bool = False,
        **how: Unpack[How],
    ) -> Receipt:
        """Remove all that an agent keeps: of all users, and its execution cache.

        Args:
            agent: Which agent.
            keep_profiles: Whether the users' profiles for this agent stay.
            how: See `How`.
        """
        return self._follow(self._clearing(agent, None, keep_profiles, **how))

    async def aclear_agent(
        self,
        agent: str,
        *,
        keep_profiles: bool = False,
        **how: Unpack[How],
    ) -> Receipt:
        """See `clear_agent`."""
        return await self._afollow(self._clearing(agent, None, keep_profiles, **how))

    def forget_user(
        self,
        user: str,
        **how: Unpack[How],
    ) -> Receipt:
        """Remove all that is kept of a user, by any agent: what a request for deletion asks for.

        Sessions with what lies below them, profiles for one agent and for all, lists of sessions.
        Not stores, execution caches and keys of your own, of which nobody can tell whose they are.

        Args:
            user: Which user.
            how: See `How`.
        """
        return self._follow(self._forgetting(user, **how))

    async def aforget_user(
        self,
        user: str,
        **how: Unpack[How],
    ) -> Receipt:
        """See `forget_user`."""
        return await self._afollow(self._forgetting(user, **how))

    def _clearing_session(
        self, agent: str, user: str, session: str, **how: Unpack[How]
    ) -> Steps[Receipt]:
        from langchain_redis_memory.sessions.removing import clear_session  # noqa: PLC0415 - see `MemoryPart`

        return clear_session(self._keys, agent, user, session, **how)

    def _clearing_user(
        self, agent: str, user: str, keep_profiles: bool, **how: Unpack[How]
    ) -> Steps[Receipt]:
        # None means all users there, and must not mean it here.
        encode_id(user, "user_id")
        return self._clearing(agent, user, keep_profiles, **how)

    def _clearing(
        self, agent: str, user: str | None, keep_profiles: bool, **how: Unpack[How]
    ) -> Steps[Receipt]:
        from langchain_redis_memory.sessions.removing import clear  # noqa: PLC0415 - see `MemoryPart`

        check_flag("keep_profiles", keep_profiles)
        return clear(self._keys, agent, user, keep_profiles=keep_profiles, **how)

    def _forgetting(self, user: str, **how: Unpack[How]) -> Steps[Receipt]:
        from langchain_redis_memory.sessions.removing import forget  # noqa: PLC0415 - see `MemoryPart`

        return forget(self._keys, user, **how)
