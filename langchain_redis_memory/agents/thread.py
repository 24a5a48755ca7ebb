"""An agent's turn as data: which of the messages in its state are of it. No I/O.

A thread is the list of messages in an agent's state. It may hold earlier turns, which a
checkpointer kept or a client sent again, and other middleware may take messages out of it. So the
state also holds a `Record`, which says where the turn began and what was said in it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from uuid import NAMESPACE_OID, UUID, uuid5

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
)
from typing_extensions import TypedDict

from langchain_redis_memory.interrupted import is_answered
from langchain_redis_memory.summaries.message import is_summary
from langchain_redis_memory.turn import fresh, message_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from langchain_redis_memory.reading import Reading


class Record(TypedDict):
    """What the state holds of a turn, as a checkpointer keeps it."""

    user: str
    session: str
    token: str
    """The token of the turn's append; empty while there is no turn."""
    after: str | None
    """The id of the message that the turn stands behind; None if it is the first."""
    said: list[BaseMessage]
    """The turn so far; what stands behind it in the state is of the turn too."""
    profile: str
    """What is known of the user, as text."""
    outside: int
    """How many messages no summary covered as it began; see `Reading.outside`."""


class Joined(NamedTuple):
    """A thread as the agent is to see it, and what of it is new."""

    before: list[BaseMessage]
    sent: list[BaseMessage]
    """What the caller sent that is not stored yet."""
    new: list[BaseMessage]
    """What is to be stored so far: the same, behind what is left of a turn that failed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A thread as a run begins.

    Args:
        earlier: What stands in the thread from earlier turns; empty if nobody knows.
        failed: What is to be stored of a turn before, which did not end.
        sent: What the caller sent.
    """

    earlier: list[BaseMessage]
    failed: list[BaseMessage]
    sent: list[BaseMessage]

    @property
    def ids(self) -> list[str]:
        """The ids that may be those of stored messages, which a client could have sent again.

        Any message has an id in an agent's state; LangGraph makes one up where there was none.
        """
        if not self.failed and all(
            isinstance(message, HumanMessage | SystemMessage) and _is_made_up(message.id)
            for message in self.sent
        ):
            return []
        return message_ids([*self.failed, *self.sent])

    def join(self, reading: Reading, key: str) -> Joined:
        """Put what is stored in front of what is new.

        Args:
            reading: What is stored.
            key: The key of the conversation.
        """
        history = identified(reading.messages, key)
        stored = reading.ids.union(message.id for message in history if message.id)
        new = fresh([*self.failed, *self.sent], stored)
        # Others may have written since the thread's own last turn.
        missing = history[_behind(history, {message.id for message in self.earlier}) :]
        fresh_ids = {message.id for message in new}
        sent = [message for message in self.sent if message.id in fresh_ids]
        return Joined([*self.earlier, *missing], sent, new)


def asked(messages: list[BaseMessage], record: Record | None, *, keep_failed: bool) -> Asked:
    """Part a thread at the beginning of a run.

    Args:
        messages: The thread.
        record: What the state holds of the turn before.
        keep_failed: Whether a turn that did not end is stored, up to its last complete step.
    """
    if record is None:
        # A client that sends a thread again may send the summary that the thread began with.
        return Asked([], [], [message for message in messages if not is_summary(message)])
    if not record["token"]:
        start = _behind(messages, {record["after"]})
        return Asked(messages[:start], [], messages[start:])
    turn = said(record, messages)
    own = [i for i, message in enumerate(turn) if isinstance(message, AIMessage | ToolMessage)]
    start = max(len(record["said"]), own[-1] + 1 if own else 0)
    failed = complete(turn[:start]) if keep_failed else []
    return Asked(messages[: len(messages) - len(turn[start:])], failed, turn[start:])


def said(record: Record, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Give what was said in a turn so far.

    What other middleware took out of the thread, as a summary does, was said; what it changed,
    as when it hides an address, was said as changed.

    Args:
        record: What was noted of the turn.
        messages: The thread as it is now.
    """
    now = {message.id: message for message in messages}
    before = [now.get(message.id, message) for message in record["said"]]
    known = {message.id for message in before} | {record["after"]}
    start = _behind(messages, known)
    if not start and known != {None}:
        # All of it was taken out, and a summary put in its place: new is the agent's last step.
        steps = [i for i, message in enumerate(messages) if isinstance(message, AIMessage)]
        start = steps[-1] if steps else len(messages)
    return [*before, *map(message_chunk_to_message, messages[start:])]


def ended(record: Record, messages: list[BaseMessage]) -> list[BaseMessage]:
    """Give the whole turn.

    Calls that nobody answered and that were taken out of the thread again were never made.
    """
    turn = said(record, messages)
    here = {message.id for message in messages}
    results = _results(turn)
    unmade = {
        call["id"]
        for message in turn
        if isinstance(message, AIMessage)
        and message.id not in here
        and not is_answered(message, results)
        for call in message.tool_calls
    }
    return [message for message in turn if unmade.isdisjoint(_calls(message))]


def closed(record: Record, messages: list[BaseMessage]) -> Record:
    """Give what is known when a turn has ended: the next one stands behind it."""
    after = messages[-1].id if messages else None
    return {**record, "token": "", "after": after, "said": [], "profile": "", "outside": 0}


def complete(turn: list[BaseMessage]) -> list[BaseMessage]:
    """Give a turn up to its last complete step: without calls that lack a result."""
    results = _results(turn)
    for position, message in enumerate(turn):
        if isinstance(message, AIMessage) and not is_answered(message, results):
            return turn[:position]
    return turn


def identified(messages: list[BaseMessage], key: str) -> list[BaseMessage]:
    """Give an id to each message that has none, the same whenever it is read."""
    times: Counter[str] = Counter()
    for message in messages:
        if not message.id:
            name = f"{key} {message.type} {message.content!r}"
            times[name] += 1
            message.id = str(uuid5(NAMESPACE_OID, f"{times[name]} {name}"))
    return messages


def _behind(messages: Sequence[BaseMessage], ids: Collection[str | None]) -> int:
    """Tell where the messages go on behind the last that has one of the ids; 0 if none has."""
    found = (i + 1 for i, message in reversed(list(enumerate(messages))) if message.id in ids)
    return next(found, 0)


def _calls(message: BaseMessage) -> Iterable[str | None]:
    """Name the calls that a message makes or answers."""
    if isinstance(message, AIMessage):
        return [call["id"] for call in message.tool_calls]
    return [message.tool_call_id] if isinstance(message, ToolMessage) else []


def _results(messages: Iterable[BaseMessage]) -> set[str]:
    return {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}


def _is_made_up(message_id: str | None) -> bool:
    """Tell whether an id is one as LangGraph makes them."""
    try:
        return message_id is None or UUID(message_id).version == 4  # noqa: PLR2004 - a random one
    except ValueError:
        return False
