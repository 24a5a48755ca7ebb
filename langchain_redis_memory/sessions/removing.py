"""Removing: a session with all that lies below it, a user, an agent, and all that is a user's.

Keys are found with SCAN on every node that holds some, about a thousand at a time, and removed
with UNLINK as they are found, so that neither side holds more than a page of them. (A dry run
remembers what it has counted.) The index of a user goes with its sessions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.part import check_flag, check_progress
from langchain_redis_memory.sessions import scripts
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.steps import Seen, each_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.storage.keys import Keys, Place
    from langchain_redis_memory.storage.operation import Page
    from langchain_redis_memory.storage.steps import Steps

_BATCH = 1000
"""How many keys are removed at once."""

_COUNTED = {
    "session": "sessions",
    "summary": "summaries",
    "profile": "profiles",
    "index": "indexes",
}
"""Where a receipt counts what kind of key, if not under its name."""

_GONE = -2
"""What PTTL says of a key that is not there."""


@dataclass(slots=True)
class Receipt(Shown):
    """What was removed, or would be.

    Attributes:
        sessions: Conversations.
        messages: The messages in them.
        profiles: Profiles.
        indexes: Lists of a user's sessions.
        cached: Entries of execution caches.
        summaries: Summaries of conversations.
        other: What applications put below sessions.
        dry_run: Whether it was only looked for.
    """

    sessions: int = 0
    messages: int = 0
    profiles: int = 0
    indexes: int = 0
    cached: int = 0
    summaries: int = 0
    other: int = 0
    dry_run: bool = False

    @property
    def keys(self) -> int:
        """How many keys there were in all."""
        beside = self.summaries + self.cached + self.other
        return self.sessions + self.profiles + self.indexes + beside

    def _card(self) -> Card:
        from langchain_redis_memory.display.counts import receipt_card  # noqa: PLC0415 - see `Shown`

        return receipt_card(self)

    def add(self, kind: str, messages: int) -> None:
        """Count a key."""
        name = _COUNTED.get(kind, kind)
        setattr(self, name, getattr(self, name) + 1)
        self.messages += messages if kind == "session" else 0


class How(TypedDict, total=False):
    """Options of whatever removes.

    Attributes:
        dry_run: Remove nothing, and tell what would be removed.
        progress: Called with the receipt so far: whenever some keys were removed, and when a page
            of keys held none that were meant.
    """

    dry_run: bool
    progress: Callable[[Receipt], object] | None


def clear_session(
    keys: Keys, agent: str, user: str, session: str, **how: Unpack[How]
) -> Steps[Receipt]:
    """Remove a session; see `Removal.clear_session`."""
    key = keys.session(agent, user, session)
    work = _Removing(keys, lambda _: True, **how)
    if not work.receipt.dry_run:
        # First: who writes meanwhile enters it again, and an entry too many is seen to be one.
        yield _leave_index(keys.sessions(agent, user), encode_id(session, "session_id"))
    yield from work.on([key.encode()])
    yield from each_page(f"{key}:*", work.on)
    return work.receipt


def clear(
    keys: Keys, agent: str, user: str | None, *, keep_profiles: bool, **how: Unpack[How]
) -> Steps[Receipt]:
    """Remove what an agent has of a user, or of all; see `Removal.clear_user`."""
    encode_id(agent, "agent")

    def is_meant(place: Place) -> bool:
        kept = keep_profiles and place.kind == "profile"
        return place.agent == agent and (user is None or place.user == user) and not kept

    work = _Removing(keys, is_meant, **how)
    yield from each_page(keys.every("memory", agent, user), work.on)
    return work.receipt


def forget(keys: Keys, user: str, **how: Unpack[How]) -> Steps[Receipt]:
    """Remove all that is a user's; see `Removal.forget_user`."""
    work = _Removing(keys, lambda place: place.user == user, **how)
    yield from work.on([keys.profile(user).encode()])
    yield from each_page(keys.every("memory", None, user), work.on)
    return work.receipt


class _Removing:
    """Removes those of the keys that are meant, and keeps the receipt.

    Args:
        keys: Tell what a key holds.
        is_meant: Tells whether what is there is to go.
        dry_run: See `How`.
        progress: See `How`.

    Raises:
        ConfigurationError: The progress cannot be told to that.
    """

    def __init__(
        self,
        keys: Keys,
        is_meant: Callable[[Place], bool],
        *,
        dry_run: bool = False,
        progress: Callable[[Receipt], object] | None = None,
    ) -> None:
        check_progress(progress)
        check_flag("dry_run", dry_run)
        self.receipt = Receipt(dry_run=dry_run)
        self._keys = keys
        self._is_meant = is_meant
        self._progress = progress
        # What was only looked at is still there when SCAN names it again.
        self._seen = Seen()

    def on(self, page: Page) -> Steps[None]:
        """Remove what is meant of a page."""
        places = [(key, self._keys.place(key)) for key in page]
        meant = [(key, place) for key, place in places if place and self._is_meant(place)]
        if self.receipt.dry_run:
            meant = [(key, place) for key, place in meant if self._seen.is_new(key)]
        for begin in range(0, len(meant), _BATCH):
            yield from self._remove(meant[begin : begin + _BATCH])
            self._tell()
        if not meant:
            self._tell()  # what is meant may lie far apart among the keys of others

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(replace(self.receipt))

    def _remove(self, meant: list[tuple[bytes, Place]]) -> Steps[None]:
        # Counted before, as an answer may be lost, and what is removed twice was there once.
        sizes = yield _look([key for key, _ in meant])
        there = [
            (key, place, size)
            for (key, place), size in zip(meant, sizes, strict=True)
            if size is not None
        ]
        for _, place, size in there:
            self.receipt.add(place.kind, size)
        if self.receipt.dry_run:
            return
        if others := [key for key, place, _ in there if place.kind != "index"]:
            yield _unlink(others)
        for key in (key for key, place, _ in there if place.kind == "index"):
            yield from self._empty(key)

    def _empty(self, index: bytes) -> Steps[None]:
        """Remove the sessions of an index with their entries.

        An entry that somebody has made meanwhile stays with its session, or goes with it.
        """
        owner = index.removesuffix(b"sessions")
        while members := (yield _empty_index(index)):
            sessions = [owner + member for member in members]
            yield from self._remove(
                [(key, place) for key in sessions if (place := self._keys.place(key))]
            )


def _look(keys: Sequence[bytes]) -> Operation[list[int | None]]:
    """Tell how many messages keys hold; None of those that are not there."""

    def sizes(replies: Sequence[Any]) -> list[int | None]:
        return [None if left == _GONE else messages for messages, left in replies]

    return Operation("looking at keys", tuple(map(scripts.SIZE.on, keys)), sizes, _shown(keys[0]))


def _unlink(keys: Sequence[bytes]) -> Operation[None]:
    commands = tuple(("UNLINK", key) for key in keys)
    return Operation("removing keys", commands, lambda _: None, _shown(keys[0]))


def _empty_index(key: bytes) -> Operation[list[bytes]]:
    call = scripts.EMPTY_INDEX.on(key, _BATCH)
    return Operation("emptying an index", (call,), lambda replies: replies[0], _shown(key))


def _leave_index(index: str, member: str) -> Operation[None]:
    return Operation("clearing a session", (("ZREM", index, member),), lambda _: None, index)


def _shown(key: bytes) -> str:
    return key.decode(errors="backslashreplace")
