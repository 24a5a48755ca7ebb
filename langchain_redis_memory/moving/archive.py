"""Export and import: a memory's conversations and profiles as a file, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_redis_memory.companions import SessionEntry
from langchain_redis_memory.moving.archive_file import (
    SessionRecord,
    first_line,
    in_words,
    last_line,
    line,
    read,
)
from langchain_redis_memory.moving.restoring import (
    Restorable,
    Transfer,
    restore_profile,
    restore_session,
)
from langchain_redis_memory.part import check_flag, check_progress
from langchain_redis_memory.storage.codec import load_element
from langchain_redis_memory.storage.exact import decode_value
from langchain_redis_memory.storage.keys import encode_id, summary_of
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.steps import Pause, Seen, each_page
from langchain_redis_memory.summaries.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from langchain_redis_memory.moving.archive_file import Record
    from langchain_redis_memory.moving.new_file import NewFile
    from langchain_redis_memory.moving.restoring import OnConflict, Progress
    from langchain_redis_memory.storage.keys import Keys, Place
    from langchain_redis_memory.storage.operation import Command, Page
    from langchain_redis_memory.storage.steps import Steps

_GONE = -2
"""What PTTL says of a key that is not there."""


def export(
    keys: Keys, file: NewFile, agent: str | None, user: str | None, progress: Progress | None
) -> Steps[Transfer]:
    """Write conversations and profiles; see `Archive.export`."""
    work = _Export(keys, file, agent, user, progress)
    patterns = [keys.every("memory", agent, user)]
    if agent is None:
        patterns.append(keys.every("profile", user=user))
    file.write(first_line())
    for pattern in patterns:
        yield from each_page(pattern, work.on)
    file.write(last_line(work.written))
    return work.written


def import_(
    keys: Keys,
    file: IO[bytes],
    name: str,
    on_conflict: OnConflict,
    progress: Progress | None,
    *,
    dry_run: bool,
) -> Steps[Transfer]:
    """Restore conversations and profiles from a file of that name; see `Archive.import_`."""
    check_progress(progress)
    check_flag("dry_run", dry_run)
    done = Transfer()
    for _ in read(file, name):
        yield Pause(0)  # an event loop has others to serve
        if progress is not None:
            progress(done)
    for record in read(file, name):
        done += yield from _restore(keys, record, on_conflict, dry_run=dry_run)
        if progress is not None:
            progress(done)
    return done


def _restore(
    keys: Keys, record: Record, on_conflict: OnConflict, *, dry_run: bool
) -> Steps[Transfer]:
    if not isinstance(record, SessionRecord):
        key = keys.profile(record.user, record.agent)
        return restore_profile(key, record.value, record.ttl_ms, on_conflict, dry_run=dry_run)
    key = keys.session(record.agent, record.user, record.session)
    session = Restorable(
        key,
        SessionEntry.of(key),
        record.elements,
        record.ttl_ms,
        record.last_active_ms,
        record.summary,
    )
    return restore_session(session, on_conflict, dry_run=dry_run)


class _Export:
    """Writes what is meant of each page of keys."""

    def __init__(
        self,
        keys: Keys,
        file: NewFile,
        agent: str | None,
        user: str | None,
        progress: Progress | None,
    ) -> None:
        check_progress(progress)
        self.written = Transfer()
        self._keys = keys
        self._file = file
        self._agent = agent
        self._user = user
        self._progress = progress
        self._seen = Seen()

    def on(self, page: Page) -> Steps[None]:
        """Write what is meant of a page."""
        for key in page:
            place = self._keys.place(key)
            if place is not None and self._is_meant(place, key) and self._seen.is_new(key):
                yield from self._write(place)

    def _is_meant(self, place: Place, key: bytes) -> bool:
        # The star of a pattern takes in colons, and another program may write ids in its own way.
        return (
            place.kind in ("session", "profile")
            and self._agent in (None, place.agent)
            and self._user in (None, place.user)
            and "" not in (place.agent, place.user, place.session)
            and _key(self._keys, place).encode() == key
        )

    def _write(self, place: Place) -> Steps[None]:
        is_session = place.kind == "session"
        found = yield (_session if is_session else _profile)(self._keys, place)
        if found is None:  # expired since it was listed
            return
        self._file.write(line(found))
        self.written += (
            Transfer(sessions=1, messages=len(found["messages"]))
            if is_session
            else Transfer(profiles=1)
        )
        if self._progress is not None:
            self._progress(self.written)


def _key(keys: Keys, place: Place) -> str:
    if place.kind == "profile":
        return keys.profile(str(place.user), place.agent)
    return keys.session(str(place.agent), str(place.user), str(place.session))


def _session(keys: Keys, place: Place) -> Operation[dict[str, Any] | None]:
    key = _key(keys, place)
    index = keys.sessions(str(place.agent), str(place.user))

    def record(replies: Sequence[Any]) -> dict[str, Any] | None:
        elements, left, score, value = replies
        if not elements or left == _GONE:
            return None
        messages = [load_element(element, key, i) for i, element in enumerate(elements)]
        return {
            "type": "session",
            "agent": place.agent,
            "user": place.user,
            "session": place.session,
            "last_active": None if score is None else in_words(float(score)),
            "ttl": _seconds(left),
            **_summary(elements, value),
            "messages": messages[::-1],
        }

    commands: tuple[Command, ...] = (
        ("LRANGE", key, 0, -1),
        ("PTTL", key),
        ("ZSCORE", index, encode_id(place.session, "session")),
        ("GET", summary_of(key)),
    )
    return Operation("exporting a conversation", commands, record, key)


def _summary(elements: Sequence[bytes], value: bytes | None) -> dict[str, Any]:
    found = Stored.parse(value)
    position = None if found is None else found.mark.position(elements)
    if found is None or position is None:
        return {}
    covers = len(elements) - 1 - position
    return {"summary": {"text": found.text, "messages": found.messages, "covers": covers}}


def _profile(keys: Keys, place: Place) -> Operation[dict[str, Any] | None]:
    key = _key(keys, place)

    def record(replies: Sequence[Any]) -> dict[str, Any] | None:
        value, left = replies
        if value is None or left == _GONE:
            return None
        return {
            "type": "profile",
            "agent": place.agent,
            "user": place.user,
            "ttl": _seconds(left),
            "profile": decode_value(value, key),
        }

    return Operation("exporting a profile", (("GET", key), ("PTTL", key)), record, key)


def _seconds(left: int) -> float | None:
    return max(left, 1) / 1000 if left >= 0 else None
