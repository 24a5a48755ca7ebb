"""Which messages an input and an output hold, in every shape that LangChain's wrapper takes."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
    message_chunk_to_message,
)

from langchain_redis_memory.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Shapes:
    """Where messages stand in the input and output of a runnable.

    Args:
        input_key: The new messages in a dict input.
        output_key: The reply in a dict output.
        history_key: The earlier messages in a dict input, apart from the new ones.
    """

    input_key: str | None = None
    output_key: str | None = None
    history_key: str | None = None

    def incoming(self, value: Any) -> list[BaseMessage]:
        """Give the new messages of an input."""
        if isinstance(value, Mapping):
            value = _pick(value, self.input_key, "input")
        elif self.input_key or self.history_key:
            raise ConfigurationError(
                f"with input_messages_key or history_messages_key the input must be a dict, "
                f"not {type(value).__name__}"
            )
        if isinstance(value, str):
            return [HumanMessage(value)]
        if isinstance(value, BaseMessage):
            return [value]
        if isinstance(value, list | tuple):
            # One list inside a list is how a batch of prompts to a chat model looks.
            if len(value) == 1 and isinstance(value[0], list):
                return list(value[0])
            return convert_to_messages(value)
        raise ConfigurationError(
            f"the input must be a string, a message or a list of messages, "
            f"not {type(value).__name__}; for a dict input pass input_messages_key"
        )

    def given(
        self, value: Any, history: list[BaseMessage], new: list[BaseMessage], *, resent: bool
    ) -> Any:
        """Make the runnable's input.

        Args:
            value: What the caller gave.
            history: The earlier messages.
            new: Those of the caller's messages that are not among the earlier ones.
            resent: Whether some of the caller's messages were left out of `new`.
        """
        if self.history_key:
            changed = {_key(value, self.input_key, "input"): new} if resent else {}
            return {**value, **changed, self.history_key: history}
        if self.input_key:
            return {**value, self.input_key: history + new}
        return history + new

    def outgoing(self, output: Any, given: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Give the messages of a reply, without those that the runnable was given.

        An agent's state holds the whole conversation, not only what is new.
        """
        if isinstance(output, Mapping):
            output = _pick(output, self.output_key, "output")
        if isinstance(output, str):
            return [AIMessage(output)]
        messages = [output] if isinstance(output, BaseMessage) else output
        if not isinstance(messages, list | tuple) or not all(
            isinstance(message, BaseMessage) for message in messages
        ):
            raise ConfigurationError(
                f"the output must be a string, a message or a list of messages, "
                f"not {type(output).__name__}; for a dict output pass output_messages_key"
            )
        known = {id(message) for message in given}
        ids = {message.id for message in given if message.id}
        return [
            message_chunk_to_message(message)
            for message in messages
            if id(message) not in known and message.id not in ids
        ]


def joined(pieces: Sequence[Any]) -> Any:
    """Join the pieces of a stream as LangChain does: by adding them up, or else the last one."""
    first, *others = pieces
    if others and isinstance(first, AIMessageChunk):
        others = [others]  # one sum of all is linear in their number, a sum of sums is not
    if isinstance(first, str) and all(isinstance(piece, str) for piece in others):
        return "".join(pieces)
    try:
        return reduce(operator.add, others, first)
    except TypeError:
        return pieces[-1]


def cut_short(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Make what was sent of a reply fit to be stored: marked, and without unanswered calls.

    The last of the agent's messages has ``response_metadata["interrupted"]``. A tool call without
    its result would make chat models refuse the conversation from then on.
    """
    kept = list(messages)
    answered = {message.tool_call_id for message in kept if isinstance(message, ToolMessage)}
    for position, message in enumerate(kept):
        if isinstance(message, AIMessage) and not _is_answered(message, answered):
            text = _only_text(message)
            return [*kept[:position], *([_marked(text)] if text.content else [])]
    if kept and isinstance(kept[-1], AIMessage):
        kept[-1] = _marked(kept[-1])
    return kept


def _is_answered(message: AIMessage, answered: set[str]) -> bool:
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    return all(call["id"] in answered for call in calls) and not _asks_in_content(message)


def _asks_in_content(message: AIMessage) -> bool:
    # A call that was cut off before it had a name is in the content blocks alone.
    return not message.tool_calls and any(
        isinstance(block, dict) and "tool" in str(block.get("type")) for block in message.content
    )


def _only_text(message: AIMessage) -> AIMessage:
    content = message.content
    if not isinstance(content, str):
        content = [
            block for block in content if isinstance(block, str) or block.get("type") == "text"
        ]
    return AIMessage(
        content,
        id=message.id,
        name=message.name,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
    )


def _marked(message: AIMessage) -> AIMessage:
    metadata = {**message.response_metadata, "interrupted": True}
    return message.model_copy(update={"response_metadata": metadata})


def _key(value: Mapping[str, Any], key: str | None, default: str) -> str:
    return key or (next(iter(value)) if len(value) == 1 else default)


def _pick(value: Mapping[str, Any], key: str | None, default: str) -> Any:
    name = _key(value, key, default)
    if name not in value:
        raise ConfigurationError(
            f"the {default} has no key {name!r}; it has {', '.join(map(repr, value)) or 'none'}. "
            f"Pass {default}_messages_key to with_history"
        )
    return value[name]
