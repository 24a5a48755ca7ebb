"""The conversations that everything is measured with, in OpenAI's chat format.

Plain dicts: each peer makes messages of its own of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_ROOT = Path(__file__).parents[1]
RECORDED = _ROOT / "../shared/data/airline_conversations.jsonl"
SAMPLES = _ROOT / "langchain_redis_memory/samples.jsonl"

LAST = 20
"""How many of the newest messages are read, where not all are."""


def source() -> Path:
    """Give the file of recorded conversations, or that of the package where there is none."""
    return RECORDED if RECORDED.exists() else SAMPLES


class Conversations:
    """What is said in the conversations of a file.

    Args:
        path: A file with one conversation a line.
    """

    def __init__(self, path: Path) -> None:
        with path.open(encoding="utf-8") as lines:
            read = [json.loads(line)["messages"] for line in lines if not line.isspace()]
        self.whole: list[list[Record]] = read
        said = [record for conversation in read for record in conversation]
        self._turns = _ending_with_turns(
            [record for record in said if record["role"] != "system"], LAST
        )
        self.asked = _typical([record for record in said if record["role"] == "user"])
        self.reply = _typical(
            [record for record in said if record["role"] == "assistant" and record.get("content")]
        )

    def history(self, size: int) -> list[Record]:
        """Give so many messages; those of a longer history end with those of a shorter one."""
        times = -(-size // len(self._turns))
        return (self._turns * times)[-size:] if size else []

    @property
    def turn(self) -> list[Record]:
        """A user's message and its answer, of the length that is usual in the file."""
        return [self.asked, self.reply]


def _ending_with_turns(records: list[Record], count: int) -> list[Record]:
    # The newest messages are whole turns, so that a window gives as many as a read of them all.
    ends = range(len(records), count, -1)
    end = next(
        (
            end
            for end in ends
            if _begins_turn(records[end - count - 1 : end - count + 1])
            if records[end - 1]["role"] == "assistant" and records[end - 1].get("content")
        ),
        len(records),
    )
    return records[:end]


def _begins_turn(records: list[Record]) -> bool:
    before, first = (record["role"] for record in records)
    return first == "user" and before != "user"


def _typical(records: list[Record]) -> Record:
    by_length = sorted(records, key=lambda record: len(record["content"]))
    chosen = by_length[len(by_length) // 2]
    return {"role": chosen["role"], "content": chosen["content"]}
