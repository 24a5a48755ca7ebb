"""Which of the newest messages a read gives: whole turns, never a tool result without its call.

A turn begins at a user's message that no other user's message directly precedes, and goes on to
the next such message. Chat models refuse a conversation that begins inside one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

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
    SystemMessage,
    ToolMessage,
    ToolMessageChunk,
)

from langchain_redis_memory.errors import ConfigurationError

# Of text, a token is about 4 bytes; what a provider tells of a short answer, in JSON, makes up to
# 40 of it. The rest is for tokenizers that are unlike others.
_BYTES_PER_TOKEN = 64

TokenCounter = Callable[[list[BaseMessage]], int]


@dataclass(frozen=True, slots=True)
class Window:
    """The newest whole turns that fit into a number of messages or tokens.

    The newest turn is given even when it alone is larger: an agent that has forgotten what it was
    just told helps nobody.

    Args:
        messages: At most so many messages.
        tokens: At most so many tokens, as `counter` counts them, turn by turn.
        counter: Counts the tokens of some messages:
            `langchain_core.messages.utils.count_tokens_approximately`, or a model's
            ``get_num_tokens_from_messages``.
        keep_system: Give a system message at the very start of the conversation too, ahead of
            the window and counted in it.

    Raises:
        ConfigurationError: There is no limit, one that is not a positive whole number, or one in
            tokens without a counter.
    """

    messages: int | None = None
    tokens: int | None = None
    counter: TokenCounter | None = None
    keep_system: bool = True

    def __post_init__(self) -> None:
        check_count("window", self.messages)
        check_count("the window's tokens", self.tokens)
        if self.messages is None and self.tokens is None:
            raise ConfigurationError("a Window needs a limit: messages=..., or tokens=...")
        if self.tokens is not None and not callable(self.counter):
            raise ConfigurationError(
                "a Window in tokens needs counter=..., such as "
                "langchain_core.messages.utils.count_tokens_approximately"
            )

    @property
    def reach(self) -> int:
        """How many messages to fetch at most; a message has at least one token."""
        if self.messages is None or self.tokens is None:
            return self.messages or self.tokens or 0
        return min(self.messages, self.tokens)

    @property
    def likely_bytes(self) -> int:
        """How many bytes to fetch at first; 0 for as many as `reach` messages have."""
        return 0 if self.tokens is None else _BYTES_PER_TOKEN * self.tokens


def check_count(name: str, value: object) -> None:
    """Refuse what is neither None nor a positive whole number."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f"{name} must be a whole number of at least 1, or None, not {value!r:.80}"
        )


def opens_turn(message: BaseMessage) -> bool:
    """Tell whether the message is one of the user's."""
    kind = type(message)
    return kind in _USERS or (kind in _CHATS and getattr(message, "role", "") in _USER_ROLES)


def select(
    newest_first: Iterable[BaseMessage],
    window: Window,
    first: BaseMessage | None = None,
    *,
    whole: bool = True,
) -> list[BaseMessage]:
    """Give the messages of the window, oldest first.

    Args:
        newest_first: The newest messages, from the newest on; only as many are taken as needed.
        window: What may be given.
        first: The very first message of the conversation, when it is known.
        whole: Whether `newest_first` goes back to that first message.
    """
    system = _in_front(window, first)
    room = _Room(window, system)
    turns: list[list[BaseMessage]] = []
    turn: list[BaseMessage] = []  # newest first, like `turns`
    is_opened = False
    for message in newest_first:
        kind = type(message)
        by_user = kind in _USERS or (kind in _CHATS and opens_turn(message))
        if is_opened and not by_user and _is_turn(turn):
            if not room.takes(turn) and turns:
                return _with_calls(system + _in_order(turns))
            turns.append(turn)
            turn = []
        turn.append(message)
        is_opened = by_user
    if whole and system:
        turn.pop()  # the first message itself, which stands in front in any case
    if whole and (room.takes(turn) or (not turns and _is_turn(turn))):
        return system + _in_order([*turns, turn])
    if not turns:
        turns.append(_tail(turn, _Room(window, system)))
    return _with_calls(system + _in_order(turns))


def from_chosen(
    newest_first: list[BaseMessage], window: Window, first: BaseMessage | None
) -> list[BaseMessage]:
    """Give what `select` does, of messages that Redis chose; see `scripts.READ_WINDOW`."""
    return _with_calls([*_in_front(window, first), *reversed(newest_first)])


def _in_front(window: Window, first: BaseMessage | None) -> list[BaseMessage]:
    return [first] if window.keep_system and isinstance(first, SystemMessage) else []


def _is_turn(newest_first: list[BaseMessage]) -> bool:
    """Tell whether the messages begin with the user's, and with nothing that answers a call."""
    if not newest_first or not opens_turn(newest_first[-1]):
        return False
    for message in reversed(newest_first):
        if not opens_turn(message):
            return type(message) not in _RESULTS
    return True


def _with_calls(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Leave out results whose call was cut away, which happens when turns run into each other."""
    previous: Any = None
    for message in messages:
        if type(message) in _TOOLS and not _answers(message, previous):
            break  # by what stands next to it, nothing can be told
        previous = message
    else:
        return messages
    callers: list[Any] = [message for message in messages if type(message) in _CALLERS]
    calls = {
        call["id"]
        for message in callers
        for call in (*message.tool_calls, *message.invalid_tool_calls)
    }
    return [m for m in messages if type(m) not in _TOOLS or getattr(m, "tool_call_id", "") in calls]


def _answers(result: Any, message: Any) -> bool:
    return type(message) in _CALLERS and result.tool_call_id in [
        call["id"] for call in message.tool_calls
    ]


# What is stored is of exactly these classes; to ask for their subclasses takes ten times as long.
_USERS = frozenset({HumanMessage, HumanMessageChunk})
_USER_ROLES = ("user", "human")  # no set: what is stored may be no text
_CHATS = frozenset({ChatMessage, ChatMessageChunk})
_CALLERS = frozenset({AIMessage, AIMessageChunk})
_TOOLS = frozenset({ToolMessage, ToolMessageChunk})
_RESULTS = _TOOLS | {FunctionMessage, FunctionMessageChunk}


class _Room:
    """What the window still holds; a turn that was taken is counted, whether it fitted or not."""

    def __init__(self, window: Window, system: list[BaseMessage]) -> None:
        self._window = window
        self._messages = window.messages
        self._tokens = window.tokens
        self.takes(system)

    def takes(self, newest_first: list[BaseMessage]) -> bool:
        """Count these messages and tell whether they fitted."""
        if self._messages is not None:
            self._messages -= len(newest_first)
        if self._tokens is not None and self._window.counter is not None and newest_first:
            self._tokens -= self._window.counter(newest_first[::-1])
        return (self._messages is None or self._messages >= 0) and (
            self._tokens is None or self._tokens >= 0
        )


def _in_order(turns: list[list[BaseMessage]]) -> list[BaseMessage]:
    return [message for turn in reversed(turns) for message in reversed(turn)]


def _tail(newest_first: list[BaseMessage], room: _Room) -> list[BaseMessage]:
    """Cut a conversation that no user has spoken in: at any message but a tool's result."""
    fitting = 0
    for position, message in enumerate(newest_first):
        if not room.takes([message]) and fitting:
            break
        if type(message) not in _RESULTS:
            fitting = position + 1
    return newest_first[:fitting]
