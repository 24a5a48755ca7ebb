"""Copying a session: what is read, where it is cut, what is written."""

from __future__ import annotations

from dataclasses import replace
from types import EllipsisType
from typing import TYPE_CHECKING

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.scripts import TOUCH_INDEX
from langchain_redis_memory.sessions import scripts
from langchain_redis_memory.storage.codec import message_id, message_kind
from langchain_redis_memory.storage.keys import encode_id, summary_of
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.summaries.stored import Mark, Stored, write
from langchain_redis_memory.window import check_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_redis_memory.storage.keys import Keys
    from langchain_redis_memory.storage.operation import Command
    from langchain_redis_memory.storage.steps import Steps


Until = int | str | EllipsisType
"""The last message to copy: how many, or its id; ``...`` for all."""


def copy_session(
    keys: Keys, ids: tuple[str, str, str], copy: str, ttl: int, until: Until
) -> Steps[int]:
    """Copy a session, or its beginning; see `Sessions.copy_session`.

    Args:
        keys: The names of keys.
        ids: The agent, the user and the session.
        copy: The id of the new session.
        ttl: Milliseconds to live, 0 for ever.
        until: See `Sessions.copy_session`.
    """
    agent, user, session = ids
    entry = keys.sessions(agent, user), encode_id(copy, "copy")
    source, target = (keys.session(agent, user, id_) for id_ in (session, copy))
    if source == target:
        raise ConfigurationError("a session cannot be copied to itself; give another id")
    if until is None:
        raise ConfigurationError("until is None, the id of no message; say how many messages")
    if not isinstance(until, str | EllipsisType):
        check_count("until", until)
    newest_first, value = yield _session(source)
    elements = newest_first[::-1]
    copied = elements[: _end(elements, until)]
    if len(copied) < len(elements) and _is_result(elements[len(copied)]):
        raise ConfigurationError(
            f"until={until!r:.80} parts a tool's result from its call; copy up to the message "
            "before the call or after all results"
        )
    if not (yield _create(target, ttl, copied)):
        raise ConfigurationError(
            f"there is a session at {target!r} with other messages; give another id, or clear it"
        )
    if summary := _summary_of_copy(newest_first, value, copied[::-1]):
        yield write(target, None, summary)
    # Only now: the session that is there instead was not written to.
    yield _list_in_index(*entry, ttl)
    return len(copied)


def _is_result(element: bytes) -> bool:
    return (message_kind(element) or "").lower().startswith(("tool", "function"))


def _end(elements: list[bytes], until: Until) -> int:
    if not elements:
        raise ConfigurationError("there is no such session, or it has expired")
    if isinstance(until, EllipsisType):
        return len(elements)
    if isinstance(until, str):
        ids = [message_id(element) for element in elements]
        if until not in ids:
            raise ConfigurationError(f"no message of the session has the id {until!r:.80}")
        return ids.index(until) + 1
    if until > len(elements):
        raise ConfigurationError(f"until={until}: the session has {len(elements)} messages")
    return until


def _session(key: str) -> Operation[tuple[list[bytes], bytes | None]]:
    commands: tuple[Command, ...] = (("LRANGE", key, 0, -1), ("GET", summary_of(key)))
    return Operation("copying a session", commands, lambda replies: (replies[0], replies[1]), key)


def _summary_of_copy(
    source: Sequence[bytes], value: bytes | None, copied: Sequence[bytes]
) -> Stored | None:
    """Give the summary for a copy, unless it covers what was not copied; all newest first."""
    found = Stored.parse(value)
    position = None if found is None else found.mark.position(source)
    left_out = len(source) - len(copied)
    if found is None or position is None or position < left_out:
        return None
    return replace(found, mark=Mark.at(position - left_out, copied))


def _create(key: str, ttl: int, elements: list[bytes]) -> Operation[bool]:
    return Operation(
        "copying a session",
        (scripts.CREATE.on(key, ttl, 0, *elements),),
        lambda replies: replies[0] == 1,
        key,
        again=lambda: (scripts.CREATE.on(key, ttl, 1, *elements),),
    )


def _list_in_index(index: str, member: str, ttl: int) -> Operation[None]:
    call = TOUCH_INDEX.on(index, member, ttl)
    return Operation("copying a session", (call,), lambda _: None, index)
