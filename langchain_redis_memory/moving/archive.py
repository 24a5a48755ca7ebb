"""Export and import: a memory's conversations and profiles as a file, and back."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.conversation import SessionEntry
from langchain_redis_memory.moving.archive_file import (
    SessionRecord,
    first_line,
    in_words,
    last_line,
    line,
    opened,
    read,
)
from langchain_redis_memory.moving.new_file import NewFile
from langchain_redis_memory.moving.restoring import (
    Restorable,
    Transfer,
    check_on_conflict,
    restore_profile,
    restore_session,
)
from langchain_redis_memory.part import MemoryPart, check_progress
from langchain_redis_memory.storage.codec import load_element
from langchain_redis_memory.storage.exact import decode_value
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.steps import Pause, Seen, afollow, each_page, follow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

    from langchain_redis_memory.moving.archive_file import Record
    from langchain_redis_memory.moving.restoring import OnConflict, Progress
    from langchain_redis_memory.storage.keys import Keys, Place
    from langchain_redis_memory.storage.operation import Command, Page
    from langchain_redis_memory.storage.steps import Steps

_GONE = -2
"""What PTTL says of a key that is not there."""


class Archive(MemoryPart):
    """What of a memory writes it to a file and reads it from one."""

    def export(
        self,
        path: str | os.PathLike[str],
        agent: str | None = None,
        user: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Transfer:
        """Write conversations and profiles to a file, from which `import_` restores them.

        The file is JSON Lines, a conversation or a profile a line. It appears when it is complete,
        readable by its owner alone; until then an earlier one stays. Nothing in Redis changes: no
        expiry is put off. What is written to meanwhile is in it as it was when its turn came.

        Args:
            path: The file; one that ends in ``.gz`` is compressed.
            agent: Whose conversations, and profiles for it; None for those of all agents, and
                profiles for all agents too.
            user: Whose conversations and profiles; None for those of all users.
            progress: Called with what was written so far, after each line.

        Returns:
            What was written.

        Raises:
            ConfigurationError: An argument cannot be used.
            CorruptedDataError: What is stored cannot be read; the error names the place.
            OSError: The file cannot be written.
        """
        with NewFile(path) as file:
            written = follow(self._connection, self._exporting(file, agent, user, progress))
            file.finish()
        return written

    async def aexport(
        self,
        path: str | os.PathLike[str],
        agent: str | None = None,
        user: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Transfer:
        """See `export`."""
        with NewFile(path) as file:
            written = await afollow(self._connection, self._exporting(file, agent, user, progress))
            await asyncio.to_thread(file.finish)  # the disk may take seconds for a large one
        return written

    def import_(
        self,
        path: str | os.PathLike[str],
        *,
        on_conflict: OnConflict = "error",
        progress: Progress | None = None,
    ) -> Transfer:
        """Restore what `export` has written; repeating it adds nothing.

        The whole file is read and checked before anything is stored. What is there already, as it
        is in the file or with more messages after these, stays as it is. A conversation expires
        when it would have been left to at the export, counted from now; ``max_messages`` is not
        applied.

        Args:
            path: The file.
            on_conflict: What to do with a conversation or a profile that differs from what is
                there: "error" raises before anything of it is written, "skip" leaves what is
                there, "replace" removes that.
            progress: Called with what was done so far, after each line.

        Returns:
            What was stored, what was there already, and what was left out.

        Raises:
            ConfigurationError: The file is damaged, not whole or no export, and nothing was
                stored; the error names the line.
            ImportConflictError: Something else is there. What stands before it in the file is
                restored.
            OSError: The file cannot be read.
        """
        check_on_conflict(on_conflict)
        with opened(path) as file:
            steps = self._importing(file, os.fspath(path), on_conflict, progress)
            return follow(self._connection, steps)

    async def aimport_(
        self,
        path: str | os.PathLike[str],
        *,
        on_conflict: OnConflict = "error",
        progress: Progress | None = None,
    ) -> Transfer:
        """See `import_`."""
        check_on_conflict(on_conflict)
        with opened(path) as file:
            steps = self._importing(file, os.fspath(path), on_conflict, progress)
            return await afollow(self._connection, steps)

    def _exporting(
        self, file: NewFile, agent: str | None, user: str | None, progress: Progress | None
    ) -> Steps[Transfer]:
        export = _Export(self._keys, file, agent, user, progress)
        patterns = [self._keys.every("memory", agent, user)]
        if agent is None:
            patterns.append(self._keys.every("profile", user=user))
        file.write(first_line())
        for pattern in patterns:
            yield from each_page(pattern, export.on)
        file.write(last_line(export.written))
        return export.written

    def _importing(
        self, file: IO[bytes], name: str, on_conflict: OnConflict, progress: Progress | None
    ) -> Steps[Transfer]:
        check_progress(progress)
        for _ in read(file, name):
            yield Pause(0)  # an event loop has others to serve
        done = Transfer()
        for record in read(file, name):
            done += yield from self._restore(record, on_conflict)
            if progress is not None:
                progress(done)
        return done

    def _restore(self, record: Record, on_conflict: OnConflict) -> Steps[Transfer]:
        if not isinstance(record, SessionRecord):
            key = self._keys.profile(record.user, record.agent)
            return restore_profile(key, record.value, record.ttl_ms, on_conflict)
        ids = record.agent, record.user
        member = encode_id(record.session, "session")
        session = Restorable(
            self._keys.session(*ids, record.session),
            SessionEntry(self._keys.sessions(*ids), member),
            record.elements,
            record.ttl_ms,
            record.last_active_ms,
        )
        return restore_session(session, on_conflict)


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
        elements, left, score = replies
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
            "messages": messages[::-1],
        }

    commands: tuple[Command, ...] = (
        ("LRANGE", key, 0, -1),
        ("PTTL", key),
        ("ZSCORE", index, encode_id(place.session, "session")),
    )
    return Operation("exporting a conversation", commands, record, key)


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
