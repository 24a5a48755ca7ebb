"""Every topology as a place where memories are made, and calls by either name of a method."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
import trustme
from redis.utils import str_if_bytes
from servers import REDIS_SERVER, Node, free_port, wait_until

from langchain_redis_memory import RedisMemory

USER, PASSWORD = "us:er@/?#", "p@ss:w/o?r#d%"
IN_URL = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
DOCS = Path(__file__).parents[1] / "docs"


class Place:
    """Where memories are made by URL, and the servers there as the test itself sees them."""

    apart = 1
    """How many connections may come and go besides: that by which a cluster names its slots."""

    def __init__(self, url, servers, sentinels=(), **options):
        self.url = url
        self.servers = [node.client for node in servers]
        self.sentinels = [node.client for node in sentinels]
        self.options = options
        self.flush()

    @asynccontextmanager
    async def memory(self, **options):
        """Give a memory, and close it and all that was opened for it."""
        async with RedisMemory.from_url(self.url, **self.options, **options) as memory:
            yield memory

    def flush(self):
        """Remove all data."""
        for server in self.servers:
            if server.info("replication")["role"] == "master":
                server.flushall()

    @cached_property
    def client(self):
        """The test's own way to the data, whichever server holds it."""
        first = self.servers[0].connection_pool.connection_kwargs
        if self.servers[0].info("cluster")["cluster_enabled"]:
            return redis.RedisCluster(host="127.0.0.1", port=first["port"])
        where = {"unix_socket_path": first["path"]} if "path" in first else {"port": first["port"]}
        return redis.Redis(**where, db=1 if self.url.endswith("/1") else 0)

    def connected(self):
        """Name the connections of clients, at whichever process."""
        return {
            (number, client["id"])
            for number, server in enumerate(self.servers + self.sentinels)
            for client in server.client_list(_type="normal")
            if not client["name"].startswith("sentinel-")
        }

    def received(self):
        """Count the connections that each process accepted so far."""
        return [
            int(server.info("stats")["total_connections_received"])
            for server in self.servers + self.sentinels
        ]


class Embedded(Place):
    """The embedded server of a directory."""

    apart = 200
    """Every caller that finds the server's state unknown looks whether it runs."""

    def __init__(self, directory):
        self.url = ""  # it has none
        self.directory = directory
        self.keeper = RedisMemory.embedded(directory)
        self.keeper.ping()
        path = self.keeper._connection.server._embedded.socket_path
        self.servers = [redis.Redis(unix_socket_path=path, decode_responses=True)]
        self.sentinels = []

    @asynccontextmanager
    async def memory(self, **options):
        async with RedisMemory.embedded(self.directory, **options) as memory:
            yield memory


class Given(Place):
    """Clients of the user's own, with nothing set but where to connect."""

    def __init__(self, open_clients, servers, sentinels=()):
        super().__init__("", servers, sentinels)
        self._open = open_clients

    @asynccontextmanager
    async def memory(self, **options):
        client, async_client = self._open()
        async with RedisMemory(client=client, async_client=async_client, **options) as memory:
            yield memory
        assert client.ping()
        assert await async_client.ping()
        for own in (client, *sentinels_of(client)):
            own.close()
        for own in (async_client, *sentinels_of(async_client)):
            await own.aclose()


def sentinels_of(client):
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return manager.sentinels if manager else []


