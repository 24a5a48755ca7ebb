"""Who is measured: each in a process of its own, so that none collects another's garbage."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from benchmarks.server import CountedServer

ROOT = Path(__file__).parents[1]
_PATIENCE = 60
"""Seconds until an answer must have come."""


class Failure(Exception):
    """A contender could not do what it was asked."""


class Contender(Protocol):
    """Somebody who can be measured."""

    name: str

    def prepare(self, case: str, options: dict[str, Any]) -> None:
        """Get ready for a case."""

    def run(self, seconds: float) -> dict[str, float]:
        """Run it for about so long."""

    def finish(self) -> None:
        """Leave it."""


class Process:
    """A peer in a worker process.

    Args:
        name: What the tables call it.
        peer: Which peer.
        url: Its database.
        conversations: The file of what is said.
        python: The interpreter of the environment that the peer is installed in.
    """

    def __init__(
        self, name: str, peer: str, url: str, conversations: Path, python: str = sys.executable
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", peer, url, str(conversations)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=_environment(),
        )

    def versions(self) -> dict[str, str]:
        """Tell what is installed."""
        return self._ask({"do": "versions"})

    def prepare(self, case: str, options: dict[str, Any]) -> None:
        """Get ready for a case."""
        self._ask({"do": "prepare", "case": case, "options": options})

    def run(self, seconds: float) -> dict[str, float]:
        """Run it for about so long."""
        return self._ask({"do": "run", "seconds": seconds})

    def once(self) -> None:
        """Make one call alone."""
        self._ask({"do": "once"})

    def finish(self) -> None:
        """Leave the case."""
        self._ask({"do": "finish"})

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(order), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise Failure("its process has ended") from error
        # One line answers each order, so that nothing of it can be in the buffer already.
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            self.stop()
            raise Failure(f"it did not answer within {_PATIENCE} s")
        line = self._process.stdout.readline()
        if not line:
            raise Failure("its process has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer


def _environment() -> dict[str, str]:
    # Nobody's runs are traced, and nobody's modules come from elsewhere.
    tracing = ("LANGSMITH_", "LANGCHAIN_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(tracing)}
    return {**kept, "PYTHONHASHSEED": "0"}


def all_of(server: CountedServer, conversations: Path) -> dict[str, Process]:
    """Start those whose packages are ours too."""
    peers = {
        "ours": "this package",
        "in_memory": "LangChain's in-memory wrapper",
        "reused": "langchain-community, object reused",
        "documented": "langchain-community, as documented",
        "bare": "redis-py pipeline",
    }
    return {
        peer: Process(name, peer, server.url(number), conversations)
        for number, (peer, name) in enumerate(peers.items(), 1)
    }
