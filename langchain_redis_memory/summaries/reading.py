"""What a turn is given of a conversation that is summarised: the summary, and what it lacks.

The list and the summary are two keys, which are read in one trip but not in one step. When they do
not fit together, as when another process has written a summary in between, or when more messages
lie outside of it than were fetched, both are read once more, and all of the list.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from langchain_redis_memory import scripts
from langchain_redis_memory.companions import extend
from langchain_redis_memory.reading import Reading
from langchain_redis_memory.storage.codec import decode_message, message_id
from langchain_redis_memory.storage.keys import summary_of
from langchain_redis_memory.storage.operation import Command, Operation, ScriptCall, combined
from langchain_redis_memory.summaries.message import as_message
from langchain_redis_memory.summaries.stored import Stored
from langchain_redis_memory.window import select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_redis_memory.conversation import Conversation

_BEFORE = AIMessage("")
"""Stands for what the summary covers, so that `select` sees where the first turn begins."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was fetched.

    Args:
        conversation: Of which conversation.
        elements: Its newest elements, from the newest on.
        oldest: The oldest element of all.
        whole: Whether `elements` are all.
        value: What stands at the key of the summary.
        stored: The summary, if that is one and belongs to this conversation.
        end: How many of the elements the summary does not cover; None if that is not among them.
    """

    conversation: Conversation
    elements: Sequence[bytes] = field(repr=False)  # people's words
    oldest: bytes | None = field(repr=False)
    whole: bool
    value: bytes | None = field(repr=False)
    stored: Stored | None
    end: int | None

    def messages(self) -> list[BaseMessage]:
        """Read the messages that the summary does not cover, from the newest on."""
        key = self.conversation.key
        return [decode_message(e, key, i) for i, e in enumerate(self.elements[: self.end])]

    @property
    def reaches_back(self) -> bool:
        """Whether the summary covers none of the messages that are still stored."""
        return self.whole and self.end == len(self.elements)

    def system(self) -> SystemMessage | None:
        """Read the system message at the beginning, which is given and kept in any case."""
        conversation = self.conversation
        if self.oldest is None or not conversation.limits.keeps_system:
            return None
        found = decode_message(self.oldest, conversation.key, -1)
        return found if isinstance(found, SystemMessage) else None


def look(conversation: Conversation, reach: int | None, *, again: bool = False) -> Operation[Found]:
    """Fetch a conversation and its summary, and put off their expiry.

    Args:
        conversation: Which.
        reach: How many of the newest messages; None for all.
        again: Whether it is the second time: a summary that still does not fit is another's.
    """
    key, limits = conversation.key, conversation.limits
    # The list first: of what was removed from it meanwhile, the summary tells.
    commands: tuple[Command | ScriptCall, ...] = (
        ("LRANGE", key, 0, -1 if reach is None else reach),
        ("LINDEX", key, -1),
        ("GET", summary_of(key)),
    )
    if limits.ttl_ms:
        commands = (*commands, scripts.EXTEND.on(key, limits.ttl_ms))
    commands = (*commands, *extend(key, limits.ttl_ms, conversation.entry))

    def found(replies: Sequence[Any]) -> Found:
        elements, oldest, value = replies[:3]
        whole = reach is None or len(elements) <= reach
        stored = Stored.parse(value)
        position = None if stored is None else stored.mark.position(elements)
        if again and position is None:
            stored = None
        end = len(elements) if stored is None and whole else None
        if position is not None:
            end = position + 1
        return Found(conversation, elements, oldest, whole, value, stored, end)

    return Operation(
        "reading a conversation",
        commands,
        found,
        key,
        absent=lambda: Found(conversation, [], None, whole=True, value=None, stored=None, end=0),
    )


def read(
    conversation: Conversation,
    reach: int | None,
    *,
    ids: Sequence[str] = (),
    again: bool = False,
) -> Operation[Reading]:
    """Read what a turn is given, as `conversation.read` does: the summary ahead of the rest.

    Args:
        conversation: Which.
        reach: See `look`.
        ids: See `Conversation.read`.
        again: See `look`.
    """

    def reading(found: Found) -> Reading:
        stored = frozenset(map(message_id, found.elements)) if ids else frozenset()
        return replace(_given(found), ids=frozenset(ids) & stored)

    return combined(reading, look(conversation, None if ids else reach, again=again))


def _given(found: Found) -> Reading:
    if found.end is None:
        return Reading([], is_cut=True)
    outside = found.messages()
    system = found.system()
    window = found.conversation.limits.reading
    if found.stored is None:
        chosen = outside[::-1] if window is None else select(outside, window, system)
        return Reading(chosen, outside=len(outside) - (system is not None))
    if found.reaches_back:
        system = None  # it is one of those outside
    rest = outside[::-1]
    if window is not None:
        chosen = select(chain(outside, [_BEFORE]), window, system, whole=False)
        rest = [m for m in chosen if m is not _BEFORE and m is not system]
    leads: list[BaseMessage] = [] if system is None else [system]
    return Reading(
        [*leads, as_message(found.stored.text, found.stored.written), *rest], outside=len(outside)
    )