@pytest.fixture(scope="session")
def tcp_server(tmp_path_factory):
    """One server on TCP."""
    node = Node(tmp_path_factory.mktemp("tcp") / "server")
    yield node
    node.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Files of an authority and of what it certifies: servers, clients, a server elsewhere."""
    assert REDIS_SERVER, "TLS needs redis-server: apt-get install redis-server"
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    names = {"server": ("localhost", "127.0.0.1"), "other": ("other.test",), "user": ("a@b.test",)}
    for name, identities in names.items():
        certificate = authority.issue_cert(*identities)
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return folder


class Secured(Node):
    """A server on a TLS port; the plain one is for the test itself."""

    def __init__(self, directory, *options, certificates, name="server", config=""):
        self.tls_port = free_port()
        super().__init__(
            directory,
            *("--tls-port", str(self.tls_port), "--tls-replication", "yes"),
            *("--tls-cert-file", f"{certificates}/{name}.pem"),
            *("--tls-key-file", f"{certificates}/{name}.key"),
            *("--tls-ca-cert-file", f"{certificates}/ca.pem", *options),
            config=config,
            binary=REDIS_SERVER,
        )


def trusting(certificates):
    return {
        "ssl_ca_certs": f"{certificates}/ca.pem",
        "ssl_certfile": f"{certificates}/user.pem",
        "ssl_keyfile": f"{certificates}/user.key",
    }


@pytest.fixture(scope="session")
def tls_place(certificates, tmp_path_factory):
    """A server that asks for client certificates."""
    node = Secured(tmp_path_factory.mktemp("tls") / "server", certificates=certificates)
    yield f"rediss://localhost:{node.tls_port}/0", [node], []
    node.stop()


@pytest.fixture(scope="session")
def tls_cluster_place(certificates, tmp_path_factory):
    """A cluster of two primaries, which asks for client certificates."""
    folder = tmp_path_factory.mktemp("tls-cluster")
    options = ("--cluster-enabled", "yes", "--tls-cluster", "yes", "--save", "")
    nodes = [
        Secured(folder / str(number), *options, certificates=certificates) for number in range(2)
    ]
    nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].tls_port)
    for node, slots in zip(nodes, ((0, 8191), (8192, 16383)), strict=True):
        node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
    for node in nodes:
        wait_until(
            lambda node=node: node.client.cluster("INFO")["cluster_state"] == "ok", "it is well"
        )
    yield f"rediss+cluster://127.0.0.1:{nodes[0].tls_port}", nodes, []
    for node in nodes:
        node.stop()


@pytest.fixture(scope="session")
def tls_sentinel_place(certificates, tmp_path_factory):
    """A primary and its sentinel, which ask for client certificates."""
    folder = tmp_path_factory.mktemp("tls-sentinel")
    primary = Secured(folder / "primary", certificates=certificates)
    sentinel = lone_sentinel(folder, primary.tls_port, certificates)
    yield f"rediss+sentinel://localhost:{sentinel.tls_port}/mymaster", [primary], [sentinel]
    sentinel.stop()
    primary.stop()


def lone_sentinel(folder, port, certificates=None):
    config = f"sentinel monitor mymaster 127.0.0.1 {port} 1\n"
    kind = partial(Secured, certificates=certificates) if certificates else Node
    sentinel = kind(folder / "sentinel", "--sentinel", config=config)

    def sees_primary():
        facts = sentinel.client.sentinel_master("mymaster")
        return facts["role-reported"] == "master" and not facts["is_disconnected"]

    wait_until(sees_primary, "the sentinel sees its primary")
    return sentinel


def cluster_of(servers):
    ports = [node.port for node in servers.nodes]
    nodes = [redis.cluster.ClusterNode("127.0.0.1", port) for port in ports]
    others = [redis.asyncio.cluster.ClusterNode("127.0.0.1", port) for port in ports]
    return redis.RedisCluster(startup_nodes=nodes), redis.asyncio.RedisCluster(startup_nodes=others)


def primary_for(servers):
    hosts = [("127.0.0.1", node.port) for node in servers.sentinels]
    kinds = (redis.sentinel.Sentinel, redis.asyncio.sentinel.Sentinel)
    return tuple(kind(hosts).master_for("mymaster") for kind in kinds)


def documented(user, number=0):
    """Read what the documentation tells to allow: for any server, and on top for a cluster."""
    page = (DOCS / "architecture.md").read_text()
    rule = re.findall(rf"ACL SETUSER {user} ([^`]*)```", page)[number]
    return [word for word in rule.split() if word not in ("on", ">password")]


def permit(nodes, *rules):
    for node in nodes:
        node.client.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules)
        node.client.execute_command("ACL", "LOG", "RESET")


def with_user(url):
    return url.replace("://", f"://{IN_URL}", 1)


class Places:
    """Makes each place from the servers that it needs."""

    def __init__(self, request):
        self.value = request.getfixturevalue

    def standalone(self):
        node = self.value("tcp_server")
        return Place(f"redis://127.0.0.1:{node.port}/0", [node])

    def socket(self):
        server = self.value("shared_server")
        place = Place(server.url, [])
        place.servers = [redis.Redis(unix_socket_path=server.socket, decode_responses=True)]
        place.flush()
        return place

    def embedded(self):
        return Embedded(self.value("tmp_path") / "memory")

    def sentinel(self):
        servers = self.value("sentinel_servers")
        return Place(servers.url, servers.servers, servers.sentinels)

    def cluster(self):
        servers = self.value("cluster_servers")
        return Place(servers.url, servers.nodes)

    def tls(self):
        return self._secured("tls_place")

    def tls_sentinel(self):
        return self._secured("tls_sentinel_place")

    def tls_cluster(self):
        return self._secured("tls_cluster_place")

    def _secured(self, name):
        url, servers, sentinels = self.value(name)
        return Place(url, servers, sentinels, **trusting(self.value("certificates")))

    def permitted(self):
        node = self.value("tcp_server")
        permit([node], *documented("memory"), "~mine:*")
        # Another database than 0, so that it is selected.
        return Place(f"redis://{IN_URL}127.0.0.1:{node.port}/1", [node])

    def permitted_sentinel(self):
        servers = self.value("sentinel_servers")
        permit(servers.servers, *documented("memory"), "~mine:*")
        permit(servers.sentinels, *documented("finder"))
        url = f"{with_user(servers.url)}?sentinel_username={{}}&sentinel_password={{}}"
        url = url.format(quote(USER, safe=""), quote(PASSWORD, safe=""))
        return Place(url, servers.servers, servers.sentinels)

    def permitted_cluster(self):
        servers = self.value("cluster_servers")
        permit(servers.nodes, *documented("memory"), *documented("memory", 1), "~mine:*")
        return Place(with_user(servers.url), servers.nodes)

    def given(self):
        node = self.value("tcp_server")
        return Given(
            lambda: (redis.Redis(port=node.port), redis.asyncio.Redis(port=node.port)), [node]
        )

    def given_resp3(self):
        node = self.value("tcp_server")
        options = {"port": node.port, "protocol": 3, "decode_responses": True}
        return Given(lambda: (redis.Redis(**options), redis.asyncio.Redis(**options)), [node])

    def given_sentinel(self):
        servers = self.value("sentinel_servers")
        return Given(lambda: primary_for(servers), servers.servers, servers.sentinels)

    def given_cluster(self):
        servers = self.value("cluster_servers")
        return Given(lambda: cluster_of(servers), servers.nodes)


GIVEN = ["given", "given_sentinel", "given_cluster"]
TLS = [
    pytest.param(name, marks=pytest.mark.redis_server)
    for name in ("tls", "tls_sentinel", "tls_cluster")
]
PERMITTED = ["permitted", "permitted_sentinel", "permitted_cluster"]
PLAIN = ["standalone", "socket", "embedded", "sentinel", "cluster"]
FEW = pytest.mark.parametrize(
    "place", ["socket", "given_resp3", "cluster", "permitted", "permitted_cluster"], indirect=True
)
OURS = [*PLAIN, *TLS, *PERMITTED]


@pytest.fixture
def places(request):
    """All places, each made when it is asked for."""
    return Places(request)


@pytest.fixture(params=[*OURS, *GIVEN])
def place(request, places):
    """A topology, and the way to it, with no data."""
    place = getattr(places, request.param)()
    yield place
    if "client" in vars(place):
        place.client.close()
    if "permitted" in request.param:
        nodes = place.servers + place.sentinels
        assert [entry for node in nodes for entry in node.execute_command("ACL", "LOG")] == []
    if isinstance(place, Embedded) or request.param == "socket":
        place.servers[0].close()
    if isinstance(place, Embedded):
        place.keeper.close()


def refused_at(place):
    """Name what the servers of a place have refused, and have them forget it."""
    refused = set()
    for server in place.servers:
        refused.update(str_if_bytes(entry["object"]) for entry in server.acl_log())
        server.acl_log_reset()
    return refused


class Sync:
    """Calls methods by their own names."""

    async def __call__(self, thing, name, *args, **kwargs):
        return getattr(thing, name)(*args, **kwargs)

    async def list(self, thing, name, *args, **kwargs):
        return list(getattr(thing, name)(*args, **kwargs))

    async def messages(self, history):
        return history.messages

    def cached(self, cache, body, **options):
        return cache.cached(body, name="body", **options)

    async def called(self, function, *args):
        return await asyncio.to_thread(function, *args)


class Async:
    """Calls their twins."""

    async def __call__(self, thing, name, *args, **kwargs):
        return await getattr(thing, f"a{name}")(*args, **kwargs)

    async def list(self, thing, name, *args, **kwargs):
        return [item async for item in getattr(thing, f"a{name}")(*args, **kwargs)]

    async def messages(self, history):
        return await history.aget_messages()

    def cached(self, cache, body, **options):
        @cache.cached(name="body", **options)
        async def function(*args):
            return await asyncio.to_thread(body, *args)

        return function

    async def called(self, function, *args):
        return await function(*args)


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def do(request):
    """Calls a method by its synchronous or its asynchronous name."""
    return request.param()
