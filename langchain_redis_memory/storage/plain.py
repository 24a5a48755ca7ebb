"""Plain messages: those that their class takes as they are, told without asking it.

A class validates what it is made of, which takes several times as long as parsing it, and leaves
most messages as they are. Whether it does so can be seen: by the names of the fields in their
order, by the types of their values, and by a closer look at lists and calls. What passes is built
as unpickling builds it, and equals what the class would have made; nothing else is built here.

This knows what LangChain's classes check. A class with a field, a type or a validator that is not
known here, as of a later version, has no plain messages: all are left to it.
"""

from __future__ import annotations

from itertools import product
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_type_hints

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolCall,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# An AIMessageChunk makes its calls of its chunks, and a RemoveMessage has no content: not plain.
_CLASSES: tuple[type[BaseMessage], ...] = (
    *(AIMessage, HumanMessage, HumanMessageChunk, SystemMessage, SystemMessageChunk),
    *(ToolMessage, ToolMessageChunk, ChatMessage, ChatMessageChunk),
    *(FunctionMessage, FunctionMessageChunk),
)

# Which types of a value are left as they are, if the looks below find nothing in it.
_LEFT: dict[Any, tuple[type, ...]] = {
    Any: (str, int, float, bool, NoneType, list, dict),
    str: (str,),
    str | None: (str, NoneType),
    str | list[str | dict[Any, Any]]: (str, list),
    str | list[str | dict]: (str, list),  # type: ignore[type-arg]  # as langchain-core 1.4 has it
    dict[Any, Any]: (dict,),
    dict: (dict,),
    list[ToolCall]: (list,),
    AIMessage.model_fields["invalid_tool_calls"].annotation: (list,),
    UsageMetadata | None: (dict, NoneType),
    Literal["success", "error"]: (str,),
}
_PARTS: dict[Any, dict[str, Any]] = {
    ToolCall: {"name": str, "args": dict[str, Any], "id": str | None, "type": Literal["tool_call"]},
    UsageMetadata: {
        **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), int),
        "input_token_details": InputTokenDetails,
        "output_token_details": OutputTokenDetails,
    },
    InputTokenDetails: dict.fromkeys(("audio", "cache_creation", "cache_read"), int),
    OutputTokenDetails: dict.fromkeys(("audio", "reasoning"), int),
}
_VALIDATORS = {"_backwards_compat_tool_calls", "coerce_args"}


class _Kind(NamedTuple):
    """What a plain message of a class is made of."""

    cls: type[BaseMessage]
    kind: str
    names: tuple[str, ...]
    name_set: frozenset[str]
    types: frozenset[tuple[type, ...]]
    look: Callable[[dict[str, Any]], bool] | None


def plain_message(kind: Any, data: Any) -> BaseMessage | None:
    """Build the message that its class would make of its fields, if it is plain.

    Args:
        kind: The `type` of the message.
        data: Its fields. They become the message's own.
    """
    known = _KINDS.get(kind) if type(kind) is str else None
    if known is None or not _is_plain(known, data):
        return None
    message = _new(known.cls)
    _set_dict(message, data)
    _set_fields_set(message, set(known.name_set))
    _set_extra(message, {})
    _set_private(message, None)
    return message


def is_plain(cls: type[BaseMessage], data: dict[str, Any]) -> bool:
    """Tell whether the class would make a message of these fields that has them as they are."""
    known = _BY_CLASS.get(cls)
    return known is not None and _is_plain(known, data)


def _is_plain(known: _Kind, data: Any) -> bool:
    if (
        type(data) is not dict
        or tuple(data) != known.names
        or tuple(map(type, data.values())) not in known.types
        or data["type"] != known.kind
    ):
        return False
    identity, content = data["id"], data["content"]
    if identity is not None and not identity.isascii():
        return False  # pydantic before 2.9 refuses ids that are not UTF-8
    if type(content) is list and not _BLOCKS.issuperset(map(type, content)):
        return False
    return known.look is None or known.look(data)


_new = object.__new__
_set_dict, _set_fields_set, _set_extra, _set_private = (
    BaseModel.__dict__[slot].__set__
    for slot in (
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    )
)
_BLOCKS = frozenset((str, dict))
_INTEGERS = frozenset((int,))


def _has_plain_calls(data: dict[str, Any]) -> bool:
    usage, calls = data["usage_metadata"], data["tool_calls"]
    if data["invalid_tool_calls"] or (usage is not None and not _is_plain_usage(usage)):
        return False
    if not calls:  # then the class parses those of the provider, if there are any
        return not data["additional_kwargs"].get("tool_calls")
    return all(
        type(call) is dict
        and tuple(call) == _CALL
        and tuple(map(type, call.values())) in _CALL_TYPES
        and call["type"] == "tool_call"
        for call in calls
    )


def _is_plain_usage(usage: dict[str, Any]) -> bool:
    types = _USAGES.get(tuple(usage))
    if types is None or tuple(map(type, usage.values())) != types:
        return False
    return len(usage) == len(UsageMetadata.__required_keys__) or all(
        tuple(details) in orders and _INTEGERS.issuperset(map(type, details.values()))
        for name, orders in _DETAILS.items()
        if (details := usage.get(name))
    )


def _has_status(data: dict[str, Any]) -> bool:
    return data["status"] in {"success", "error"}


def _orders(part: Any) -> Iterator[tuple[str, ...]]:
    """Give the keys that a `TypedDict` may have, in the order in which validation leaves them."""
    choices = [((n,),) if n in part.__required_keys__ else ((n,), ()) for n in _PARTS[part]]
    return (sum(names, ()) for names in product(*choices))


_CALL = tuple(_PARTS[ToolCall])
_CALL_TYPES = frozenset({(str, dict, str, str), (str, dict, NoneType, str)})
_USAGES = {
    names: tuple(int if _PARTS[UsageMetadata][name] is int else dict for name in names)
    for names in _orders(UsageMetadata)
}
_DETAILS = {
    "input_token_details": frozenset(_orders(InputTokenDetails)),
    "output_token_details": frozenset(_orders(OutputTokenDetails)),
}
_LOOKS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "tool_calls": _has_plain_calls,
    "status": _has_status,
}


def _known(cls: type[BaseMessage]) -> _Kind | None:
    """Give what the class checks; None if it checks more than is known here."""
    fields, checks = cls.model_fields, cls.__pydantic_decorators__
    validators = (checks.model_validators, checks.field_validators, checks.root_validators)
    if (
        cls.model_config != {"extra": "allow"}
        or cls.__pydantic_post_init__ is not None
        or cls.__private_attributes__
        or checks.validators
        or not _VALIDATORS.issuperset(name for known in validators for name in known)
    ):
        return None
    types: list[tuple[type, ...]] = []
    for name, field in fields.items():
        kinds = (str,) if name == "type" else _LEFT.get(field.annotation)
        if kinds is None or (field.metadata and name != "id") or field.alias:
            return None
        types.append(kinds)
    look = next((look for name, look in _LOOKS.items() if name in fields), None)
    names, kind = tuple(fields), fields["type"].default
    return _Kind(cls, kind, names, frozenset(names), frozenset(product(*types)), look)


def _known_classes() -> Iterator[_Kind]:
    if all(get_type_hints(part) == expected for part, expected in _PARTS.items()):
        yield from filter(None, map(_known, _CLASSES))


_BY_CLASS = {known.cls: known for known in _known_classes()}
_KINDS = {known.kind: known for known in _BY_CLASS.values()}
