"""Settings on real servers: each way to say where one is, read from the environment."""

from __future__ import annotations

import asyncio
import os
import re

import pytest
from places import PASSWORD, USER, permit, trusting
from test_settings import clear, nothing_set  # noqa: F401 - a fixture

from langchain_redis_memory import (
    ConfigurationError,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
)

QUICK = RetryPolicy(attempts=2, initial=0.01, deadline=2)
ALL = ("~*", "+@all")
AS_USER = {"REDIS__USERNAME": USER, "REDIS__PASSWORD": PASSWORD}


@pytest.fixture
async def use():
    """Makes a memory of variables, and lets threads and the event loop use it."""

    async def use(**variables):
        clear()
        os.environ.update(variables)
        async with RedisMemory.from_settings(retry=QUICK) as memory:
            profile = memory.profile("alice")
            profile.set({"by": "a thread"})
            assert await profile.aget() == {"by": "a thread"}
            await profile.aset({"by": "a loop"})
            assert profile.get() == {"by": "a loop"}
            await memory.conversation("support", "alice", "s1").acount()
            profile.delete()

    return use


@pytest.fixture
def address(tcp_server):
    """Where a server is that has a user with an odd name and password, who may do all."""
    permit([tcp_server], *ALL)
    return {"REDIS__HOST": "127.0.0.1", "REDIS__PORT": str(tcp_server.port)}


async def test_a_user_and_a_password_of_any_characters(address, use):
    """As they are, apart from the URL or beside it."""
    await use(**address, **AS_USER)
    url = "redis://{REDIS__HOST}:{REDIS__PORT}/0".format(**address)
    await use(REDIS__URL=url, **AS_USER)
    with pytest.raises(StorageRejected, match="password"):
        await use(**address, REDIS__USERNAME=USER, REDIS__PASSWORD="another")


async def test_the_server_sees_what_was_set(address, use, tcp_server):
    """Database, user, name and protocol of the connections, at most so many of them."""
    os.environ |= {**address, **AS_USER, "REDIS__CLIENT_NAME": "chat-7", "REDIS__DB": "3"}
    os.environ |= {"REDIS__PROTOCOL": "3", "REDIS__MAX_CONNECTIONS": "1"}
    async with RedisMemory.from_settings() as memory:
        for _ in range(3):
            await asyncio.gather(*(memory.aping() for _ in range(5)))
            await asyncio.gather(*(asyncio.to_thread(memory.ping) for _ in range(5)))
        clients = tcp_server.client.client_list(_type="normal")
    ours = [client for client in clients if client["name"] == "chat-7"]
    assert len(ours) == 2  # of the threads, and of the loop
    assert {(client["db"], client["user"], client["resp"]) for client in ours} == {("3", USER, "3")}


async def test_a_socket(shared_server, use):
    """By its path."""
    await use(REDIS__SOCKET=shared_server.socket, REDIS__DB="1")


async def test_an_embedded_server(use, tmp_path):
    """In a directory, by default of the working directory."""
    await use(REDIS__EMBEDDED="./memory", REDIS__DB="2", REDIS__MAX_CONNECTIONS="2")
    assert (tmp_path / "memory" / "appendonlydir").is_dir()


async def test_sentinels(sentinel_servers, use):
    """Whose users are others than the server's, which they name."""
    permit(sentinel_servers.servers, *ALL)
    permit(sentinel_servers.sentinels, *ALL)
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in sentinel_servers.sentinels)
    found = {"REDIS__SENTINELS": hosts, "REDIS__SENTINEL_SERVICE": "mymaster"}
    finder = {"REDIS__SENTINEL_USERNAME": USER, "REDIS__SENTINEL_PASSWORD": PASSWORD}
    await use(**found, REDIS__DB="1")
    await use(**found, **AS_USER, **finder)
    with pytest.raises(StorageRejected, match="password"):
        await use(**found, **AS_USER, REDIS__SENTINEL_USERNAME=USER, REDIS__SENTINEL_PASSWORD="x")
    with pytest.raises(StorageUnavailable, match="No master found"):
        await use(REDIS__SENTINELS=hosts, REDIS__SENTINEL_SERVICE="another")


