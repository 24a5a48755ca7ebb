"""The file of an export: JSON Lines, of which the first and the last tell whether it is whole.

::

    {"type": "export", "format": "langchain-redis-memory", "version": 1, "exported": "2026-..."}
    {"type": "session", "agent": "support", "user": "alice", "session": "s1",
     "last_active": "2026-11-21T06:15:00.123+00:00", "ttl": 604800.0,
     "summary": {"text": "...", "messages": 38, "covers": 38}, "messages": [...]}
    {"type": "profile", "agent": null, "user": "alice", "ttl": null, "profile": {...}}
    {"type": "end", "sessions": 1, "messages": 2, "profiles": 1}

``messages`` are the elements of the list as they stand in Redis, the oldest first. ``summary`` is
there if the session has one: ``covers`` counts those of the elements that it covers, ``messages``
also those that are no longer stored. The standard
library reads and writes all of it, since orjson is not exact (see `storage.codec`).
"""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from langchain_redis_memory.errors import ConfigurationError, CorruptedDataError, UnstorableError
from langchain_redis_memory.limits import check_ttl, in_milliseconds
from langchain_redis_memory.moving.restoring import Restored
from langchain_redis_memory.storage.codec import decode_message, dump_element
from langchain_redis_memory.storage.exact import encode_value
from langchain_redis_memory.storage.keys import encode_id

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from langchain_redis_memory.moving.restoring import Transfer

FORMAT, VERSION = "langchain-redis-memory", 1

_COUNTED = ("sessions", "messages", "profiles")
_EPOCH = datetime.fromtimestamp(0, UTC)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as a file holds it; its elements as Redis does, the oldest first."""

    agent: str
    user: str
    session: str
    elements: list[bytes] = field(repr=False)  # people's words
    ttl_ms: int
    last_active_ms: int | None
    summary: Restored | None = None


@dataclass(frozen=True, slots=True)
class ProfileRecord:
    """A profile as a file holds it, encoded as in Redis."""

    agent: str | None
    user: str
    value: bytes = field(repr=False)
    ttl_ms: int


Record = SessionRecord | ProfileRecord


def line(record: dict[str, Any]) -> bytes:
    """Write a line of a file."""
    try:
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can name
        return json.dumps(record).encode() + b"\n"


def first_line() -> bytes:
    """Write what a file begins with."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return line({"type": "export", "format": FORMAT, "version": VERSION, "exported": now})


def last_line(written: Transfer) -> bytes:
    """Write what a file ends with."""
    return line({"type": "end", **{name: getattr(written, name) for name in _COUNTED}})


