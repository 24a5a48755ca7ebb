"""The servers that faults befall, each with proxies on the way to it."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from pathlib import Path
from typing import Any, ClassVar

import trustme

from faults.proxy import Proxies
from langchain_redis_memory import RedisMemory

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from servers import (
    REDIS_SERVER,
    ClusterServers,
    Node,
    SentinelServers,
    free_port,
    wait_until,
)

TOPOLOGIES = ("standalone", "TLS", "Sentinel", "Cluster")

_CALM = 10_000
_ALERT = 500
"""Milliseconds of silence after which a server is taken for dead."""

DURABLE = (
    *("--appendonly", "yes", "--appendfsync", "always"),
    *("--auto-aof-rewrite-percentage", "0"),
)
"""Nothing that the server acknowledged is lost when its process is killed."""


class Stage:
    """Servers of one topology.

    Attributes:
        nodes: The processes that hold data.
        url: Where they are.
        proxied_url: The same by way of the proxies.
        options: What `RedisMemory.from_url` needs besides for `url`.
        proxied_options: The same for `proxied_url`.
    """

    nodes: list[Node]
    url: str
    proxied_url: str

    def __init__(self) -> None:
        self.proxies = Proxies()
        self.options: dict[str, Any] = {}
        self.proxied_options: dict[str, Any] = {}

    def memory(self, *, proxied: bool = False, **options: Any) -> RedisMemory:
        """Make a memory on these servers."""
        url, own = (self.proxied_url, self.proxied_options) if proxied else (self.url, self.options)
        return RedisMemory.from_url(url, **{**own, **options})

    def heal(self) -> None:
        """Wait until all is well again after a fault."""
        self.proxies.suffer(None)
        self.proxies.settle()

    def alert(self, replica: Node) -> None:
        """Let a replica take the place of its primary as soon as that is silent."""

    def calm(self) -> None:
        """Let none do so any more: on a busy machine a server may be silent for a moment."""

    def refusals(self, code: str) -> int:
        """Count the errors with this code that the servers gave so far."""
        said = [node.client.info("errorstats").get(f"errorstat_{code}") for node in self.nodes]
        return sum(errors["count"] for errors in said if errors)

    def stop(self) -> None:
        """End all processes."""
        self.proxies.stop()
        for node in self.nodes:
            node.stop()


class StandaloneStage(Stage):
    """One server."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        node = Node(directory, *DURABLE, "--save", "")
        self.nodes = [node]
        self.url = f"redis://127.0.0.1:{node.port}/0"
        self.proxied_url = f"redis://127.0.0.1:{self.proxies.to(node.port)}/0"


class TLSStage(Stage):
    """One server that speaks TLS; its plain port is for the suite itself."""

    def __init__(self, directory: Path, *, expired: bool = False) -> None:
        assert REDIS_SERVER, "TLS needs redis-server: apt-get install redis-server"
        super().__init__()
        directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        node = Node(
            directory,
            *(*DURABLE, "--save", "", "--tls-port", str(port), "--tls-auth-clients", "no"),
            *_certificate(directory, expired=expired),
            binary=REDIS_SERVER,
        )
        self.nodes = [node]
        self.url = f"rediss://127.0.0.1:{port}/0"
        self.proxied_url = f"rediss://127.0.0.1:{self.proxies.to(port)}/0"
        self.options = self.proxied_options = {"ssl_ca_certs": str(directory / "ca.pem")}


class ClusterStage(Stage):
    """Three primaries with a replica each."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        calm = ("--cluster-node-timeout", str(_CALM), "--cluster-replica-no-failover", "yes")
        self.servers = ClusterServers(directory, *DURABLE, *calm)
        self.nodes = self.servers.nodes
        self.url = self.servers.url
        ports = {node.port: self.proxies.to(node.port) for node in self.nodes}
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports.values())
        self.proxied_url = f"redis+cluster://{hosts}"
        self.proxied_options = {
            "address_remap": lambda address: (address[0], ports.get(address[1], address[1]))
        }

    def heal(self) -> None:
        """See `Stage.heal`."""
        super().heal()
        self.servers.bear_silence(_ALERT)  # so that they talk more often
        self.servers.wait_until_well()
        self.calm()

    def alert(self, replica: Node) -> None:
        """See `Stage.alert`."""
        self.servers.bear_silence(_ALERT)
        replica.client.config_set("cluster-replica-no-failover", "no")

    def calm(self) -> None:
        """See `Stage.calm`."""
        self.servers.bear_silence(_CALM)
        for node in self.nodes:
            if node.process.poll() is None:
                node.client.config_set("cluster-replica-no-failover", "yes")


class SentinelStage(Stage):
    """A primary, a replica and three sentinels."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.servers = SentinelServers(directory, *DURABLE)
        self.nodes = self.servers.servers
        self.url = self.servers.url
        ports = {node.port: self.proxies.to(node.port) for node in self.nodes}
        hosts = ",".join(
            f"127.0.0.1:{self.proxies.to(node.port, ports)}" for node in self.servers.sentinels
        )
        self.proxied_url = f"redis+sentinel://{hosts}/mymaster/0"
        self.calm()

    def heal(self) -> None:
        """See `Stage.heal`."""
        super().heal()
        wait_until(self._is_well, "the sentinels' primary has its replica")

    def _is_well(self) -> bool:
        primary = self.servers.primary()
        (replica,) = (node for node in self.nodes if node is not primary)
        link = replica.client.info("replication")
        return (
            primary.client.info("replication")["role"] == "master"
            and link.get("master_port") == primary.port
            and link["master_link_status"] == "up"
            and self.servers._sees_all(self.servers.sentinels[0])
        )

    def alert(self, replica: Node) -> None:
        """See `Stage.alert`."""
        del replica  # there is one only
        self._bear_silence(_ALERT)

    def calm(self) -> None:
        """See `Stage.calm`."""
        self._bear_silence(_CALM)

    def _bear_silence(self, milliseconds: int) -> None:
        for node in self.servers.sentinels:
            node.client.execute_command(
                "SENTINEL", "SET", "mymaster", "down-after-milliseconds", milliseconds
            )

    def stop(self) -> None:
        """End all processes."""
        super().stop()
        for node in self.servers.sentinels:
            node.stop()


class Stages(contextlib.AbstractContextManager["Stages"]):
    """One stage of each topology, started when it is first asked for."""

    _KINDS: ClassVar[dict[str, Any]] = {
        "standalone": StandaloneStage,
        "TLS": TLSStage,
        "Sentinel": SentinelStage,
        "Cluster": ClusterStage,
    }

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: dict[str, Stage] = {}

    def __getitem__(self, topology: str) -> Any:
        """Give the stage of a topology."""
        if topology not in self._started:
            self._started[topology] = self._KINDS[topology](self._directory / topology)
        return self._started[topology]

    def __exit__(self, *_: object) -> None:
        for stage in self._started.values():
            stage.stop()


def _certificate(directory: Path, *, expired: bool) -> list[str]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    ends = {"not_before": now - 2 * day, "not_after": now - day} if expired else {}
    certificate = authority.issue_cert("127.0.0.1", **ends)
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    return [
        *("--tls-cert-file", str(directory / "cert.pem")),
        *("--tls-key-file", str(directory / "key.pem")),
        *("--tls-ca-cert-file", str(directory / "ca.pem")),
    ]
