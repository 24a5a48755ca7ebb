"""A conversation as it stands, for who only looks: its expiry is not put off."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.storage.codec import decode_message, stored_at
from langchain_redis_memory.storage.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.storage.operation import Command


@dataclass(frozen=True, slots=True)
class Said:
    """A message, and when it was stored; None if it was stored by another library."""

    message: BaseMessage = field(repr=False)  # people's words
    stored: datetime | None


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation.

    Attributes:
        said: Its messages, or the last of them; the oldest first.
        messages: How many are stored.
        last_active: When it was last written to, in UTC; None if nobody knows.
        ttl: Seconds until it expires; None for never.
    """

    said: tuple[Said, ...]
    messages: int
    last_active: datetime | None
    ttl: float | None


def transcript(conversation: Conversation, last: int | None = None) -> Operation[Transcript]:
    """Ask for a conversation.

    Args:
        conversation: Which one.
        last: How many of the newest messages; None for all.

    Raises:
        CorruptedDataError: An element is no message.
    """
    key, entry = conversation.key, conversation.entry

    def read(replies: Sequence[Any]) -> Transcript:
        elements, messages, left, *scores = replies
        said = [_said(element, key, position) for position, element in enumerate(elements)]
        return Transcript(
            tuple(said[::-1]),
            messages,
            next((_moment_of(score) for score in scores if score is not None), None),
            left / 1000 if left >= 0 else None,
        )

    commands: tuple[Command, ...] = (
        ("LRANGE", key, 0, -1 if last is None else last - 1),
        ("LLEN", key),
        ("PTTL", key),
        *((("ZSCORE", entry.key, entry.member),) if entry else ()),
    )
    return Operation("looking at a conversation", commands, read, key)


def _moment_of(score: bytes | float) -> datetime:
    return datetime.fromtimestamp(float(score) / 1000, UTC)


def _said(element: bytes, key: str, position: int) -> Said:
    message = decode_message(element, key, position)
    token = json.loads(element).get("append")
    stored = None
    if isinstance(token, str):
        with suppress(ValueError, OverflowError):  # another program's
            stored = stored_at(token)
    return Said(message, stored)
