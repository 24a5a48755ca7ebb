"""redis-benchmark, Debian's tool in C: what the server itself takes, with one client."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any, Literal

import redis

from benchmarks.conversations import Conversations
from benchmarks.cores import place
from benchmarks.peers.bare import Bare

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.server import CountedServer

_EXPECTED = 40e-6
"""Seconds that a call takes about."""
_PATIENCE = 60
"""Seconds until the tool must be done."""


class RedisBenchmark:
    """Sends the same elements as the bare pipeline, without the expiry.

    Args:
        binary: The tool.
        server: Where to.
        database: Its own.
        conversations: The file of what is said.
    """

    def __init__(
        self, binary: str, server: CountedServer, database: int, conversations: Path
    ) -> None:
        self._tool = [binary, "-p", str(server.port), "--dbnum", str(database), "-c", "1", "--csv"]
        self._bare = Bare(server.url(database))
        self._client = redis.Redis.from_url(server.url(database))
        self._said = Conversations(conversations)
        self._commands: dict[str, tuple[str | bytes, ...]] = {}

    def versions(self) -> dict[str, str]:
        """Tell what is installed."""
        told = subprocess.run(
            [self._tool[0], "--version"], capture_output=True, text=True, check=True
        )
        return {"redis-benchmark": told.stdout.split()[1]}

    def prepare(self, job: str, work: str, options: dict[str, Any]) -> None:
        """See `Contender`, as for the rest."""
        if work == "add":
            self._commands[job] = ("LPUSH", job, *self._bare.messages(self._said.turn))
        else:
            self._bare.add(job, self._bare.messages(self._said.history(options["size"])))
            self._commands[job] = ("LRANGE", job, "0", str(options["count"] - 1))

    def run(self, job: str, seconds: float) -> dict[str, float]:
        """Send a command again and again."""
        command = self._commands[job]
        if command[0] == "LPUSH":
            self._client.delete(job)
        calls = max(100, int(seconds / _EXPECTED))
        # On the core of those who are measured, as they are.
        with subprocess.Popen(
            [*self._tool, "-n", str(calls), *command], stdout=subprocess.PIPE
        ) as process:
            place(process, "caller")
            told, _ = process.communicate(timeout=_PATIENCE)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, self._tool)
        # The command comes first, with quotation marks and commas of its own; the last seven
        # columns are figures, calls a second before the rest.
        row = told.decode(errors="replace").strip().splitlines()[-1]
        return {"seconds": 1 / float(row.rsplit(",", 7)[1].strip('"')), "calls": calls}

    def once(self, job: str) -> None:
        """Send it once, as the tool would."""
        self._client.execute_command(*self._commands[job])

    def place(self, where: Literal["caller", "anywhere"]) -> None:
        """It is on the core of one call after the other: it never makes many at once."""

    def finish(self) -> None:
        """Leave all that was prepared."""
        self._commands.clear()

    def stop(self) -> None:
        """Close what was opened."""
        self._client.close()
