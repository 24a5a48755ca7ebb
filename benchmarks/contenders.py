"""Who is measured: each in a process of its own, so that none collects another's garbage."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from benchmarks.cores import place
from benchmarks.environments import REQUIREMENTS
from benchmarks.peers import PEERS
from benchmarks.plan import NAMES
from benchmarks.redis_benchmark import RedisBenchmark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.server import CountedServer

ROOT = Path(__file__).parents[1]
_PATIENCE = 60
"""Seconds until an answer must have come."""


class ContenderError(Exception):
    """A contender could not do what it was asked."""


class Contender(Protocol):
    """Somebody who can be measured."""

    def versions(self) -> dict[str, str]:
        """Tell what is installed."""

    def prepare(self, job: str, work: str, options: dict[str, Any]) -> None:
        """Get ready for what is measured."""

    def run(self, job: str, seconds: float) -> dict[str, float]:
        """Do it for about so long, and tell the figures."""

    def once(self, job: str) -> None:
        """Do it once."""

    def place(self, where: Literal["caller", "anywhere"]) -> None:
        """Put it on its core, or on any."""

    def finish(self) -> None:
        """Leave all that was prepared."""

    def stop(self) -> None:
        """End."""


class Process:
    """A peer in a worker process.

    Args:
        peer: Which peer.
        url: Its database.
        conversations: The file of what is said.
        python: The interpreter of the environment that the peer is installed in.
    """

    def __init__(
        self, peer: str, url: str, conversations: Path, python: str = sys.executable
    ) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", peer, url, str(conversations)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        self.place("caller")

    def place(self, where: Literal["caller", "anywhere"]) -> None:
        """Put it on its core, or on any."""
        place(self._process, where)

    def versions(self) -> dict[str, str]:
        """Tell what is installed."""
        return self._ask({"do": "versions"})

    def prepare(self, job: str, work: str, options: dict[str, Any]) -> None:
        """See `Contender`, as for the rest."""
        self._ask({"do": "prepare", "job": job, "work": work, "options": options})

    def run(self, job: str, seconds: float) -> dict[str, float]:
        """Do it for about so long."""
        return self._ask({"do": "run", "job": job, "seconds": seconds})

    def once(self, job: str) -> None:
        """Do it once."""
        self._ask({"do": "once", "job": job})

    def finish(self) -> None:
        """Leave all that was prepared."""
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
            raise ContenderError("its process has ended") from error
        # One line answers each order, so that nothing of it can be in the buffer already.
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            self.stop()
            raise ContenderError(f"it did not answer within {_PATIENCE} s")
        line = self._process.stdout.readline()
        if not line:
            raise ContenderError("its process has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer


def environment() -> dict[str, str]:
    """Give the environment of a process that measures: nothing is traced, or found elsewhere."""
    tracing = ("LANGSMITH_", "LANGCHAIN_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(tracing)}
    return {**kept, "PYTHONHASHSEED": "0"}


def database_of(peer: str) -> int:
    """Tell which database of the server is a peer's own."""
    return list(NAMES).index(peer) + 1


def start(
    server: CountedServer, conversations: Path, pythons: Mapping[str, str]
) -> tuple[dict[str, Contender], list[str]]:
    """Start all that can be.

    Args:
        server: What they use; each has a database of its own there.
        conversations: The file of what is said.
        pythons: The interpreters of peers that have an environment of their own.

    Returns:
        Those that run, and what is to be said of the others.
    """
    started: dict[str, Contender] = {}
    missing = []
    for peer in PEERS:
        if peer in pythons or peer not in REQUIREMENTS:
            python = pythons.get(peer, sys.executable)
            started[peer] = Process(peer, server.url(database_of(peer)), conversations, python)
    if binary := shutil.which("redis-benchmark"):
        started["redis_benchmark"] = RedisBenchmark(
            binary, server, database_of("redis_benchmark"), conversations
        )
    else:
        missing.append("redis-benchmark: not installed (Debian: redis-tools)")
    for peer, contender in list(started.items()):
        try:
            contender.versions()
        except ContenderError as failure:
            missing.append(f"{NAMES[peer]}: {failure}")
            del started[peer]
    return started, missing
