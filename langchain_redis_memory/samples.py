"""Recorded conversations, as the package ships a few of them and tests read many.

A file holds one conversation a line, in OpenAI's chat format::

    {"conversation": "late-parcel", "messages": [{"role": "user", "content": "Hi, ..."}, ...]}

The package's own are in ``samples.jsonl``: four, in three languages, with tool calls.
"""

from __future__ import annotations

import json
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.messages import HumanMessage, SystemMessage, convert_to_messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from langchain_core.messages import BaseMessage

_OWN = Path(__file__).with_name("samples.jsonl")


def load_conversations(path: str | PathLike[str] | None = None) -> dict[str, list[BaseMessage]]:
    """Read the conversations of a file.

    Args:
        path: The file; `None` reads those that the package ships.

    Returns:
        The messages of each conversation, by its name, in the order of the file.
    """
    # Not splitlines(): JSON may hold U+2028 and its like as they are, which would end a line there.
    with Path(path or _OWN).open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines if not line.isspace()]
    return {record["conversation"]: convert_to_messages(record["messages"]) for record in records}


def split_turns(
    messages: Sequence[BaseMessage],
) -> tuple[list[BaseMessage], list[list[BaseMessage]]]:
    """Part a conversation into its leading system messages and its turns.

    A turn starts at a message of the user that no other message of the user directly precedes.
    What stands between the system messages and the first such message is a turn of its own.

    Returns:
        The system messages and the turns; joined, they are the messages that went in.
    """
    system = list(takewhile(_is_system, messages))
    turns: list[list[BaseMessage]] = []
    for message in messages[len(system) :]:
        if not turns or (_is_user(message) and not _is_user(turns[-1][-1])):
            turns.append([])
        turns[-1].append(message)
    return system, turns


def split_turn(turn: Sequence[BaseMessage]) -> tuple[list[BaseMessage], list[BaseMessage]]:
    """Part a turn into what the user said and what the agent did then."""
    return list(takewhile(_is_user, turn)), list(dropwhile(_is_user, turn))


def _is_system(message: BaseMessage) -> bool:
    return isinstance(message, SystemMessage)


def _is_user(message: BaseMessage) -> bool:
    return isinstance(message, HumanMessage)
