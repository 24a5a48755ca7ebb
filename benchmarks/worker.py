"""The process that one peer is measured in: it does what it is asked, and answers with figures.

``python -m benchmarks.worker ours redis://localhost:6379/1 conversations.jsonl``

Each line of its input is an order in JSON; each gets one line of answer, which holds ``"error"`` if
it failed::

    {"do": "prepare", "job": "j1", "work": "read", "options": {"size": 20, "way": "sync"}}
    {"do": "run", "job": "j1", "seconds": 0.05}
    {"do": "once", "job": "j1"}
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
from benchmarks.peers import PEERS

if TYPE_CHECKING:
    from benchmarks.cases.job import Job
    from benchmarks.peers.peer import Peer

WORK = {
    "add": "storing:add",
    "read": "storing:read",
    "last": "storing:last",
    "exchange": "storing:exchange",
    "store": "storing:store",
    "turn": "turns:turn",
    "sessions": "crowds:Sessions",
    "threads": "crowds:Threads",
}


class Worker:
    """Keeps the jobs that were prepared."""

    def __init__(self, peer: str, url: str, path: Path) -> None:
        self._runner = asyncio.Runner()
        self._said = Conversations(path)
        self._peer: Peer = _load("peers", PEERS[peer])(url)
        self._jobs: dict[str, Job] = {}

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what an order says."""
        match order["do"]:
            case "versions":
                return {"python": platform.python_version(), **self._peer.versions()}
            case "prepare":
                self._prepare(order["job"], order["work"], order["options"])
            case "run":
                return self._jobs[order["job"]].run(order["seconds"])
            case "once":
                self._jobs[order["job"]].once()
            case "finish":
                self._jobs.clear()
                self._runner.run(self._peer.aclose())
                self._peer.filled.clear()
                self._peer.open()
                gc.collect()  # what this case leaves is not the next one's
        return {}

    def _prepare(self, job: str, work: str, options: dict[str, Any]) -> None:
        make = _load("cases", WORK[work])
        self._jobs[job] = make(self._peer, self._said, self._runner, job, **options)


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
