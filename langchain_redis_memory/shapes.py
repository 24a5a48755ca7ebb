"""Which messages an input and an output hold, in every shape that LangChain's wrapper takes."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    HumanMessage,
    SystemMessage,
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
        profile_key: Where the runnable takes what is known of the user, in a dict input.

    Raises:
        ConfigurationError: There is no place for the profile.
    """

    input_key: str | None = None
    output_key: str | None = None
    history_key: str | None = None
    profile_key: str | None = None

    def __post_init__(self) -> None:
        key: object = self.profile_key
        if key is None:
            return
        if not isinstance(key, str) or not key or key in (self.input_key, self.history_key):
            raise ConfigurationError(
                f"profile_key must name a variable of its own, not be {key!r:.80}"
            )
        if not self.input_key and not self.history_key:
            raise ConfigurationError(
                "with profile_key the runnable takes a dict; pass input_messages_key or "
                "history_messages_key too"
            )

    def incoming(self, value: Any) -> list[BaseMessage]:
        """Give the new messages of an input: copies, which no runnable can change for the caller.

        LangGraph puts an id into each message that has none; the caller's next use of the same
        message would look like one that is sent again.
        """
        if isinstance(value, Mapping):
            if self.profile_key is not None and self.profile_key in value:
                raise ConfigurationError(
                    f"the input has a key {self.profile_key!r} already, where the user's profile "
                    "is to stand; leave it out, or pass another profile_key"
                )
            value = _pick(value, self.input_key, "input")
        elif self.input_key or self.history_key:
            raise ConfigurationError(
                f"with input_messages_key or history_messages_key the input must be a dict, "
                f"not {type(value).__name__}"
            )
        if isinstance(value, str):
            return [HumanMessage(value)]
        if isinstance(value, BaseMessage):
            return [_message(value, 0)]
        if isinstance(value, list | tuple):
            # One list inside a list is how a batch of prompts to a chat model looks.
            if len(value) == 1 and isinstance(value[0], list):
                value = value[0]
            return [_message(item, position) for position, item in enumerate(value)]
        raise ConfigurationError(
            f"the input must be a string, a message or a list of messages, "
            f"not {type(value).__name__}; for a dict input pass input_messages_key"
        )

    def given(
        self, value: Any, history: list[BaseMessage], new: list[BaseMessage], profile: str = ""
    ) -> Any:
        """Make the runnable's input.

        Args:
            value: What the caller gave.
            history: The earlier messages.
            new: Those of the caller's messages that are not among the earlier ones.
            profile: What is known of the user, as text.
        """
        if self.profile_key is not None:
            value = {**value, self.profile_key: profile}
        if self.history_key:
            key = _key(value, self.input_key, "input")
            asked = value.get(key)
            if isinstance(asked, BaseMessage) and new:
                asked = new[0]
            elif isinstance(asked, list | tuple):
                asked = [*new]
            # Lists of its own: a runnable that appends to them must not change ours.
            return {**value, **({key: asked} if key in value else {}), self.history_key: [*history]}
        if self.input_key:
            return {**value, self.input_key: history + new}
        return history + new

    def outgoing(self, output: Any, given: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Give the messages of a reply, without those that the runnable was given.

        An agent's state holds the whole conversation, not only what is new.
        """
        if isinstance(output, Mapping):
            # An agent's state has more than its messages.
            state = self.output_key or ("messages" if "messages" in output else None)
            output = _pick(output, state, "output")
        if isinstance(output, str):
            return [AIMessage(output)]
        if isinstance(output, BaseMessage):
            # Never one of those given, even with an id of theirs: a cache repeats the ids too.
            return [message_chunk_to_message(output)]
        if not are_messages(output):
            raise ConfigurationError(
                f"the output must be a string, a message or a list of messages, "
                f"not {type(output).__name__}; for a dict output pass output_messages_key"
            )
        if reply_at := _behind(given, output):
            new = list(output[reply_at:])
        else:
            known = {id(message) for message in given}
            ids = {message.id for message in given if message.id}
            new = [m for m in output if id(m) not in known and m.id not in ids]
        return [message_chunk_to_message(message) for message in new]


def joined(pieces: Sequence[Any]) -> Any:
    """Join the pieces of a stream as LangChain does: by adding them up, or else the last one.

    Messages that are no chunks stand for themselves.
    """
    if not pieces:
        return []
    if all(isinstance(piece, BaseMessage) for piece in pieces):
        messages: list[BaseMessage] = []
        for kind, group in groupby(pieces, type):
            alike = list(group)
            messages += _added(alike) if issubclass(kind, BaseMessageChunk) else alike
        return messages if len(messages) > 1 else messages[0]
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    try:
        return reduce(operator.add, pieces)
    except TypeError:
        return pieces[-1]


def _added(chunks: list[Any]) -> list[BaseMessage]:
    first, *others = chunks
    if others and isinstance(first, AIMessageChunk):
        others = [others]  # one sum of all is linear in their number, a sum of sums is not
    try:
        return [reduce(operator.add, others, first)]
    except TypeError:  # metadata that cannot be added
        return chunks


def _behind(given: Sequence[BaseMessage], state: Sequence[BaseMessage]) -> int:
    """Tell where an agent's state goes on behind all that it was given; 0 if it is none.

    A prompt may have put system messages among them, and copies have ids of their own.
    """
    found = 0
    for position, message in enumerate(state):
        if found == len(given):
            return position
        if _same(given[found], message):
            found += 1
        elif not isinstance(message, SystemMessage):
            return 0
    return len(state) if found == len(given) else 0


def _same(given: BaseMessage, message: BaseMessage) -> bool:
    if given is message:
        return True
    if given.id and message.id:
        return given.id == message.id
    return given.type == message.type and given.content == message.content


def are_messages(value: Any) -> bool:
    """Tell whether the value is a list of messages."""
    return isinstance(value, list | tuple) and all(isinstance(m, BaseMessage) for m in value)


def _message(value: Any, position: int) -> BaseMessage:
    if isinstance(value, BaseMessage):
        return message_chunk_to_message(value.model_copy())
    with suppress(ValueError, TypeError, KeyError, NotImplementedError):  # they quote the text
        return convert_to_messages([value])[0]
    kind = f"{type(value).__name__} with {_names(value)}" if isinstance(value, dict) else ""
    raise ConfigurationError(
        f"messages[{position}] of the input is no message: a {kind or type(value).__name__}"
    )


def _names(value: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, value)) or "no keys"


def _key(value: Mapping[str, Any], key: str | None, default: str) -> str:
    return key or (next(iter(value)) if len(value) == 1 else default)


def _pick(value: Mapping[str, Any], key: str | None, default: str) -> Any:
    name = _key(value, key, default)
    if name not in value:
        raise ConfigurationError(
            f"the {default} has no key {name!r}; it has {_names(value)}. "
            f"Pass {default}_messages_key to with_history"
        )
    return value[name]
