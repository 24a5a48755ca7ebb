"""Messages to bytes and back, exactly.

An element is what `langchain_core.messages.message_to_dict` gives, with one key of ours in front::

    {"append":"0199f0c27d4e7c3a8a5f...","type":"human","data":{"content":"Hi",...}}

``append`` is the token of the append that stored it: a UUID of version 7, so that it also tells
when (RFC 9562 section 5.7). langchain-community reads ``type`` and ``data`` and passes over the
rest, and its elements, which have no token, are read here.

A message is read by its class, whose validators do more than validate: with an empty
``tool_calls`` they parse the provider's own form of the calls once more, and they drop a call's
``extras``. Most messages they leave as they are, which `plain` can tell without asking them: those
are built and stored at once. Each other one is read on a trial before it is stored. Fields that
came back changed are named in a key ``assigned``, and assigned as they stand after the class has
been asked. Fields that the class refuses, such as a usage of ``total_cost`` alone, which
LangChain's caches assign, stand in a key ``apart``, where they make no other reader fail. A
message that its class refuses as a whole is refused here, since it would make its conversation
unreadable.

orjson is fast but inexact at the edges: it writes NaN as null, refuses integers over 64 bits and
lone surrogates, and reads large integers as floats. What it holds exactly is written by it,
without spaces; the rest is written and read by the standard library. So an element that starts
with `_COMPACT` is known to be exact in orjson, and no other is read with it.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from pydantic import ValidationError

from langchain_redis_memory.errors import CorruptedDataError, UnstorableError
from langchain_redis_memory.storage.exact import are_usual, canonical, fits, sized
from langchain_redis_memory.storage.plain import is_plain, plain_message

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPACT = b'{"append":"'

_OURS = re.compile(rb'\{"append":"[0-9a-f]{32}","type":"(\w+)","data":\{')

MISSHAPEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What it raises to read a value that is not of the shape that it should have."""

_STORABLE = {
    *(AIMessage, AIMessageChunk, HumanMessage, HumanMessageChunk, SystemMessage),
    *(SystemMessageChunk, ToolMessage, ToolMessageChunk, ChatMessage, ChatMessageChunk),
    *(FunctionMessage, FunctionMessageChunk, RemoveMessage),
}


def encode_messages(messages: Sequence[BaseMessage], token: str) -> list[bytes]:
    """Encode messages as elements of a list, in their order.

    Raises:
        UnstorableError: One of them does not come back from JSON equal; the error names
            the field. None is to be stored then.
    """
    return [_encode(message, i, token) for i, message in enumerate(messages)]


def decode_message(element: bytes, key: str, position: int) -> BaseMessage:
    """Decode one element of the list at `key`; `position` is its index there.

    Raises:
        CorruptedDataError: It is not a message.
    """
    try:
        stored = (orjson.loads if element.startswith(_COMPACT) else json.loads)(element)
        message = plain_message(stored["type"], stored["data"])
        if message is None:
            message = _built(stored)
        if "assigned" in stored:
            for name in stored["assigned"]:
                _assign(message, name, stored["data"][name])
        if "apart" in stored:
            for name, value in stored["apart"].items():
                _assign(message, name, value)
    except MISSHAPEN as error:
        reason = type(error).__name__
    else:
        return message
    # Not within the clause above: the error there may quote the stored text, and would be kept.
    raise CorruptedDataError(key, position, reason)


def load_element(element: bytes, key: str, position: int) -> dict[str, Any]:
    """Read an element as the JSON that it is, having seen that it is a message.

    Raises:
        CorruptedDataError: It is not.
    """
    decode_message(element, key, position)
    stored: dict[str, Any] = _load(element)
    return stored


def dump_element(stored: dict[str, Any]) -> bytes:
    """Write what `load_element` gave as the same element, which also tells how it is to be read.

    Raises:
        UnstorableError: It holds what no element holds.
    """
    ours = next(iter(stored), None) == "append" and isinstance(stored["append"], str)
    # The levels of a message are counted from its fields, which are two levels down.
    return sized(_dump(stored, exact=ours and fits(stored, "element", depth=-1)), "element")


def are_alike(one: bytes, other: bytes) -> bool:
    """Tell whether two elements are the same message, whichever append stored them."""
    if one == other:
        return True
    try:
        return _content(one) == _content(other)
    except MISSHAPEN:
        return False


def message_id(element: bytes) -> str | None:
    """Read a stored message's id without building the message; None when it has none."""
    try:
        found = _load(element)["data"].get("id")
    except MISSHAPEN:
        return None  # whoever reads the messages themselves reports the damage
    return found if isinstance(found, str) else None


def spelled_id(id_: str) -> bytes:
    """Write an id as the elements that are written here have it, for scripts to look for it."""
    try:
        return orjson.dumps(id_)
    except TypeError:
        return json.dumps(id_).encode()


