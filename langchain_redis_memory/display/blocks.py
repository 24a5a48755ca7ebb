"""The content of a message, piece by piece: text, reasoning, images as a note, and what else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.display.cards import Fold, Note, Words
from langchain_redis_memory.display.words import counted, cut, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.messages import BaseMessage

LONGEST = 4000
"""How many characters of one text are shown."""

_MOST = 100
"""How many blocks of one message are shown."""

_URL = 80

_REPEATED = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "function_call", "invalid_tool_call"}
)
"""Blocks that say again what the message's tool calls say."""

_TEXTS = frozenset({"text", "input_text", "output_text", "text-plain", "refusal"})
_THOUGHTS = frozenset({"reasoning", "thinking", "redacted_thinking"})
_MEDIA = re.compile(r"(?:input_|output_)?(image|audio|video|file|document)(?:_url)?")
_DATA = re.compile(r"data:([^;,]{1,80})[;,]")


def content_of(message: BaseMessage) -> Iterator[Words | Note | Fold]:
    """Give the content of a message, the thoughts that some models put beside it first."""
    thoughts = message.additional_kwargs.get("reasoning_content")
    if isinstance(thoughts, str) and thoughts:
        yield Fold("Reasoning", words(thoughts))
    content: Any = message.content
    blocks = [content] if isinstance(content, str) else content
    for block in blocks[:_MOST]:
        yield from _block(block)
    if len(blocks) > _MOST:
        yield Note(f"and {counted(len(blocks) - _MOST, 'block')} more")


def words(text: str, *, is_code: bool = False) -> tuple[Words | Note, ...]:
    """Give a text, as much of it as is shown."""
    start, more = cut(text, LONGEST)
    shown: list[Words | Note] = [Words(start, is_code)] if start else []
    return (*shown, Note(f"and {counted(more, 'character')} more")) if more else tuple(shown)


def as_json(value: object, *, indent: int | None = 2) -> str:
    """Write what JSON gave as JSON."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=repr)


def _block(block: str | dict[str, Any]) -> Iterator[Words | Note | Fold]:
    if isinstance(block, str):
        yield from words(block)
        return
    kind = str(block.get("type") or "block")
    if kind in _TEXTS:
        yield from words(_text(block.get("text") or block.get("refusal")))
    elif kind in _THOUGHTS:
        thoughts = _thoughts(block)
        yield Fold("Reasoning", words(thoughts)) if thoughts else Note("reasoning, not readable")
    elif media := _MEDIA.fullmatch(kind):
        yield Note(f"{media[1]}: {_whereabouts(block)}")
    elif kind not in _REPEATED:
        yield Fold(kind, words(as_json(block), is_code=True))


def _thoughts(block: dict[str, Any]) -> str:
    """Find the text of a thought, which each provider keeps elsewhere."""
    parts = block.get("summary")
    if isinstance(parts, list):
        return "\n\n".join(_text(p.get("text")) for p in parts if isinstance(p, dict))
    found = (_text(block.get(name)) for name in ("reasoning", "thinking", "text"))
    return next(filter(None, found), "")


def _whereabouts(block: dict[str, Any]) -> str:
    """Tell what a picture or a file is and where; nothing is ever loaded from there."""
    source = block.get("source")
    told = {**source, **block} if isinstance(source, dict) else block
    nested = told.get("image_url")
    url = nested.get("url") if isinstance(nested, dict) else nested or told.get("url")
    data = told.get("base64") or told.get("data")
    if isinstance(url, str) and (found := _DATA.match(url)):
        return f"{found[1]}, {_base64_size(url.partition(',')[2])}"
    if isinstance(url, str) and url:
        return f"at {url}" if len(url) <= _URL else f"at {url[:_URL]}…"
    kind = _text(told.get("mime_type") or told.get("media_type")) or "of no known type"
    if isinstance(data, str) and data:
        return f"{kind}, {_base64_size(data)}"
    known = _text(told.get("file_id") or told.get("id") or told.get("filename"))
    return f"{kind}, {known[:_URL]}" if known else kind


def _base64_size(text: str) -> str:
    """Tell how many bytes there are, four characters for three of them."""
    return sized(len(text.rstrip("=")) * 3 // 4)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
