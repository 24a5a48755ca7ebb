"""Folding older turns into the summary, after a turn was stored.

It reads the conversation and the summary, asks the model, and writes the new summary if nobody else
has written one meanwhile and the session still holds the message that it ends before. So of two
that fold at once one is dropped, a summary covers more with every write, and one that was cleared
does not come back. Whatever fails is logged: the turn is stored, and its caller has the reply.
"""

from __future__ import annotations

import logging
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from langchain_core.messages import AIMessage, FunctionMessage, ToolMessage

from langchain_redis_memory.conversation import new_token
from langchain_redis_memory.errors import RedisMemoryError
from langchain_redis_memory.rendering import message_lines
from langchain_redis_memory.storage.steps import Call, afollow, follow
from langchain_redis_memory.summaries.policy import Request
from langchain_redis_memory.summaries.reading import look
from langchain_redis_memory.summaries.stored import Mark, Stored, write
from langchain_redis_memory.window import opens_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.storage.steps import Steps
    from langchain_redis_memory.summaries.policy import SummaryPolicy
    from langchain_redis_memory.summaries.reading import Found

# Characters. What a model is given at once, about 10,000 tokens: a long conversation that has no
# summary yet gets one over several turns. One message has a tenth of it.
_PORTION, _MESSAGE = 40_000, 4_000

_logger = logging.getLogger("langchain_redis_memory")


def fold(conversation: Conversation, policy: SummaryPolicy, outside: int) -> None:
    """Fold older turns into the summary if there are too many; nothing that fails is raised.

    Args:
        conversation: Which, after a turn was stored.
        policy: When, and by which model.
        outside: How many messages the summary does not cover: `Reading.outside`, and those that
            were stored since. Up to ``policy.after`` nothing is done, and nothing is sent.
    """
    if outside <= policy.after:
        return
    try:
        follow(conversation.connection, _folded(conversation, policy, outside, policy.ask))
    except Exception as error:  # noqa: BLE001 - a summary is not worth a turn
        _log(conversation, error)


async def afold(conversation: Conversation, policy: SummaryPolicy, outside: int) -> None:
    """See `fold`."""
    if outside <= policy.after:
        return
    try:
        await afollow(conversation.connection, _folded(conversation, policy, outside, policy.aask))
    except Exception as error:  # noqa: BLE001 - see above
        _log(conversation, error)


def _log(conversation: Conversation, error: Exception) -> None:
    # Without the traceback, whose causes may quote texts; only our own errors hold none.
    reason = str(error) if isinstance(error, RedisMemoryError) else type(error).__name__
    _logger.warning("%s was not summarised: %s", conversation.key, reason)


def _folded(
    conversation: Conversation,
    policy: SummaryPolicy,
    outside: int,
    ask: Callable[[Request], object],
) -> Steps[None]:
    # Others may have written since the turn was read; and one system message.
    found: Found = yield look(conversation, outside + policy.after)
    if found.end is None:
        found = yield look(conversation, None, again=True)
    messages = found.messages()[::-1]
    system = found.system()
    begin = int(system is not None and found.reaches_back)
    portion = choose(messages[begin:], policy)
    if portion is None:
        return
    earlier = found.stored
    text = yield Call(ask, Request(earlier.text if earlier else None, portion.lines))
    end = begin + portion.size
    stored = Stored(
        text,
        (earlier.messages if earlier else 0) + portion.size,
        new_token(),
        Mark.at(len(messages) - 1 - end, found.elements),
    )
    yield write(
        conversation.key,
        found.value,
        stored,
        remove=policy.remove_folded,
        first=found.oldest if system is not None and found.oldest else b"",
    )


class Portion(NamedTuple):
    """The messages to fold: so many of the oldest, and each of them as a line."""

    size: int
    lines: Sequence[str]


def choose(messages: Sequence[BaseMessage], policy: SummaryPolicy) -> Portion | None:
    """Choose which messages to fold: whole turns, no more than a model takes; None for none.

    Args:
        messages: Those that the summary does not cover, the oldest first.
        policy: How many to leave.
    """
    if len(messages) <= policy.after:
        return None
    ends = [end for end in turn_begins(messages) if len(messages) - end >= policy.keep]
    if not ends:
        return None
    lines = [_short(line, _MESSAGE) for line in message_lines(messages[: ends[-1]])]
    sizes = [0, *accumulate(map(len, lines))]
    if fitting := [end for end in ends if sizes[end] <= _PORTION]:
        return Portion(fitting[-1], lines[: fitting[-1]])
    count = ends[0]  # a turn that is too long by itself
    return Portion(count, [_short(line, max(_PORTION // count, 200)) for line in lines[:count]])


def _short(line: str, characters: int) -> str:
    return line if len(line) <= characters else f"{line[:characters]}…"


def turn_begins(messages: Sequence[BaseMessage]) -> list[int]:
    """Tell at which positions behind the first a turn begins, as `window` has it.

    Where no user speaks, any message but a result will do. No position parts a result from its
    call.
    """
    calls: dict[object, int] = {}
    parted: set[int] = set()
    spoken = -1  # where somebody else than the user spoke last
    for position, message in enumerate(messages):
        if isinstance(message, ToolMessage | FunctionMessage):
            # One whose call is not known belongs to what stands before the user's messages.
            call = calls.get(getattr(message, "tool_call_id", None), spoken)
            parted.update(range(call + 1, position + 1))
        if isinstance(message, AIMessage):
            known = (*message.tool_calls, *message.invalid_tool_calls)
            calls |= {call["id"]: position for call in known}
        if not opens_turn(message):
            spoken = position
    users = [opens_turn(message) for message in messages]
    begins = [
        position
        for position in range(1, len(messages))
        if not any(users) or (users[position] and not users[position - 1])
    ]
    return [position for position in begins if position not in parted]
