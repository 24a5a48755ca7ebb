"""Reading a conversation: what is asked of Redis for the window, and what comes of the replies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_redis_memory import scripts
from langchain_redis_memory.companions import extend
from langchain_redis_memory.storage import codec
from langchain_redis_memory.storage.operation import Command, Operation, ScriptCall
from langchain_redis_memory.window import Window, from_chosen, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.companions import SessionEntry
    from langchain_redis_memory.limits import Limits


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read gave."""

    messages: list[BaseMessage]
    """The window, oldest first."""
    ids: frozenset[str] = field(default_factory=frozenset)
    """Of the ids asked for, the last one that is stored, and maybe some that stand before it."""
    outside: int = 0
    """How many messages no summary covers; told only by `summaries.reading`."""
    is_cut: bool = False
    """Whether more is to be fetched than was, of which nothing is given then."""


def read(
    key: str,
    limits: Limits,
    entry: SessionEntry | None = None,
    *,
    ids: Sequence[str] = (),
    bounded: bool = False,
) -> Operation[Reading]:
    """Fetch the window, put off the expiry of the list and of the index.

    Args:
        key: The key of the list.
        limits: Time to live and window.
        entry: Where the session stands in its user's index.
        ids: See `Conversation.read`.
        bounded: Fetch no more bytes than the window is likely to need; see `Reading.is_cut`.
    """
    window, ttl = limits.reading, limits.ttl_ms
    fetch: Command | ScriptCall
    if window is None:
        fetch = ("LRANGE", key, 0, -1)
        result = partial(_read_all, key=key, ids=ids)
    else:
        size = window.likely_bytes if bounded else 0
        wanted = map(codec.spelled_id, ids)
        fetch = scripts.READ_WINDOW.on(key, window.reach, size, ttl, _choice(window), *wanted)
        result = partial(_read_window, key=key, window=window, ids=ids, bounded=size > 0)
    commands: list[Command | ScriptCall] = [fetch]
    if ttl and window is None:
        commands.append(scripts.EXTEND.on(key, ttl))
    commands += extend(key, ttl, entry)
    return Operation(
        "reading a conversation", tuple(commands), result, key, absent=lambda: Reading([])
    )


class _TooFewError(Exception):
    """There are more messages than were fetched, and the window goes on."""


def _read_all(replies: Sequence[Any], *, key: str, ids: Sequence[str]) -> Reading:
    messages = _decoded(replies[0], key)
    messages.reverse()
    return Reading(messages, _among(ids, (m.id for m in messages)) if ids else _NONE)


def _read_window(
    replies: Sequence[Any], *, key: str, window: Window, ids: Sequence[str], bounded: bool
) -> Reading:
    length, first, is_chosen, elements, *candidates = replies[0]
    oldest = None
    if first is not None and window.keep_system and codec.kind_of_ours(first) not in _NO_SYSTEM:
        oldest = codec.decode_message(first, key, length - 1)
    if is_chosen:
        messages = from_chosen(_decoded(elements, key), window, oldest)
    else:
        whole = len(elements) == length
        cut = bounded and not whole and len(elements) <= window.reach
        try:
            messages = select(_decoding(elements, key, cut=cut), window, oldest, whole=whole)
        except _TooFewError:
            return Reading([], is_cut=True)
    return Reading(messages, _among(ids, map(codec.message_id, candidates[0])) if ids else _NONE)


def _choice(window: Window) -> int:
    if window.tokens is not None:
        return 0  # only Python can count them
    return 2 if window.keep_system else 1


_NO_SYSTEM = {b"human", b"ai", b"tool"}


def _decoded(elements: Sequence[bytes], key: str) -> list[BaseMessage]:
    return [codec.decode_message(element, key, i) for i, element in enumerate(elements)]


def _decoding(elements: Sequence[bytes], key: str, *, cut: bool) -> Iterable[BaseMessage]:
    for i, element in enumerate(elements):
        yield codec.decode_message(element, key, i)
    if cut:
        raise _TooFewError


def _among(ids: Sequence[str], stored: Iterable[object]) -> frozenset[str]:
    return frozenset(ids).intersection(id_ for id_ in stored if isinstance(id_, str))


_NONE: frozenset[str] = frozenset()
