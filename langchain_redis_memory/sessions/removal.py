"""Removing: a session with all that lies below it, a user, an agent, and all that is a user's.

Keys are found with SCAN on every node that holds some, about a thousand at a time, and removed
with UNLINK as they are found, so that neither side holds more than a page of them. (A dry run
remembers what it has counted.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from langchain_redis_memory.part import MemoryPart, check_flag
from langchain_redis_memory.sessions.removing import Removing, leave_index
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.steps import afollow, each_page, follow

if TYPE_CHECKING:
    from langchain_redis_memory.sessions.removing import How, Receipt
    from langchain_redis_memory.storage.keys import Place
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
        return follow(self._connection, self._clearing_session(agent, user, session, **how))

    async def aclear_session(
        self,
        agent: str,
        user: str,
        session: str,
        **how: Unpack[How],
    ) -> Receipt:
        """See `clear_session`."""
        return await afollow(self._connection, self._clearing_session(agent, user, session, **how))

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
        return follow(self._connection, self._clearing_user(agent, user, keep_profiles, **how))

    async def aclear_user(
        self,
        agent: str,
        user: str,
        *,
        keep_profiles: bool = False,
        **how: Unpack[How],
    ) -> Receipt:
        """See `clear_user`."""
        return await afollow(
            self._connection, self._clearing_user(agent, user, keep_profiles, **how)
        )

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
        return follow(self._connection, self._clearing(agent, None, keep_profiles, **how))

    async def aclear_agent(
        self,
        agent: str,
        *,
        keep_profiles: bool = False,
        **how: Unpack[How],
    ) -> Receipt:
        """See `clear_agent`."""
        return await afollow(self._connection, self._clearing(agent, None, keep_profiles, **how))

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
        return follow(self._connection, self._forgetting(user, **how))

    async def aforget_user(
        self,
        user: str,
        **how: Unpack[How],
    ) -> Receipt:
        """See `forget_user`."""
        return await afollow(self._connection, self._forgetting(user, **how))

    def _clearing_session(
        self, agent: str, user: str, session: str, **how: Unpack[How]
    ) -> Steps[Receipt]:
        key = self._keys.session(agent, user, session)
        index = self._keys.sessions(agent, user)
        work = Removing(self._keys, lambda _: True, **how)
        if not work.receipt.dry_run:
            # First: who writes meanwhile enters it again, and an entry too many is seen to be one.
            yield leave_index(index, encode_id(session, "session_id"))
        yield from work.on([key.encode()])
        yield from each_page(f"{key}:*", work.on)
        return work.receipt

    def _clearing_user(
        self, agent: str, user: str, keep_profiles: bool, **how: Unpack[How]
    ) -> Steps[Receipt]:
        # None means all users there, and must not mean it here.
        encode_id(user, "user_id")
        return self._clearing(agent, user, keep_profiles, **how)

    def _clearing(
        self, agent: str, user: str | None, keep_profiles: bool, **how: Unpack[How]
    ) -> Steps[Receipt]:
        encode_id(agent, "agent")
        check_flag("keep_profiles", keep_profiles)

        def is_meant(place: Place) -> bool:
            kept = keep_profiles and place.kind == "profile"
            return place.agent == agent and (user is None or place.user == user) and not kept

        work = Removing(self._keys, is_meant, **how)
        yield from each_page(self._keys.every("memory", agent, user), work.on)
        return work.receipt

    def _forgetting(self, user: str, **how: Unpack[How]) -> Steps[Receipt]:
        work = Removing(self._keys, lambda place: place.user == user, **how)
        yield from work.on([self._keys.profile(user).encode()])
        yield from each_page(self._keys.every("memory", None, user), work.on)
        return work.receipt
