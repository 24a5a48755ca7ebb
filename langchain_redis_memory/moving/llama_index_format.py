"""What llama-index stores as LangChain's messages.

Its `ChatMessage` (llama_index.core.base.llms.types) is a role, ``additional_kwargs`` in the form of
its provider, and until 0.11 ``content``, since 0.12 ``blocks``. What has no equal in LangChain is
refused with its place, rather than changed or left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import UnstorableError
from langchain_redis_memory.moving.openai_format import ROLES, check_known, from_openai, tool_call

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

# Gemini says "model" and Cohere "chatbot" for what others call "assistant".
_ROLES = {**{role: role for role in ROLES}, "model": "assistant", "chatbot": "assistant"}

# By llama-index's kind of block: LangChain's, where the data is, the MIME type, and what goes with
# it under which name.
_MEDIA = {
    "image": ("image", "image", "image_mimetype", {"detail": "detail"}),
    "audio": ("audio", "audio", "format", {}),
    "video": ("video", "video", "video_mimetype", {"detail": "detail", "fps": "fps"}),
    "document": ("file", "data", "document_mimetype", {"title": "filename"}),
}


def from_llama_index(stored: object, where: str) -> BaseMessage:
    """Make a message of what llama-index stores for one; see `from_openai`."""
    role = _named(stored, "role")
    if role not in _ROLES or not isinstance(stored, dict):
        raise UnstorableError(where, "it is no message of llama-index")
    check_known(stored, ("role", "content", "blocks", "additional_kwargs"), where)
    kwargs = _dict(stored, "additional_kwargs", where)
    if kwargs.get("images"):
        raise UnstorableError(f"{where}.additional_kwargs['images']", "LangChain has none there")
    calls = _openai_calls(kwargs.pop("tool_calls", None))
    message = {
        "role": _ROLES[role],
        "content": stored.get("content"),
        "tool_calls": calls,
        "additional_kwargs": kwargs,
    }
    if stored.get("blocks") is not None:
        _take_blocks(stored["blocks"], message, f"{where}.blocks")
    if message["role"] in ("tool", "function"):
        if "tool_call_id" in kwargs:
            message["role"] = "tool"
        for name in kwargs.keys() & {"tool_call_id", "name"}:
            message[name] = kwargs.pop(name)
    return from_openai(message, where)


def _take_blocks(blocks: Any, message: dict[str, Any], where: str) -> None:
    """Put the blocks of llama-index into a message in OpenAI's format."""
    if not isinstance(blocks, list) or message["content"] is not None:
        raise UnstorableError(where, "it must be a list, and the only content")
    calls = [_openai_call(block) for block in blocks if _named(block, "block_type") == "tool_call"]
    content = [_content(block, f"{where}[{i}]") for i, block in enumerate(blocks)]
    said = [part for part in content if "tool_call" not in part["type"]]
    if calls:
        told = message["tool_calls"] or calls  # some providers give them in both places
        if [tool_call(call, where)["id"] for call in told] != [call["id"] for call in calls]:
            raise UnstorableError(where, "they have other tool calls than additional_kwargs")
        message["tool_calls"] = calls
    if content[: len(said)] != said or any(part["type"] == "reasoning" for part in said):
        # LangChain's own form, in which providers look for reasoning and for the order of calls.
        message["response_metadata"] = {"output_version": "v1"}
        said = content
    is_text = len(said) == 1 and said[0]["type"] == "text"
    message["content"] = said[0]["text"] if is_text else said


def _content(block: Any, where: str) -> dict[str, Any]:
    """Make a content block of LangChain's; see langchain_core.messages.content."""
    kind = _named(block, "block_type")
    if kind == "text" and isinstance(block.get("text"), str):
        check_known(block, ("block_type", "text"), where)
        return {"type": "text", "text": block["text"]}
    if kind == "tool_call":
        check_known(block, ("block_type", "tool_call_id", "tool_name", "tool_kwargs"), where)
        made: dict[str, Any] = tool_call(_openai_call(block), where)
        return made
    if kind == "thinking":
        check_known(block, ("block_type", "content", "num_tokens", "additional_information"), where)
        extras = _dict(block, "additional_information", where)
        extras["num_tokens"] = block.get("num_tokens")
        return _without_none(type="reasoning", reasoning=block.get("content"), extras=extras)
    if kind in _MEDIA:
        return _media(block, kind, where)
    raise UnstorableError(where, f"LangChain has no content like a block of type {kind!r:.40}")


def _media(block: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    type_, data, mime, more = _MEDIA[kind]
    check_known(block, ("block_type", "url", data, mime, *more), where)
    if (block.get(data) is None) == (block.get("url") is None):
        raise UnstorableError(where, f"it must have either {data} or url")
    mime_type = block.get(mime)
    return _without_none(
        type=type_,
        base64=block.get(data),
        url=block.get("url"),
        mime_type=f"audio/{mime_type}" if mime_type and kind == "audio" else mime_type,
        extras={name: block.get(theirs) for theirs, name in more.items()},
    )


def _named(value: Any, field: str) -> str:
    name = value.get(field) if isinstance(value, dict) else None
    return name if isinstance(name, str) else ""


def _dict(value: dict[str, Any], field: str, where: str) -> dict[str, Any]:
    found = value.get(field)
    if not isinstance(found, dict | None):
        raise UnstorableError(f"{where}.{field}", "it must be an object")
    return dict(found or {})


def _without_none(**fields: Any) -> dict[str, Any]:
    extras = {name: value for name, value in fields.pop("extras").items() if value is not None}
    found = {name: value for name, value in fields.items() if value is not None}
    return {**found, "extras": extras} if extras else found


def _openai_call(block: dict[str, Any]) -> dict[str, Any]:
    function = {"name": block.get("tool_name"), "arguments": block.get("tool_kwargs")}
    return {"id": block.get("tool_call_id"), "type": "function", "function": function}


def _openai_calls(calls: Any) -> Any:
    """Give calls in OpenAI's form, of which some are in Anthropic's."""
    if not isinstance(calls, list):
        return calls
    return [
        {
            "id": call.get("id"),
            "type": "function",
            "function": {"name": call.get("name"), "arguments": call["input"]},
        }
        if isinstance(call, dict) and call.get("type") in (None, "tool_use") and "input" in call
        else call
        for call in calls
    ]
