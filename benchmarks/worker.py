"""The process that one peer is measured in: it does what it is asked, and answers with figures.

``python -m benchmarks.worker ours redis://localhost:6379/1 conversations.jsonl``

Each line of its input is an order in JSON; each gets one line of answer, which holds ``"error"`` if
it failed::

    {"do": "prepare", "case": "turn", "options": {"form": "dict", "size": 20, "way": "sync"}}
    {"do": "run", "seconds": 0.05}
    {"do": "once"}
    {"do": "finish"}
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.conversations import Conversations

if TYPE_CHECKING:
    from benchmarks.cases.job import Job
    from benchmarks.peers.peer import Peer

PEERS = {
    "ours": "ours:Ours",
    "in_memory": "in_memory:InMemory",
    "reused": "community:Reused",
    "documented": "community:Documented",
    "llama_index": "llama_index:LlamaIndex",
    "openai_agents": "openai_agents:OpenAIAgents",
    "bare": "bare:Bare",
}
CASES = {
    "add": "storing:add",
    "read": "storing:read",
    "last": "storing:last",
    "store": "storing:store",
    "turn": "turns:turn",
    "sessions": "crowds:Sessions",
    "threads": "crowds:Threads",
}


class Worker:
    """Keeps the case that was prepared."""

    def __init__(self, peer: str, url: str, path: Path) -> None:
        self._runner = asyncio.Runner()
        self._said = Conversations(path)
        self._peer: Peer = _load("peers", PEERS[peer])(url)
        self._job: Job | None = None

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what an order says."""
        match order["do"]:
            case "versions":
                return {"python": platform.python_version(), **self._peer.versions()}
            case "prepare":
                self._peer.open()
                make = _load("cases", CASES[order["case"]])
                self._job = make(self._peer, self._said, self._runner, **order["options"])
                return {}
            case "run":
                # What the others left is not this case's; what it makes itself is.
                gc.collect()
                return dict(self._ready.run(order["seconds"]))
            case "once":
                self._ready.once()
                return {}
            case "finish":
                self._job = None
                self._runner.run(self._peer.aclose())
                return {}
        raise ValueError(order["do"])

    @property
    def _ready(self) -> Job:
        assert self._job is not None, "prepare comes first"
        return self._job


def _load(folder: str, name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(f"benchmarks.{folder}.{module}"), attribute)


def main() -> None:
    """Answer orders until there are no more."""
    peer, url, path = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    worker = Worker(peer, url, Path(path))
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - the table names it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
