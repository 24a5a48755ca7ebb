"""The server that everything is measured on, and what it counts."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import redis

from benchmarks.cores import place

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from servers import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Count:
    """What reached the server from somebody else in a while."""

    commands: Counter[str] = field(default_factory=Counter)
    """As clients sent them; what a script calls is none."""
    trips: int = 0
    connections: int = 0


class CountedServer:
    """A server of its own, on TCP as clients are mostly used."""

    def __init__(self, directory: str) -> None:
        self.port = free_port()
        self._server = Server(directory, "--port", str(self.port))
        self.place("server")
        self.client = self._server.client
        self._monitor = redis.Redis(unix_socket_path=self._server.socket)

    def place(self, where: Literal["server", "anywhere"]) -> None:
        """Put it on its core, or on any."""
        place(self._server.process, where)

    def url(self, database: int) -> str:
        """Name one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def name(self) -> str:
        """Tell what it is."""
        info = self.client.info("server")
        kind = info.get("server_name", "redis")
        return f"{kind} {info.get(f'{kind}_version', info['redis_version'])}"

    def connections(self) -> int:
        """Tell how many connections it accepted so far."""
        return self._server.connections()

    @contextmanager
    def counting(self) -> Iterator[Count]:
        """Count what others send meanwhile."""
        count = Count()
        with self._monitor.monitor() as monitor:
            trips, connections = self._server.trips(), self._server.connections()
            yield count
            # Looking is two requests itself, of which two lie between one look and the next.
            count.trips = self._server.trips() - trips - 2
            count.connections = self._server.connections() - connections
            self.client.echo(_END)
            for seen in monitor.listen():
                if seen["command"] == f"ECHO {_END}":
                    break
                if seen["client_type"] == "tcp":
                    count.commands[seen["command"].split()[0].upper()] += 1

    def bytes_in(self, database: int) -> int:
        """Tell how much memory the keys of a database take."""
        with redis.Redis.from_url(self.url(database)) as client:
            return sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter())

    def empty(self) -> None:
        """Remove all data."""
        self.client.flushall()

    def stop(self) -> None:
        """End it."""
        self._monitor.close()
        self._server.stop()


_END = "the-count-ends-here"


@contextmanager
def server() -> Iterator[CountedServer]:
    """Start a server, and end it."""
    with tempfile.TemporaryDirectory(prefix="lrm-bench-") as directory:
        started = CountedServer(directory)
        try:
            yield started
        finally:
            started.stop()
