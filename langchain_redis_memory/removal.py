"""Removing: a session with all that lies below it, a user, an agent, and all that is a user's.

Keys are found with SCAN on every node that holds some, about a thousand at a time, and removed
with UNLINK as they are found, so that neither side holds more than a page of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

from langchain_redis_memory import scripts
from langchain_redis_memory.part import MemoryPart
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.steps import Seen, afollow, each_page, follow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_redis_memory.storage.keys import Place
    from langchain_redis_memory.storage.operation import Page
    from langchain_redis_memory.storage.steps import Steps

_BATCH = 1000
"""How many keys are removed at once."""


@dataclass(slots=True)
class Receipt:
    """What was removed, or would be.

    Attributes:
        sessions: Conversations.
        messages: The messages in them.
        profiles: Profiles.
        indexes: Lists of a user's sessions.
        cached: Entries of execution caches.
        other: What applications put below sessions.
        dry_run: Whether it was only looked for.
    """

    sessions: int = 0
    messages: int = 0
    profiles: int = 0
    indexes: int = 0
    cached: int = 0
    other: int = 0
    dry_run: bool = False

    @property
    def keys(self) -> int:
        """How many keys there were in all."""
        return self.sessions + self.profiles + self.indexes + self.cached + self.other

    def add(self, kind: str, messages: int) -> None:
        """Count a key."""
        name = {"session": "sessions", "profile": "profiles", "index": "indexes"}.get(kind, kind)
        setattr(self, name, getattr(self, name) + 1)
        self.messages += messages if kind == "session" else 0


class How(TypedDict, total=False):
    """Options of whatever removes.

    Attributes:
        dry_run: Remove nothing, and tell what would be removed.
        progress: Called with the receipt so far whenever some keys were removed.
    """

    dry_run: bool
    progress: Callable[[Receipt], object] | None


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
        keep_profile: bool = False,
        **how: Unpack[How],
    ) -> Receipt:
        """Remove all that an agent keeps of a user: sessions, what lies below them, the profile.

        Args:
            agent: Which agent.
            user: Which user.
            keep_profile: Whether the user's profile for this agent stays.
            how: See `How`.
        """
        return follow(self._connection, self._clearing_user(agent, user, keep_profile, **how))

    async def aclear_user(
        self,
        agent: str,
        user: str,
        *,
        keep_profile: bool = False,
        **how: Unpack[How],
    ) -> Receipt:
        """See `clear_user`."""
        return await afollow(
            self._connection, self._clearing_user(agent, user, keep_profile, **how)
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
        self,
        agent: str,
        user: str,
        session: str,
        **how: Unpack[How],
    ) -> Steps[Receipt]:
        key = self._keys.session(agent, user, session)
        index = self._keys.sessions(agent, user)
        work = _Work(self._keys.place, lambda _: True, **how)
        yield from work.on([key.encode()])
        if not work.receipt.dry_run:
            yield _leave_index(index, encode_id(session, "session_id"))
        yield from each_page(f"{key}:*", work.on)
        return work.receipt

    def _clearing_user(
        self, agent: str, user: str, keep_profile: bool, **how: Unpack[How]
    ) -> Steps[Receipt]:
        # None means all users there, and must not mean it here.
        encode_id(user, "user_id")
        return self._clearing(agent, user, keep_profile, **how)

    def _clearing(
        self, agent: str, user: str | None, keep_profiles: bool, **how: Unpack[How]
    ) -> Steps[Receipt]:
        encode_id(agent, "agent")

        def is_meant(place: Place) -> bool:
            kept = keep_profiles and place.kind == "profile"
            return place.agent == agent and (user is None or place.user == user) and not kept

        work = _Work(self._keys.place, is_meant, **how)
        yield from each_page(self._keys.every("memory", agent, user), work.on)
        return work.receipt

    def _forgetting(self, user: str, **how: Unpack[How]) -> Steps[Receipt]:
        work = _Work(self._keys.place, lambda place: place.user == user, **how)
        yield from work.on([self._keys.profile(user).encode()])
        yield from each_page(self._keys.every("memory", None, user), work.on)
        return work.receipt


class _Work:
    """Removes those of the keys that are meant, and keeps the receipt.

    Args:
        place_of: Tells what a key holds.
        is_meant: Tells whether what is there is to go.
        dry_run: See `How`.
        progress: See `How`.
    """

    def __init__(
        self,
        place_of: Callable[[bytes], Place | None],
        is_meant: Callable[[Place], bool],
        *,
        dry_run: bool = False,
        progress: Callable[[Receipt], object] | None = None,
    ) -> None:
        self.receipt = Receipt(dry_run=dry_run)
        self._place_of = place_of
        self._is_meant = is_meant
        self._progress = progress
        # What was only looked at is still there when SCAN names it again.
        self._seen = Seen()

    def on(self, page: Page) -> Steps[None]:
        """Remove what is meant of a page."""
        found = [(key, place) for key in page if (place := self._place_of(key)) is not None]
        meant = [(key, place.kind) for key, place in found if self._is_meant(place)]
        if self.receipt.dry_run:
            meant = [(key, kind) for key, kind in meant if self._seen.is_new(key)]
        for begin in range(0, len(meant), _BATCH):
            batch = meant[begin : begin + _BATCH]
            removed = yield _remove([key for key, _ in batch], look_only=self.receipt.dry_run)
            for (_, kind), messages in zip(batch, removed, strict=True):
                if messages is not None:
                    self.receipt.add(kind, messages)
            if self._progress is not None:
                self._progress(self.receipt)


def _remove(keys: Sequence[bytes], *, look_only: bool) -> Operation[list[int | None]]:
    calls = tuple(scripts.REMOVE.on(key, int(look_only)) for key in keys)
    return Operation(
        "removing keys",
        calls,
        lambda replies: [None if reply < 0 else reply for reply in replies],
        keys[0].decode(errors="backslashreplace"),
    )


def _leave_index(index: str, member: str) -> Operation[None]:
    return Operation("clearing a session", (("ZREM", index, member),), lambda _: None, index)
