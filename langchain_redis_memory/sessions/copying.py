"""Copying a session: what is read, where it is cut, what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.scripts import TOUCH_INDEX
from langchain_redis_memory.sessions import scripts
from langchain_redis_memory.storage.codec import message_id, message_kind
from langchain_redis_memory.storage.operation import Operation

if TYPE_CHECKING:
    from langchain_redis_memory.storage.operation import Command
    from langchain_redis_memory.storage.steps import Steps


def copy_list(
    source: str, target: str, entry: tuple[str, str], ttl: int, until: int | str | None
) -> Steps[int]:
    """Copy the list of a session, or its beginning; see `Sessions.copy_session`.

    Args:
        source: The key of the list.
        target: The key of the copy.
        entry: The index that the copy stands in, and its id there.
        ttl: Milliseconds to live, 0 for ever.
        until: The last message, by its id, or how many; None for all.
    """
    elements = (yield _elements(source))[::-1]
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
    # Only now: the session that is there instead was not written to.
    yield _list_in_index(*entry, ttl)
    return len(copied)


def _is_result(element: bytes) -> bool:
    return (message_kind(element) or "").lower().startswith(("tool", "function"))


def _end(elements: list[bytes], until: int | str | None) -> int:
    if not elements:
        raise ConfigurationError("there is no such session, or it has expired")
    if until is None:
        return len(elements)
    if isinstance(until, str):
        ids = [message_id(element) for element in elements]
        if until not in ids:
            raise ConfigurationError(f"no message of the session has the id {until!r:.80}")
        return ids.index(until) + 1
    if until > len(elements):
        raise ConfigurationError(f"until={until}: the session has {len(elements)} messages")
    return until


def _elements(key: str) -> Operation[list[bytes]]:
    command: Command = ("LRANGE", key, 0, -1)
    return Operation("copying a session", (command,), lambda replies: replies[0], key)


def _create(key: str, ttl: int, elements: list[bytes]) -> Operation[bool]:
    return Operation(
        "copying a session",
        (scripts.CREATE.on(key, ttl, 0, *elements),),
        lambda replies: replies[0] == 1,
        key,
        again=(scripts.CREATE.on(key, ttl, 1, *elements),),
    )


def _list_in_index(index: str, member: str, ttl: int) -> Operation[None]:
    call = TOUCH_INDEX.on(index, member, ttl)
    return Operation("copying a session", (call,), lambda _: None, index)
