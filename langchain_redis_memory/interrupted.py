"""What is stored of a reply whose reader left before its end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.shapes import are_messages, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_redis_memory.shapes import Shapes


def sent_part(
    pieces: Sequence[Any], shapes: Shapes, given: Sequence[BaseMessage]
) -> list[BaseMessage]:
    """Give what the pieces of an unfinished stream hold of a reply.

    Args:
        pieces: What was sent.
        shapes: Where messages stand in them.
        given: What the runnable was given, which is no part of its reply.
    """
    try:
        return shapes.outgoing(_joined(pieces, shapes.output_key), given)
    except ConfigurationError:
        return []  # the pieces that hold the reply were still to come


def _joined(pieces: Sequence[Any], output_key: str | None) -> Any:
    """Join the pieces to an output."""
    return graph_state(pieces, output_key) or joined(pieces)


def graph_state(pieces: Sequence[Any], output_key: str | None) -> dict[str, Any] | None:
    """Make of the pieces what a graph's state holds, as far as they tell; None if of no graph.

    LangGraph streams what each node adds to the state, ``{node: {key: messages}}``, or tokens
    with their metadata, or both with their mode before each; see
    https://docs.langchain.com/oss/python/langgraph/streaming.
    """
    key = output_key or "messages"
    plain = [piece for given in pieces for piece in _unwrapped(given)]
    updates = [message for piece in plain for message in _updates(piece, key)]
    if not updates and not any(isinstance(piece, tuple) for piece in pieces):
        return None
    states = [p[key] for p in plain if isinstance(p, Mapping) and are_messages(p.get(key))]
    messages = list(states[-1]) if states else _as_called(updates)
    finished = {message.id for message in messages}
    tokens = [p for p in plain if isinstance(p, BaseMessage) and p.id not in finished]
    return {key: messages + _by_message(tokens)}


def _unwrapped(piece: Any) -> Iterator[Any]:
    """Take a piece out of what LangGraph puts around it: subgraph, mode, metadata."""
    if not isinstance(piece, tuple):
        yield piece
    elif piece and isinstance(piece[0], tuple | str):
        yield from _unwrapped(piece[1] if len(piece) == 2 else piece[1:])  # noqa: PLR2004 - a pair
    elif piece and isinstance(piece[0], BaseMessage) and piece[0].type != "human":
        metadata = piece[1] if isinstance(piece[-1], Mapping) else {}
        # Models that tools call stream their tokens too, which are no part of the reply.
        if isinstance(piece[0], ToolMessage) or metadata.get("langgraph_node") != "tools":
            yield piece[0]


def _updates(piece: Any, key: str) -> Iterator[BaseMessage]:
    if isinstance(piece, Mapping) and key not in piece:
        for update in piece.values():
            if isinstance(update, Mapping) and are_messages(update.get(key)):
                yield from (m for m in update[key] if not isinstance(m, RemoveMessage))


def _as_called(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Put the results of calls that ran at once into the order of the calls, as a state has them.

    They are streamed in the order in which they came.
    """
    calls = (call["id"] for m in messages if isinstance(m, AIMessage) for call in m.tool_calls)
    place = {call: number for number, call in enumerate(calls)}
    ordered: list[BaseMessage] = []
    for are_results, group in groupby(messages, lambda m: isinstance(m, ToolMessage)):
        run = list(group)
        if are_results:
            run.sort(key=lambda m: place.get(getattr(m, "tool_call_id", None), len(place)))
        ordered += run
    return ordered


def _by_message(pieces: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Join the pieces of each message, which may come in turns with those of others."""
    parts: dict[Any, list[BaseMessage]] = {}
    for piece in pieces:
        parts.setdefault(piece.id or id(piece), []).append(piece)
    found: list[BaseMessage] = []
    for part in parts.values():
        whole = joined(part)
        found += whole if isinstance(whole, list) else [whole]
    return found


def cut_short(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Make what was sent of a reply fit to be stored: marked, and without unanswered calls.

    The last of the agent's messages has ``response_metadata["interrupted"]``. A tool call without
    its result would make chat models refuse the conversation from then on, and so would a message
    without content or one that ends in half a block.
    """
    kept = list(messages)
    answered = {message.tool_call_id for message in kept if isinstance(message, ToolMessage)}
    for position, message in enumerate(kept):
        if isinstance(message, AIMessage) and not is_answered(message, answered):
            kept[position:] = [_only_text(message)]
            break
    if kept and isinstance(kept[-1], AIMessage):
        last = _without_half_block(kept.pop())
        kept += [last] if last.content else []
    for position in reversed(range(len(kept))):
        if isinstance(kept[position], AIMessage):
            metadata = {**kept[position].response_metadata, "interrupted": True}
            kept[position] = kept[position].model_copy(update={"response_metadata": metadata})
            break
    return kept


def is_answered(message: AIMessage, answered: set[str]) -> bool:
    """Tell whether each of a message's calls has a result."""
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    return all(call["id"] in answered for call in calls)


# Blocks arrive in order, so only the last ones can lack their end: the name of a call, the
# signature of a thought.
_CAN_BE_HALF = re.compile("tool|call|thinking|reasoning|json")


def _without_half_block(message: BaseMessage) -> BaseMessage:
    content = message.content
    if isinstance(content, str):
        return message
    end = len(content)
    while (
        end
        and isinstance(block := content[end - 1], dict)
        and _CAN_BE_HALF.search(str(block.get("type")))
    ):
        end -= 1
    return message.model_copy(update={"content": content[:end]})


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
