"""A conversation as a card: its newest messages, each call of a tool with what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_memory.display.blocks import as_json, content_of, words
from langchain_redis_memory.display.cards import Card, Fold, Note, Part, Said, Words
from langchain_redis_memory.display.words import counted, cut, expiry, moment
from langchain_redis_memory.errors import CorruptedDataError, RedisMemoryError
from langchain_redis_memory.sessions.looking import Looked, look_at, when_stored
from langchain_redis_memory.storage.codec import MISSHAPEN, decode_message
from langchain_redis_memory.storage.keys import decode_id
from langchain_redis_memory.summaries.stored import Stored
from langchain_redis_memory.window import opens_turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from langchain_redis_memory.conversation import Conversation

NEWEST = 50
"""How many messages are shown."""

_IN_LINE = 60
"""How much of a call's arguments, and of its result, is seen while it is folded."""


def conversation_card(conversation: Conversation) -> Card:
    """Show a conversation, or why it cannot be read."""
    key = conversation.key
    name, facts = _whose(conversation)
    try:
        found = conversation.connection.glance(look_at(conversation, NEWEST))
    except RedisMemoryError as error:
        return Card("Conversation", name, (*facts, ("key", key)), (Note(str(error), "problem"),))
    known = (("", counted(found.length, "message")), ("", expiry(found.ttl)))
    facts = (*facts, *known[: 2 if found.length else 1], ("key", key))
    return Card("Conversation", name, facts, tuple(_body(found)))


def _whose(conversation: Conversation) -> tuple[str, tuple[tuple[str, str], ...]]:
    if conversation.entry is None:
        return "", ()
    agent, user, session = map(decode_id, conversation.key.rsplit(":", 3)[1:])
    return session, (("agent", agent), ("user", user))


def _body(found: Looked) -> Iterator[Part]:
    if not found.length:
        yield Note("Nothing is stored here.")
    if older := max(0, found.length - len(found.elements)):
        yield Note(f"{counted(older, 'older message')} not shown")
    summary = Stored.parse(found.summary)
    # One that does not end here may be that of a conversation that was cleared since.
    if summary is not None and summary.mark.position(found.elements) is not None:
        label = f"Summary of {counted(summary.messages, 'message')}"
        yield Fold(label, words(summary.text))
    yield from _said(_Draft.of(element, found.key, i) for i, element in enumerate(found.elements))


@dataclass(slots=True)
class _Draft:
    """A message on its way into the card; None if it cannot be read."""

    message: BaseMessage | None
    when: datetime | None = None
    damage: str = ""
    calls: list[tuple[dict[str, Any], list[ToolMessage]]] = field(default_factory=list)

    @classmethod
    def of(cls, element: bytes, key: str, position: int) -> _Draft:
        try:
            message = decode_message(element, key, position)
            draft = cls(message, calls=_calls_of(message))
            draft.try_out()
        except CorruptedDataError as error:
            return cls(None, damage=str(error))
        except MISSHAPEN as error:
            return cls(None, damage=str(CorruptedDataError(key, position, type(error).__name__)))
        draft.when = when_stored(element)
        return draft

    def try_out(self) -> None:
        """See that the message can be told: some fields are stored past the checks of its class."""
        assert self.message is not None  # noqa: S101 - it was read
        _who(self.message)
        tuple(_told(self.message, self))
        if isinstance(self.message, ToolMessage):
            _call({"name": "", "args": {}}, [self.message])
            hash(self.message.tool_call_id)


def _said(newest_first: Iterable[_Draft]) -> Iterator[Said]:
    before = None
    for draft in _with_results(newest_first):
        when = "" if draft.when is None else moment(draft.when, before)
        before = draft.when or before
        if draft.message is None:
            yield Said("other", "Damaged", when, (Note(draft.damage, "problem"),))
        else:
            role, who = _who(draft.message)
            yield Said(role, who, when, tuple(_told(draft.message, draft)))


def _with_results(newest_first: Iterable[_Draft]) -> list[_Draft]:
    """Put results to their calls, oldest first; those whose call is not there stay."""
    waiting: dict[str, list[ToolMessage]] = {}
    kept = []
    for draft in reversed(list(newest_first)):
        message = draft.message
        if isinstance(message, ToolMessage) and message.tool_call_id in waiting:
            waiting[message.tool_call_id].append(message)
            continue
        kept.append(draft)
        waiting |= {call["id"]: results for call, results in draft.calls if call["id"]}
    return kept


def _calls_of(message: BaseMessage) -> list[tuple[dict[str, Any], list[ToolMessage]]]:
    """Give the calls of a message, with room for their results."""
    if not isinstance(message, AIMessage):
        return []
    calls = (*message.tool_calls, *message.invalid_tool_calls)
    hash(tuple(call["id"] for call in calls))
    return [(dict(call), []) for call in calls]


def _who(message: BaseMessage) -> tuple[str, str]:
    match message:
        case AIMessage():
            role, who = "assistant", "Assistant"
        case ToolMessage() | FunctionMessage():
            return "tool", f"Tool {message.name or ''}".rstrip()
        case SystemMessage():
            role, who = "system", "System"
        case _ if opens_turn(message):
            role, who = "user", "User"
        case _:
            role = "other"
            who = str(message.role) if isinstance(message, ChatMessage) else message.type
    return role, f"{who} ({message.name})" if message.name else who


def _told(message: BaseMessage, draft: _Draft) -> Iterator[Words | Note | Fold]:
    if isinstance(message, ToolMessage):
        yield Note(f"The call {message.tool_call_id} is not among these messages.")
    yield from content_of(message)
    for call, results in draft.calls:
        yield _call(call, results)
    if message.response_metadata.get("interrupted"):
        yield Note("stopped before its end", "warning")


def _call(call: dict[str, Any], results: list[ToolMessage]) -> Fold:
    given = call["args"]  # of an invalid call, the text that could not be parsed
    text, line = (as_json(given), as_json(given, indent=None)) if given else ("", "")
    if isinstance(given, str):
        text = line = given
    label = f"{call['name'] or 'a tool'}({_short(line)})"
    body: list[Words | Note | Fold] = []
    if text:
        body += (Note("arguments"), *words(text, is_code=True))
    if call.get("error"):
        body.append(Note(str(call["error"]), "warning"))
    for result in results:
        body += (Note("result"), *content_of(result))
        if result.artifact is not None:
            body.append(Fold("Artifact", words(as_json(result.artifact), is_code=True)))
    if not results:
        return Fold(label, tuple(body), "no result", "warning")
    if any(result.status == "error" for result in results):
        return Fold(label, tuple(body), "failed", "problem")
    is_told = len(results) == 1 and _is_short(line) and _is_short(results[0].text)
    is_told = is_told and isinstance(results[0].content, str) and results[0].artifact is None
    return Fold(label, tuple(body), f"→ {_short(results[-1].text)}", is_told=is_told)


def _is_short(text: str) -> bool:
    return _short(text) == text


def _short(text: str) -> str:
    start, more = cut(" ".join(text.split()), _IN_LINE)
    return f"{start}…" if more else start
