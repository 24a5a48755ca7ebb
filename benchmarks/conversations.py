"""The conversations that everything is measured with, in OpenAI's chat format.

Plain dicts: each peer makes messages of its own of them.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_ROOT = Path(__file__).parents[1]
RECORDED = _ROOT / "../shared/data/airline_conversations.jsonl"
SAMPLES = _ROOT / "langchain_redis_memory/samples.jsonl"


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
        self._turns = [record for record in said if record["role"] != "system"]
        self.asked = _typical([record for record in said if record["role"] == "user"])
        self.reply = _typical(
            [record for record in said if record["role"] == "assistant" and record.get("content")]
        )

    def history(self, size: int) -> list[Record]:
        """Give so many messages: the conversations after each other, begun again if need be."""
        return list(itertools.islice(itertools.cycle(self._turns), size))

    @property
    def turn(self) -> list[Record]:
        """A user's message and its answer, of the length that is usual in the file."""
        return [self.asked, self.reply]


def _typical(records: list[Record]) -> Record:
    by_length = sorted(records, key=lambda record: len(record["content"]))
    chosen = by_length[len(by_length) // 2]
    return {"role": chosen["role"], "content": chosen["content"]}