def in_words(milliseconds: float) -> str | None:
    """Write a time; None if there is no such year."""
    try:
        moment = _EPOCH + timedelta(milliseconds=int(milliseconds))
    except (OverflowError, ValueError):
        return None
    return moment.isoformat(timespec="milliseconds")


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for `read`, compressed or not."""
    with Path(path).open("rb") as raw:
        compressed = raw.read(len(_GZIP)) == _GZIP
        if not compressed:
            yield raw
            return
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) as file:
            yield file  # type: ignore[misc]  # typeshed has it as no IO


def read(file: IO[bytes], name: str) -> Iterator[Record]:
    """Read the records of a file from its beginning, and see that it is whole.

    Args:
        file: The file.
        name: What it is called in errors.

    Raises:
        ConfigurationError: It is damaged, not whole or no export; the error names the line.
    """
    file.seek(0)
    reader = _Reader()
    number = 0
    try:
        for number, line in enumerate(file, 1):  # noqa: B007 - for the error
            if (record := reader.take(line)) is not None:
                yield record
        reader.check_whole()
    except ConfigurationError as error:
        problem = str(error)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        problem = "what follows is cut off or damaged (gzip)"
    else:
        return
    raise ConfigurationError(f"{name}, line {number}: {problem}")


class _Reader:
    """Reads line by line, knowing what must come next."""

    def __init__(self) -> None:
        self._counts: dict[str, int] | None = None
        self._ended = False

    def take(self, line: bytes) -> Record | None:
        """Read a line; None for the first and the last one."""
        found = _object(line)
        kind = found.get("type")
        if self._counts is None:
            _check_first(found)
            self._counts = dict.fromkeys(_COUNTED, 0)
        elif self._ended:
            raise ConfigurationError("it comes after the last line")
        elif kind == "end":
            self._check_last(found)
        elif kind == "session":
            session = _session(found)
            self._counts["sessions"] += 1
            self._counts["messages"] += len(session.elements)
            return session
        elif kind == "profile":
            self._counts["profiles"] += 1
            return _profile(found)
        else:
            raise ConfigurationError("its type is neither session nor profile nor end")
        return None

    def check_whole(self) -> None:
        """Refuse a file that ends before its last line."""
        if not self._ended:
            raise ConfigurationError("the last line, with type end, is missing: it is not whole")

    def _check_last(self, found: dict[str, Any]) -> None:
        if any(found.get(name) != count for name, count in (self._counts or {}).items()):
            raise ConfigurationError(
                "it counts other sessions, messages or profiles than there are: something was "
                "removed or added"
            )
        self._ended = True


def _object(line: bytes) -> dict[str, Any]:
    # The errors of a decoder quote the text: they are gone when ours is raised.
    with suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    raise ConfigurationError("it is no JSON object")


def _check_first(found: dict[str, Any]) -> None:
    if found.get("format") != FORMAT:
        raise ConfigurationError("the file is no export of langchain-redis-memory")
    if found.get("version") != VERSION:
        raise ConfigurationError(
            f"the file has version {found.get('version')!r:.20} of the format, and version "
            f"{VERSION} is read here; use another version of langchain-redis-memory"
        )


def _session(found: dict[str, Any]) -> SessionRecord:
    messages = found.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ConfigurationError("messages must be a list that is not empty")
    return SessionRecord(
        _id(found, "agent"),
        _id(found, "user"),
        _id(found, "session"),
        [_element(message, position) for position, message in enumerate(messages)],
        _ttl_ms(found),
        _last_active_ms(found.get("last_active")),
        _summary(found.get("summary"), len(messages)),
    )


def _summary(found: Any, stored: int) -> Restored | None:
    if found is None:
        return None
    with suppress(AttributeError, UnstorableError):
        text, messages, covers = (found.get(name) for name in ("text", "messages", "covers"))
        if isinstance(text, str) and type(messages) is int and type(covers) is int:
            encode_value(text, "summary")
            if 0 <= covers < stored and covers <= messages:
                return Restored(text, messages, covers)
    raise ConfigurationError(
        "summary must have a text, and whole numbers covers and messages that fit the session"
    )


def _profile(found: dict[str, Any]) -> ProfileRecord:
    agent = None if found.get("agent") is None else _id(found, "agent")
    if isinstance(found.get("profile"), dict):
        with suppress(UnstorableError, RecursionError):
            value = encode_value(found["profile"], "profile")
            return ProfileRecord(agent, _id(found, "user"), value, _ttl_ms(found))
    raise ConfigurationError("profile is no JSON object that can be stored")


def _element(message: Any, position: int) -> bytes:
    if isinstance(message, dict):
        with suppress(UnstorableError, CorruptedDataError, RecursionError):
            element = dump_element(message)
            decode_message(element, "", position)
            return element
    raise ConfigurationError(f"messages[{position}] is no stored message")


def _id(found: dict[str, Any], name: str) -> str:
    encode_id(found.get(name), name)
    return str(found[name])


def _ttl_ms(found: dict[str, Any]) -> int:
    ttl = found.get("ttl")
    check_ttl(ttl)
    return 0 if ttl is None else in_milliseconds(ttl)


def _last_active_ms(moment: Any) -> int | None:
    if moment is None:
        return None
    with suppress(ValueError, TypeError):
        return (datetime.fromisoformat(moment) - _EPOCH) // timedelta(milliseconds=1)
    raise ConfigurationError("last_active must be a time with its offset from UTC, or null")
