"""Servers for the tests: real processes on free ports, stopped by their own ids."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest
import trustme
from command_line import run_command  # noqa: F401 - a fixture
from hypothesis import settings
from places import (  # noqa: F401 - fixtures
    certificates,
    do,
    place,
    places,
    tcp_server,
    tls_cluster_place,
    tls_place,
    tls_sentinel_place,
)
from servers import (
    BINARY,
    CHROMIUM,
    REDIS_SERVER,
    ClusterServers,
    SentinelServers,
    Server,
    free_port,
)

from faults.stages import Stages
from langchain_redis_memory import RedisMemory

SHARED_DATA = Path(__file__).parent / "../../shared" / "data" / "airline_conversations.jsonl"
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}

settings.register_profile("here", deadline=None)
settings.load_profile("here")

NEEDED = {"redis_server": ("redis-server", REDIS_SERVER), "chromium": ("chromium", CHROMIUM)}
"""What tests with a mark need of the machine, and where that is, if it is there."""

_left_out: list[str] = []


def pytest_collection_modifyitems(config, items):
    """Leave out, and say so, what this machine has no program for; in CI that is a failure."""
    if IN_CI:
        return
    for mark, (program, is_there) in NEEDED.items():
        needing = [] if is_there else [item for item in items if item.get_closest_marker(mark)]
        _left_out.extend(f"{item.nodeid}: no {program} on this machine" for item in needing)
        items[:] = [item for item in items if item not in needing]
        config.hook.pytest_deselected(items=needing)


def pytest_sessionfinish(session):
    """Hand what a worker of pytest-xdist left out to the process that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = _left_out


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Take it from there."""
    told = getattr(node, "workeroutput", {}).get("left_out", [])
    _left_out.extend(line for line in told if line not in _left_out)


def pytest_terminal_summary(terminalreporter):
    """Name every test that was left out."""
    if _left_out:
        terminalreporter.section("left out")
        for line in _left_out:
            terminalreporter.line(line)


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
async def memory_here(server):
    """A memory that is closed on the test's event loop."""
    async with RedisMemory.from_url(server.url) as memory:
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


@pytest.fixture(scope="session")
def cluster_servers(tmp_path_factory):
    """A cluster for all tests that leave it as it was."""
    servers = ClusterServers(tmp_path_factory.mktemp("cluster"))
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def sentinel_servers(tmp_path_factory):
    """A primary with its replica and sentinels, for all tests that leave them as they were."""
    servers = SentinelServers(tmp_path_factory.mktemp("sentinel"))
    yield servers
    servers.stop()


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


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Servers of each topology that faults befall, with proxies on the way to them."""
    with Stages(tmp_path_factory.mktemp("faults")) as stages:
        yield stages
    gc.collect()  # what was left open is told here, and not in another test
