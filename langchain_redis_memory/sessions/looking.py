"""A conversation as it stands, for who only looks: its expiry is not put off."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import CorruptedDataError
from langchain_redis_memory.storage.codec import MISSHAPEN, decode_message, stored_at
from langchain_redis_memory.storage.keys import summary_of
from langchain_redis_memory.storage.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.storage.operation import Command


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen of a conversation.

    Attributes:
        key: The key of its list.
        elements: Its messages as they are stored, or the last of them; the newest first.
        length: How many are stored.
        ttl: Seconds until it expires; None for never.
        last_active: When it was last written to, in UTC; None if nobody knows.
        summary: What stands at the key of its summary.
    """

    key: str
    elements: Sequence[bytes] = field(repr=False)  # people's words
    length: int
    ttl: float | None
    last_active: datetime | None
    summary: bytes | None = field(repr=False)

    def messages(self) -> list[tuple[BaseMessage | CorruptedDataError, datetime | None]]:
        """Give the messages, oldest first, and when they were stored, as far as that is known.

        In the place of one that is damaged stands what is wrong with it.
        """
        return [
            (self._message(position), when_stored(element))
            for position, element in enumerate(self.elements)
        ][::-1]

    def _message(self, position: int) -> BaseMessage | CorruptedDataError:
        try:
            return decode_message(self.elements[position], self.key, position)
        except CorruptedDataError as error:
            return error


def look_at(conversation: Conversation, newest: int | None = None) -> Operation[Looked]:
    """Look at a conversation in one round trip.

    Args:
        conversation: Which one.
        newest: How many of its messages; None for all.
    """
    key, entry = conversation.key, conversation.entry

    def read(replies: Sequence[Any]) -> Looked:
        elements, length, left, *others = replies
        score, summary = others or (None, None)
        active = None if score is None else datetime.fromtimestamp(float(score) / 1000, UTC)
        return Looked(key, elements, length, left / 1000 if left >= 0 else None, active, summary)

    commands: tuple[Command, ...] = (
        ("LRANGE", key, 0, -1 if newest is None else newest - 1),
        ("LLEN", key),
        ("PTTL", key),
    )
    if entry is not None:
        commands += (("ZSCORE", entry.key, entry.member), ("GET", summary_of(key)))
    return Operation("looking at a conversation", commands, read, key)


def when_stored(element: bytes) -> datetime | None:
    """Tell when a message was stored, in UTC; None for those that other libraries wrote."""
    with suppress(*MISSHAPEN, OverflowError, OSError):
        return stored_at(json.loads(element)["append"])
    return None