def kind_of_ours(element: bytes) -> bytes | None:
    """Tell the type of a message that was written here, by how its element begins and ends.

    None for what is damaged, or was written by others, and may be of any type.
    """
    found = _OURS.match(element)
    return found[1] if found and element.endswith(b"}}") else None


def message_kind(element: bytes) -> str | None:
    """Read the type of a stored message (``"human"``, ``"tool"``); None if it is damaged."""
    try:
        found = _load(element)["type"]
    except MISSHAPEN:
        return None
    return found if isinstance(found, str) else None


def stored_at(token: str) -> datetime:
    """Tell when an append was begun, from its token: an aware datetime in UTC."""
    return datetime.fromtimestamp((UUID(token).int >> 80) / 1000, UTC)


def _content(element: bytes) -> str:
    return canonical({name: value for name, value in _load(element).items() if name != "append"})


def _load(element: bytes) -> Any:
    return (orjson.loads if element.startswith(_COMPACT) else json.loads)(element)


def _encode(message: BaseMessage, position: int, token: str) -> bytes:
    cls = type(message)
    if cls not in _STORABLE:
        raise UnstorableError(
            f"messages[{position}]",
            f"a {cls.__name__} would come back as another class; use a message of langchain_core",
        )
    # The fields as they are: model_dump would turn an object inside them into a dict unasked.
    # A copy: what is looked at is what is written, whoever assigns to a field meanwhile.
    data = message.__dict__.copy()
    if extra := message.__pydantic_extra__:
        data |= extra
    stored: dict[str, Any] = {"append": token, "type": message.type, "data": data}
    if is_plain(cls, data) and are_usual(data.values()):
        try:
            return sized(orjson.dumps(stored), "messages", position)
        except TypeError:  # an integer, a surrogate or a key that it does not hold
            pass
    path = f"messages[{position}]"
    return sized(_encoded_with_care(message, stored, path), path)


def _encoded_with_care(message: BaseMessage, stored: dict[str, Any], path: str) -> bytes:
    try:
        exact = False not in [
            fits(each, ascii(name)[1:-1])
            for name, value in stored["data"].items()
            for each in (name, value)
        ]
    except UnstorableError as found:
        raise UnstorableError(f"{path}.{found.field}", found.reason) from None
    # As readers find it: a class may take a subclass of int for text, say, but not the number.
    stored = _load(_dump(stored, exact=exact))
    _make_readable(message, stored, path)
    return _dump(stored, exact=exact)


def _make_readable(message: BaseMessage, stored: dict[str, Any], path: str) -> None:
    """Read a message on trial, and note in the element what its class would read back otherwise."""
    apart: dict[str, Any] = {}
    again: BaseMessage | None = None
    while again is None:
        again, field, why = _read_on_trial(stored)
        if again is not None:
            break
        if (
            not field
            or field not in stored["data"]
            or type(message).model_fields[field].is_required()
        ):
            raise UnstorableError(
                f"{path}.{field}" if field else path,
                f"{type(message).__name__} would refuse it when it is read back ({why})",
            )
        apart[field] = stored["data"].pop(field)
    if type(again) is not type(message):
        raise UnstorableError(f"{path}.type", f"it would come back as a {type(again).__name__}")
    before, after = stored["data"], {**(again.__pydantic_extra__ or {}), **again.__dict__}
    for field in before.keys() - after.keys():
        raise UnstorableError(f"{path}.{field}", f"{type(message).__name__} would not read it back")
    changed = [name for name in before if canonical(before[name]) != canonical(after[name])]
    if changed:
        stored["assigned"] = changed
    if apart:
        stored["apart"] = apart


def _built(stored: dict[str, Any]) -> BaseMessage:
    """Have LangChain build the message, with all that its class does."""
    # Its module loads langchain_text_splitters, and langchain_core.runnables with it.
    from langchain_core.messages import messages_from_dict  # noqa: PLC0415 - seldom used; see above

    return messages_from_dict([stored])[0]


def _read_on_trial(stored: dict[str, Any]) -> tuple[BaseMessage | None, str, str]:
    """Give the message; or None, the field that its class refuses, and why, without its value."""
    try:
        return _built(stored), "", ""
    except ValidationError as error:
        where = error.errors()[0]["loc"]
        return None, str(where[0]) if where else "", type(error).__name__
    except TypeError as error:  # it names arguments and types
        return None, "", str(error)
    except (ValueError, KeyError, AttributeError) as error:
        return None, "", type(error).__name__


def _assign(message: BaseMessage, name: str, value: Any) -> None:
    if name not in type(message).model_fields:
        raise KeyError(name)
    message.__dict__[name] = value


def _dump(stored: dict[str, Any], *, exact: bool) -> bytes:
    if exact:
        try:
            return orjson.dumps(stored)
        except TypeError:  # such as a subclass of float, which only the standard library writes
            pass
    return json.dumps(stored).encode()