async def test_a_cluster(cluster_servers, use):
    """By several nodes, or by one host."""
    permit(cluster_servers.nodes, *ALL)
    nodes = ",".join(f"127.0.0.1:{node.port}" for node in cluster_servers.nodes)
    await use(REDIS__CLUSTER="true", REDIS__NODES=nodes, **AS_USER)
    port = str(cluster_servers.nodes[0].port)
    await use(REDIS__CLUSTER="true", REDIS__HOST="127.0.0.1", REDIS__PORT=port, REDIS__DB="0")
    await use(REDIS__URL=f"{cluster_servers.url}/0")


@pytest.fixture
def certified(certificates):
    """The variables of TLS with a client's certificate."""
    files = {name.upper(): file for name, file in trusting(certificates).items()}
    return {"REDIS__SSL": "true", **{f"REDIS__{name}": file for name, file in files.items()}}


@pytest.mark.redis_server
async def test_tls(tls_place, certified, use):
    """With certificates, which are checked unless that is switched off."""
    port = re.search(r":(\d+)/", tls_place[0])[1]
    place = {"REDIS__HOST": "localhost", "REDIS__PORT": port}
    await use(**place, **certified)
    own = {k: v for k, v in certified.items() if "CA_CERTS" not in k}
    with pytest.raises(StorageRejected, match="certificate"):
        await use(**place, **own)
    await use(**place, **own, REDIS__SSL_CERT_REQS="none")
    await use(REDIS__URL=tls_place[0], **certified)


@pytest.mark.redis_server
async def test_the_host_in_a_certificate_may_go_unchecked(tls_place, certified, use):
    """It names localhost and 127.0.0.1, and not the address that is another way there."""
    place = {"REDIS__HOST": "0.0.0.0", "REDIS__PORT": re.search(r":(\d+)/", tls_place[0])[1]}
    with pytest.raises(StorageRejected, match="certificate"):
        await use(**place, **certified)
    await use(**place, **certified, REDIS__SSL_CHECK_HOSTNAME="false")


@pytest.mark.redis_server
async def test_tls_of_sentinels_and_of_a_cluster(
    tls_sentinel_place, tls_cluster_place, certified, use
):
    """The certificates are for both the sentinels and the data servers."""
    hosts = re.search(r"://(.*)/mymaster", tls_sentinel_place[0])[1]
    await use(REDIS__SENTINELS=hosts, REDIS__SENTINEL_SERVICE="mymaster", **certified)
    nodes = tls_cluster_place[0].partition("://")[2]
    await use(REDIS__CLUSTER="true", REDIS__NODES=nodes, **certified)


async def test_time_to_live_is_what_the_variables_say(shared_server):
    """Of conversations in hours, of profiles in days; as the server counts it."""
    shared_server.client.flushall()
    os.environ |= {"MEMORY__THREAD_TTL_HOURS": "24", "MEMORY__USER_TTL_DAYS": "30"}
    os.environ |= {"REDIS__SOCKET": shared_server.socket, "MEMORY__NAMESPACE": "acme"}
    os.environ |= {"MEMORY__MAX_THREAD_MESSAGES": "4", "MEMORY__WINDOW": "2"}
    async with RedisMemory.from_settings() as memory:
        history = memory.history("support", "alice", "s1")
        for number in range(6):
            history.add_user_message(str(number))
            history.add_ai_message(str(number))
        assert [message.content for message in history.messages] == ["5", "5"]
        assert history.count() == 4
        memory.profile("alice").set({"a": 1})
    left = shared_server.client.pttl("acme:memory:support:alice:s1")
    assert 23.9 * 3_600_000 < left <= 24 * 3_600_000
    left = shared_server.client.pttl("acme:profile:alice")
    assert 29.9 * 86_400_000 < left <= 30 * 86_400_000


async def test_it_goes_on_without_memory_when_that_was_set(start_server):
    """Within the deadline that was set."""
    server = start_server()
    server.kill()
    os.environ |= {"REDIS__SOCKET": server.socket, "MEMORY__RETRY__DEADLINE": "1"}
    os.environ |= {"MEMORY__ON_UNAVAILABLE": "stateless", "MEMORY__RETRY__ATTEMPTS": "2"}
    async with RedisMemory.from_settings() as memory:
        assert memory.profile("alice").get() == {}
        assert not memory.available


def test_nothing_is_sent_before_all_is_well(start_server):
    """A wrong variable is told before anything connects."""
    server = start_server()
    before = server.connections()
    os.environ |= {"REDIS__SOCKET": server.socket, "MEMORY__WINDOW": "x"}
    with pytest.raises(ConfigurationError):
        RedisMemory.from_settings()
    assert server.connections() == before
