"""A summary as it is stored, and where in its conversation it ends.

It stands beside the list of its session, as JSON::

    {"summary": "Alice plans a trip ...", "messages": 38, "written": "0199f0c27d4e7c3a...",
     "until": {"sha1": "...", "bytes": 312, "twins": 0}}

``messages`` tells how many it covers, ``written`` is a UUID of version 7. ``until`` names the first
message that it does not cover, by its content: appends and trimming move messages, and a list that
was cleared and begun anew does not hold it, so that no summary is taken for that of another
conversation. Elements that are written here differ by their tokens, except equal messages of one
append, which is why newer twins are counted.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.errors import CorruptedDataError
from langchain_redis_memory.storage.codec import stored_at
from langchain_redis_memory.storage.exact import decode_value, encode_value
from langchain_redis_memory.storage.keys import summary_of
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.summaries import scripts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.storage.steps import Steps


@dataclass(frozen=True, slots=True)
class Summary(Shown):
    """The summary of a session.

    Attributes:
        text: What the model wrote.
        messages: How many messages it covers.
        written: When it was written; in UTC.
    """

    text: str = field(repr=False)  # people's words
    messages: int
    written: datetime

    def _card(self) -> Card:
        from langchain_redis_memory.display.counts import summary_card  # noqa: PLC0415 - see `Shown`

        return summary_card(self)


@dataclass(frozen=True, slots=True)
class Mark:
    """The first message that a summary does not cover.

    Args:
        digest: The SHA-1 of its element, in hex.
        size: Its bytes.
        twins: How many newer elements are equal to it.
    """

    digest: str
    size: int
    twins: int

    @classmethod
    def at(cls, position: int, newest_first: Sequence[bytes]) -> Mark:
        """Mark the element at a position."""
        element = newest_first[position]
        return cls(digest_of(element), len(element), newest_first[:position].count(element))

    def position(self, newest_first: Sequence[bytes]) -> int | None:
        """Find the element among the newest ones; None if it is not there."""
        twins = self.twins
        for position, element in enumerate(newest_first):
            if len(element) == self.size and digest_of(element) == self.digest:
                if not twins:
                    return position
                twins -= 1
        return None


@dataclass(frozen=True, slots=True)
class Stored:
    """What stands at the key of a summary.

    Args:
        text: What the model wrote.
        messages: How many messages it covers.
        written: The token of the write.
        mark: Where it ends.
        value: The bytes that stand there.
    """

    text: str = field(repr=False)  # people's words
    messages: int
    written: str
    mark: Mark
    value: bytes = field(default=b"", repr=False, compare=False)

    @classmethod
    def parse(cls, value: bytes | None) -> Stored | None:
        """Read what stands there; None for nothing, and for what is no summary."""
        if value is None:
            return None
        with suppress(CorruptedDataError, ValueError, KeyError, TypeError, AttributeError):
            found: dict[str, Any] = decode_value(value, "")
            until = found["until"]
            mark = Mark(str(until["sha1"]), int(until["bytes"]), int(until["twins"]))
            written = str(found["written"])
            stored_at(written)
            return cls(str(found["summary"]), int(found["messages"]), written, mark, value)
        return None

    def encoded(self) -> bytes:
        """Give the bytes to be stored.

        Raises:
            UnstorableError: JSON does not hold the text.
        """
        until = {"sha1": self.mark.digest, "bytes": self.mark.size, "twins": self.mark.twins}
        parts = {"summary": self.text, "messages": self.messages, "written": self.written}
        return encode_value({**parts, "until": until}, "summary")


def digest_of(value: bytes) -> str:
    """Give the SHA-1 by which the scripts know a value; it protects nothing."""
    return sha1(value, usedforsecurity=False).hexdigest()


def write(
    key: str, before: bytes | None, stored: Stored, *, remove: bool = False, first: bytes = b""
) -> Operation[bool]:
    """Write a summary if what was read is still there, and the session goes on from where it ends.

    Args:
        key: The key of the session.
        before: What stood at the key of the summary.
        stored: The new one.
        remove: Whether the messages that it covers are removed.
        first: A message at the beginning that stays in any case.
    """
    mark = stored.mark
    call = scripts.WRITE.on_all(
        (key, summary_of(key)),
        "" if before is None else digest_of(before),
        stored.encoded(),
        *(mark.digest, mark.size, mark.twins),
        int(remove),
        digest_of(first) if first else "",
    )
    return Operation(
        "storing a summary",
        (call,),
        lambda replies: replies[0] == 1,
        key,
        absent=lambda: False,
        writes=True,
    )


def get(key: str) -> Operation[bytes | None]:
    """Read what stands at the key of a session's summary."""
    return Operation(
        "reading a summary",
        (("GET", summary_of(key)),),
        lambda replies: replies[0],
        key,
        absent=lambda: None,
    )


def locate(key: str, mark: Mark) -> Operation[int | None]:
    """Find where a summary ends, counted from the newest message; None if not in this session."""
    call = scripts.LOCATE.on(key, mark.digest, mark.size, mark.twins)
    return Operation(
        "reading a summary", (call,), lambda replies: replies[0], key, absent=lambda: None
    )


def delete(key: str) -> Operation[None]:
    """Remove the summary of a session."""
    command = ("UNLINK", summary_of(key))
    return Operation("removing a summary", (command,), lambda _: None, key)


def summary(key: str) -> Steps[Summary | None]:
    """Read the summary of a session; see `Summaries.summary`."""
    found = Stored.parse((yield get(key)))
    if found is None or (yield locate(key, found.mark)) is None:
        return None
    return Summary(found.text, found.messages, stored_at(found.written))
