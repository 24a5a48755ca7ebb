"""Putting conversations and profiles where they belong, so that doing it again adds nothing.

What is there is read first, and compared from the oldest message on: what is missing at its end is
added, and what differs is a conflict. What is written is written only if nothing has changed since
it was read; if it has, that is read and compared too. So a repeat finds what an attempt whose
answer was lost has stored, and one that was killed is completed by the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from uuid_utils import uuid7

from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.errors import ConfigurationError, ImportConflictError
from langchain_redis_memory.moving import scripts
from langchain_redis_memory.storage.codec import are_alike
from langchain_redis_memory.storage.exact import are_equal
from langchain_redis_memory.storage.keys import summary_of
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.summaries.scripts import OUTLIVE
from langchain_redis_memory.summaries.stored import Mark, Stored, delete, get, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_redis_memory.companions import SessionEntry
    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.storage.operation import Command, ScriptCall
    from langchain_redis_memory.storage.steps import Steps

OnConflict = Literal["error", "skip", "replace"]

# What one request carries at most, of a conversation that is larger: while it is written, a server
# serves nobody else, and a proxy may refuse it.
_BATCH, _BATCH_BYTES = 1000, 4 * 2**20


@dataclass(frozen=True, slots=True)
class Transfer(Shown):
    """What an export has written, or an import or adoption has stored.

    Attributes:
        sessions: Conversations, those that got more messages included.
        messages: The messages of them.
        profiles: Profiles.
        unchanged: Conversations and profiles that were there already.
        skipped: Those that differ from what was there, which was left as it was.
    """

    sessions: int = 0
    messages: int = 0
    profiles: int = 0
    unchanged: int = 0
    skipped: int = 0

    def __add__(self, other: Transfer) -> Transfer:
        return Transfer(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    def _card(self) -> Card:
        from langchain_redis_memory.display.counts import transfer_card  # noqa: PLC0415 - see `Shown`

        return transfer_card(self)


Progress = Callable[[Transfer], object]
"""Called with what was done so far."""


@dataclass(frozen=True, slots=True)
class Restorable:
    """A conversation to be restored.

    Args:
        key: The key of its list.
        entry: Where it stands in its user's index.
        elements: Its elements, the oldest first; at least one.
        ttl_ms: Milliseconds until it expires at the earliest; 0 for never.
        last_active_ms: When it was last written to, in ms since 1970; None if nobody knows.
    """

    key: str
    entry: SessionEntry
    elements: Sequence[bytes] = field(repr=False)  # people's words
    ttl_ms: int
    last_active_ms: int | None = None
    summary: Restored | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """A summary to be restored.

    Args:
        text: What it says.
        messages: How many messages it covers, also of those that are no longer stored.
        covers: How many of the conversation's elements it covers, from the oldest on.
    """

    text: str = field(repr=False)  # people's words
    messages: int
    covers: int


def check_on_conflict(value: object) -> None:
    """Refuse what is no way to deal with conflicts."""
    if value not in get_args(OnConflict):
        raise ConfigurationError(
            f"on_conflict must be 'error', 'skip' or 'replace', not {value!r:.80}"
        )


def restore_session(
    session: Restorable, on_conflict: OnConflict, *, dry_run: bool = False
) -> Steps[Transfer]:
    """Store what of a conversation is not there yet.

    Args:
        session: The conversation.
        on_conflict: What to do if there are other messages: raise, leave them, replace them.
        dry_run: Tell only what would be done.

    Raises:
        ImportConflictError: There are other messages.
    """
    outcome = None
    while True:
        there = (yield _read(session.key))[::-1]
        agrees = all(map(are_alike, there, session.elements))
        if not agrees and on_conflict != "replace":
            return _conflict(session.key, on_conflict)
        begin = len(there) if agrees else 0
        new = max(0, len(session.elements) - begin)
        # As it is the first time: what is found later may be our own.
        outcome = outcome or (Transfer(sessions=1, messages=new) if new else Transfer(unchanged=1))
        if dry_run:
            return outcome
        if not agrees:
            yield delete(session.key)  # the summary goes with what it tells of
        if (yield from _add(session, begin, there)):
            break
    if session.summary is not None:
        yield from _restore_summary(session.key, session.summary)
    return outcome


def _restore_summary(key: str, summary: Restored) -> Steps[None]:
    """Store a summary unless there is one, which may cover more."""
    value = yield get(key)
    there = yield _read(key)
    found = Stored.parse(value)
    position = len(there) - 1 - summary.covers
    if position < 0 or (found is not None and found.mark.position(there) is not None):
        return
    stored = Stored(summary.text, summary.messages, uuid7().hex, Mark.at(position, there))
    yield write(key, value, stored)


def restore_profile(
    key: str, value: bytes, ttl_ms: int, on_conflict: OnConflict, *, dry_run: bool = False
) -> Steps[Transfer]:
    """Store a profile unless it is there; see `restore_session`."""
    outcome = None
    while True:
        there = yield Operation("restoring a profile", (("GET", key),), lambda found: found[0], key)
        agrees = there is None or are_equal(there, value)
        if not agrees and on_conflict != "replace":
            return _conflict(key, on_conflict)
        is_there = agrees and there is not None
        outcome = outcome or (Transfer(unchanged=1) if is_there else Transfer(profiles=1))
        if is_there or dry_run or (yield _set(key, value, ttl_ms, only_if_absent=agrees)):
            return outcome


def _conflict(key: str, on_conflict: OnConflict) -> Transfer:
    if on_conflict == "error":
        raise ImportConflictError(key)
    return Transfer(skipped=1)


def _add(session: Restorable, begin: int, there: Sequence[bytes]) -> Steps[bool]:
    """Write the elements from `begin` on; False if somebody has written since `there` was read."""
    if begin >= len(session.elements):
        yield _touch_index(session)  # which a crash may have left without the session
        return True
    seen, newest = len(there), there[-1] if there else b""
    replaces = begin < seen
    for batch in _batches(session.elements[begin:]):
        if not (yield _push(session, batch, (seen, newest, int(replaces)))):
            return False
        seen, newest = len(batch) + (0 if replaces else seen), batch[-1]
        replaces = False
    return True


def _batches(elements: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for element in elements:
        if batch and (len(batch) == _BATCH or size + len(element) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(element)
        size += len(element)
    yield batch


def _read(key: str) -> Operation[list[bytes]]:
    command = ("LRANGE", key, 0, -1)
    return Operation("restoring a conversation", (command,), lambda replies: replies[0], key)


def _push(
    session: Restorable, batch: Sequence[bytes], seen: tuple[int, bytes, int]
) -> Operation[bool]:
    store = scripts.RESTORE.on(session.key, *seen, session.ttl_ms, *batch)
    lasts = OUTLIVE.on(summary_of(session.key), session.ttl_ms)
    return Operation(
        "restoring a conversation",
        (store, lasts, _index_call(session)),
        lambda replies: replies[0] == 1,
        session.key,
    )


def _touch_index(session: Restorable) -> Operation[None]:
    return Operation(
        "restoring a conversation", (_index_call(session),), lambda _: None, session.key
    )


def _index_call(session: Restorable) -> ScriptCall:
    known = "" if session.last_active_ms is None else session.last_active_ms
    entry = session.entry
    return scripts.RESTORE_INDEX.on(entry.key, entry.member, known, session.ttl_ms)


def _set(key: str, value: bytes, ttl_ms: int, *, only_if_absent: bool) -> Operation[bool]:
    options: Command = ("PX", ttl_ms) if ttl_ms else ()
    if only_if_absent:
        options = (*options, "NX")
    command = ("SET", key, value, *options)
    return Operation("restoring a profile", (command,), lambda replies: bool(replies[0]), key)
