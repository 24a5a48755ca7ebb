r"""Conversations and profiles as text for an agent's instructions.

Each message and each entry of a profile is one line, which begins with ``- ``. What is stored
cannot begin a line of its own, so that it cannot pass for a heading or for instructions: line
breaks of every kind, control characters and what is invisible or turns text around are written as
JSON writes them (``\n``, ``\u2028``), and a backslash as two.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.window import TokenCounter, check_count, opens_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CONVERSATION = "Previous conversation:"
PREFERENCES = "User preferences:"

_SHORT = 500  # characters of a tool's arguments or result

# Not U+200C and U+200D, which join letters and emoji.
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)

# Blocks that repeat the message's tool calls, or are no part of what was said.
_UNSAID = re.compile("tool_use|tool_call|function_call|.*thinking|reasoning")


@dataclass(frozen=True, slots=True)
class TextLimit:
    """How long a text may be.

    Args:
        characters: At most so many characters; None for any number.
        tokens: At most so many tokens, as `counter` counts them; None for any number.
        counter: Counts the tokens of messages, as for a `Window`. It is given the text as one
            system message.

    Raises:
        ConfigurationError: A limit is no positive whole number, or one in tokens has no counter.
    """

    characters: int | None = None
    tokens: int | None = None
    counter: TokenCounter | None = None

    def __post_init__(self) -> None:
        check_count("max_characters", self.characters)
        check_count("max_tokens", self.tokens)
        if not callable(self.counter) and not (self.counter is None and self.tokens is None):
            raise ConfigurationError(
                "max_tokens needs counter=..., such as "
                "langchain_core.messages.utils.count_tokens_approximately"
            )

    def holds(self, text: str, times: int = 1) -> bool:
        """Tell whether the text fits so many times."""
        if not text:
            return True
        if self.characters is not None and len(text) * times > self.characters:
            return False
        if self.tokens is None or self.counter is None:
            return True
        return self.counter([SystemMessage(text)]) * times <= self.tokens


def render(
    messages: Sequence[BaseMessage], profile: Mapping[str, Any], limit: TextLimit | None = None
) -> str:
    """Write a conversation and a profile as text, each under its heading; empty ones not at all.

    When it would be too long, the oldest messages and the last entries of the profile are left
    out, whole ones. The profile has half of the room if it needs it, and what the conversation
    leaves.

    Args:
        messages: What was said, oldest first.
        profile: What is known of the user.
        limit: How long the whole text may be.
    """
    limit = limit or TextLimit()
    said, known = message_lines(messages), profile_lines(profile)

    def text(newest: int, first: int) -> str:
        sections = ((CONVERSATION, said[len(said) - newest :]), (PREFERENCES, known[:first]))
        return "\n\n".join("\n".join([head, *lines]) for head, lines in sections if lines)

    share = 2 if said else 1
    first = _most(0, len(known), lambda count: limit.holds(text(0, count), share))
    newest = _most(0, len(said), lambda count: limit.holds(text(count, first)))
    first = _most(first, len(known), lambda count: limit.holds(text(newest, count)))
    return text(newest, first)


def _most(fitting: int, wanted: int, fits: Callable[[int], bool]) -> int:
    """Find how many fit, of so many as are known to, up to so many as are wanted."""
    if fitting == wanted or fits(wanted):
        return wanted
    while wanted - fitting > 1:
        middle = (fitting + wanted) // 2
        fitting, wanted = (middle, wanted) if fits(middle) else (fitting, middle)
    return fitting


def profile_lines(profile: Mapping[str, Any]) -> list[str]:
    """Write each entry of a profile as a line; text as it is, other values as JSON."""
    return [
        _one_line(f"{_exact(name)}: {_exact(value) if isinstance(value, str) else _json(value)}")
        for name, value in profile.items()
    ]


def message_lines(messages: Sequence[BaseMessage]) -> list[str]:
    """Write each message as a line."""
    tools: dict[str | None, str] = {}
    lines = []
    for message in messages:
        if isinstance(message, AIMessage):
            tools |= {call["id"]: call["name"] for call in message.tool_calls}
        lines.append(_one_line(_told(message, tools)))
    return lines


def _told(message: BaseMessage, tools: Mapping[str | None, str]) -> str:
    said = _said(message.content)
    match message:
        case AIMessage(tool_calls=[], invalid_tool_calls=[]):
            who = "Assistant"
        case AIMessage():
            calls = map(_call, (*message.tool_calls, *message.invalid_tool_calls))
            who = f"Assistant called {', '.join(calls)}"
            if not said:
                return who
        case ToolMessage() | FunctionMessage():
            name = message.name or tools.get(getattr(message, "tool_call_id", None), "")
            who = f"Tool {_exact(name)}".rstrip()
            if getattr(message, "status", None) == "error":
                who += " failed"
            said = _short(said)
        case SystemMessage():
            who = "System"
        case _ if opens_turn(message):
            who = "User"
        case _:
            who = _exact(message.role if isinstance(message, ChatMessage) else message.type)
    return f"{who}: {_exact(said)}"


def _call(call: Mapping[str, Any]) -> str:
    arguments = call["args"] or ""  # of an invalid call, the text that could not be parsed
    given = _exact(arguments) if isinstance(arguments, str) else _json(arguments)
    return f"{_exact(call['name'] or '')}({_short(given)})"


def _said(content: str | list[str | dict[str, Any]]) -> str:
    """Give the text of a message; what else there is, by its kind: ``[image]``."""
    return content if isinstance(content, str) else "".join(map(_block, content)).strip()


def _block(block: str | dict[str, Any]) -> str:
    if isinstance(block, str):
        return block
    kind = re.sub("^(in|out)put_|_url$", "", str(block.get("type")))
    if kind == "text":
        return str(block.get("text") or "")
    return "" if _UNSAID.fullmatch(kind) else f" [{kind}] "


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _exact(text: str) -> str:
    """Double the backslashes of a text, so that those of `_one_line` are told from them."""
    return text.replace("\\", "\\\\")


def _one_line(text: str) -> str:
    return "- " + _UNSEEN.sub(lambda character: json.dumps(character[0])[1:-1], text)
