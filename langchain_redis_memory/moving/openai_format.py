"""Messages in OpenAI's format as LangChain's.

The format: https://platform.openai.com/docs/api-reference/chat/create. What has no equal in
LangChain is refused with its place, rather than changed or left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages

from langchain_redis_memory.errors import UnstorableError

if TYPE_CHECKING:
    from collections.abc import Iterable

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def from_openai(message: object, where: str) -> BaseMessage:
    """Make a message of one in OpenAI's format; one of LangChain's is given back as it is.

    Calls whose arguments are no JSON object become `AIMessage.invalid_tool_calls`. LangChain has
    no content that is None, and takes it as empty.

    Args:
        message: The message.
        where: What it is called in errors, such as ``messages[2]``.

    Raises:
        UnstorableError: It would not come back as it is.
    """
    if isinstance(message, BaseMessage):
        return message
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        raise UnstorableError(where, "it is neither OpenAI's dict with a role nor LangChain's")
    fields = {"content": None, **message}
    _check_content(fields["content"], f"{where}.content")
    calls = _tool_calls(fields.pop("tool_calls", None), f"{where}.tool_calls")
    if message["role"] == "assistant":
        fields["tool_calls"] = [call for call in calls if call["type"] == "tool_call"]
    elif calls:
        raise UnstorableError(f"{where}.tool_calls", "only an assistant's message has some")
    if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise UnstorableError(where, "it is a tool's result without tool_call_id")
    with suppress(ValueError, TypeError, KeyError, AttributeError, NotImplementedError):
        made = convert_to_messages([fields])[0]
        if isinstance(made, AIMessage):
            made.invalid_tool_calls = [call for call in calls if call["type"] != "tool_call"]
        return made
    # Not within a clause of theirs: their errors may quote the text.
    raise UnstorableError(where, "LangChain takes it for no message; look at its fields' types")


def tool_call(call: object, where: str) -> Any:
    """Make LangChain's form of a call: one of type "tool_call", or "invalid_tool_call".

    Raises:
        UnstorableError: It is no call of a function, or holds more than one does.
    """
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise UnstorableError(where, "it is no call of a function")
    check_known(call, ("id", "type", "function", "index"), where)
    check_known(function, ("name", "arguments"), f"{where}.function")
    name, arguments, id_ = function.get("name"), function.get("arguments"), call.get("id")
    if not isinstance(name, str) or not isinstance(arguments, str | dict):
        raise UnstorableError(f"{where}.function", "it needs a name, and arguments as JSON text")
    if not isinstance(id_, str | None):
        raise UnstorableError(f"{where}.id", "it must be a string")
    # Some providers write nothing for a call without arguments.
    found = _parsed(arguments or "{}") if isinstance(arguments, str) else arguments
    if isinstance(found, dict):
        return {"type": "tool_call", "id": id_, "name": name, "args": found}
    told = {"id": id_, "name": name, "args": arguments, "error": "arguments are no JSON object"}
    return {"type": "invalid_tool_call", **told}


def check_known(fields: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Refuse what says more than is known.

    Raises:
        UnstorableError: A field has a value and none of the known names.
    """
    for name, value in fields.items():
        if name not in known and value is not None:
            raise UnstorableError(f"{where}[{name!r:.40}]", "LangChain has no place for it")


def _tool_calls(calls: Any, where: str) -> list[Any]:
    if not isinstance(calls, list | None):
        raise UnstorableError(where, "it must be a list")
    return [tool_call(call, f"{where}[{i}]") for i, call in enumerate(calls or [])]


def _parsed(arguments: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(arguments, strict=False)  # models leave line ends in strings
    return None


def _check_content(content: Any, where: str) -> None:
    parts = content if isinstance(content, list) else []
    if not isinstance(content, str | list | None) or not all(
        isinstance(part, str | dict) for part in parts
    ):
        raise UnstorableError(where, "it must be a string, a list of strings and dicts, or None")
