"""Listing a user's sessions.

The index of a user's sessions with an agent is a sorted set of their ids (as they stand in keys)
by the time of the last write in milliseconds; listing it scans no keyspace. It is in another slot
of a cluster than the conversations, and they expire without it, so whoever reads it removes what
is no longer there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, overload

from typing_extensions import override

from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.errors import ConfigurationError, StorageRejected
from langchain_redis_memory.sessions import scripts
from langchain_redis_memory.storage.keys import decode_id, is_text
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.window import check_count

if TYPE_CHECKING:
    import pandas as pd

    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.storage.operation import ScriptCall
    from langchain_redis_memory.storage.steps import Steps

_BATCH = 500
"""How many sessions are asked for at once."""

_ALL = -1
"""How many members Redis gives if all are wanted."""

_EXPIRED = -2
"""What PTTL says of a key that is not there."""


@dataclass(frozen=True, slots=True)
class SessionInfo(Shown):
    """What a listing tells of a session.

    Attributes:
        session: Its id.
        messages: How many messages are stored.
        last_active: When it was last written to; in UTC.
        ttl: Seconds until it expires; None for never.
    """

    session: str
    messages: int
    last_active: datetime
    ttl: float | None

    def _card(self) -> Card:
        from langchain_redis_memory.display.sessions import info_card  # noqa: PLC0415 - see `Shown`

        return info_card(self)


@dataclass(frozen=True, slots=True)
class SessionPage(Shown, Sequence[SessionInfo]):
    """Some of a user's sessions, the one that was active last first.

    Attributes:
        next: Where the next page begins, for ``sessions(..., after=...)``; None after the last.
    """

    _found: tuple[SessionInfo, ...]
    next: str | None = field(default=None, kw_only=True)

    @override
    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> SessionInfo: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SessionInfo, ...]: ...
    @override
    def __getitem__(self, index: int | slice) -> SessionInfo | tuple[SessionInfo, ...]:
        return self._found[index]

    def to_pandas(self) -> pd.DataFrame:
        """Give the sessions as a table of pandas, which needs the extra ``pandas``.

        Its columns: ``session``, ``messages``, ``last_active`` as a time in UTC, ``ttl`` as a
        `Timedelta`, NaT for never.

        Raises:
            ConfigurationError: pandas is not installed.
        """
        from langchain_redis_memory.display.sessions import frame  # noqa: PLC0415 - loads pandas

        return frame(self)

    def _card(self) -> Card:
        from langchain_redis_memory.display.sessions import page_card  # noqa: PLC0415 - see `Shown`

        return page_card(self)


@dataclass(frozen=True, slots=True)
class _Position:
    """A place in an index: behind a member with a score; at the beginning by default."""

    score: bytes = b"+inf"
    member: bytes = b""

    @classmethod
    def parse(cls, text: str) -> _Position:
        score, _, member = text.partition(":") if isinstance(text, str) else ("", "", "")
        # It may come from a web page. Members hold no lone surrogates: ids are encoded.
        if not (score.isascii() and score.isdigit() and member) or not is_text(member):
            raise ConfigurationError("after must be the next of a page of sessions")
        return cls(score.encode(), member.encode())

    def __str__(self) -> str:
        return f"{self.score.decode()}:{self.member.decode()}"


@dataclass(frozen=True, slots=True)
class _Row:
    """A member of an index, and what is known of its session; None of one that expired."""

    place: _Position
    info: SessionInfo | None


def list_sessions(
    index: str, limit: int | None, after: str | None, *, together: bool
) -> Steps[SessionPage]:
    """List the sessions of an index; see `Sessions.sessions`.

    Args:
        index: The key of the index.
        limit: How many at most; None for all.
        after: Where the page begins; None for the beginning.
        together: Whether one call may ask for several sessions: no cluster lies behind it.
    """
    check_count("limit", limit)
    begin = _Position() if after is None else _Position.parse(after)
    # Whether there is a next page is known when there is one session more.
    wanted = None if limit is None else limit + 1
    owner = index.removesuffix("sessions").encode()
    found: list[_Row] = []
    place: _Position | None = begin
    # All in one step where all are wanted, so that none moves past the reader meanwhile.
    count = _ALL if wanted is None else wanted
    while place is not None and (wanted is None or len(found) < wanted):
        places, place = yield _page(index, place, count)
        for first in range(0, len(places), _BATCH):
            batch = places[first : first + _BATCH]
            rows = yield from _describe(batch, owner, together=together)
            found += (row for row in rows if row.info is not None)
            if gone := [row.place for row in rows if row.info is None]:
                yield _forget(index, gone)
        count = min(2 * count, _BATCH)  # where many have expired, few would be found at a time
    is_cut = wanted is not None and len(found) >= wanted
    shown = found[: wanted - 1] if is_cut and wanted is not None else found
    return SessionPage(
        tuple(row.info for row in shown if row.info is not None),
        next=str(shown[-1].place) if is_cut else None,
    )


def _page(
    index: str, after: _Position, count: int
) -> Operation[tuple[list[_Position], _Position | None]]:
    """Give some places behind one, and the place to go on from; None at the end."""

    def read(replies: Sequence[Any]) -> tuple[list[_Position], _Position | None]:
        flat = iter(replies[0])
        places = [_Position(score, member) for member, score in zip(flat, flat, strict=True)]
        is_last = count == _ALL or sum(p.score != after.score for p in places) < count
        # Redis orders members of one score by their bytes.
        behind = [p for p in places if p.score != after.score or p.member < after.member]
        return behind, None if is_last else behind[-1]

    call = scripts.INDEX_PAGE.on(index, after.score, count)
    return Operation("listing sessions", (call,), read, index, absent=lambda: ([], None))


def _describe(places: list[_Position], owner: bytes, *, together: bool) -> Steps[list[_Row]]:
    """Ask for what is known of sessions: all in one call, or each on the node that has it."""
    # An index holds ids as they stand in keys.
    keys = [owner + place.member for place in places]
    calls = (scripts.STATE.on_all(keys),) if together else tuple(map(scripts.STATE.on, keys))
    try:
        states = yield _states(calls, owner)
    except StorageRejected:
        if not together:
            raise
        # What looks like one server may be a proxy to many, which takes no call across slots.
        return (yield from _describe(places, owner, together=False))
    return [_row(place, *state) for place, state in zip(places, states, strict=False)]


def _states(calls: tuple[ScriptCall, ...], owner: bytes) -> Operation[list[tuple[int, int]]]:
    def pairs(replies: Sequence[Any]) -> list[tuple[int, int]]:
        flat = chain.from_iterable(replies)
        return list(zip(flat, flat, strict=True))

    return Operation("listing sessions", calls, pairs, owner.decode(), absent=list)


def _row(place: _Position, messages: int, left: int) -> _Row:
    if left == _EXPIRED:
        return _Row(place, None)
    last_active = datetime.fromtimestamp(int(place.score) / 1000, UTC)
    ttl = left / 1000 if left >= 0 else None
    return _Row(place, SessionInfo(decode_id(place.member.decode()), messages, last_active, ttl))


def _forget(index: str, gone: list[_Position]) -> Operation[None]:
    pairs = [part for place in gone for part in (place.member, place.score)]
    call = scripts.FORGET_EXPIRED.on(index, *pairs)
    return Operation("tidying an index", (call,), lambda _: None, index, absent=lambda: None)
