"""Some places where memories are made, calls by either name, and steps that are watched.

For the tests of moving conversations, until these share what the tests of topologies have.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import redis.asyncio
from hypothesis import strategies as st
from test_codec import MESSAGES

from langchain_redis_memory import RedisMemory
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.steps import _take

USER, PASSWORD = "mo:ver", "p@ss"
ARCHITECTURE = Path(__file__).parents[1] / "docs" / "architecture.md"


class Place:
    """Where memories are made by URL; `client` is the test's own way to the data there."""

    def __init__(self, url, client, servers):
        self.url = url
        self.client = client
        self.servers = servers
        self.flush()

    @asynccontextmanager
    async def memory(self, **options):
        async with RedisMemory.from_url(self.url, **options) as memory:
            yield memory

    def flush(self):
        """Remove all data."""
        for server in self.servers:
            if server.info("replication")["role"] == "master":
                server.flushall()

    def permit(self, url):
        """Go on as a user that has what is documented, and nothing else."""
        rules = re.findall(r"ACL SETUSER memory ([^`]*)```", ARCHITECTURE.read_text())
        words = [word for rule in rules for word in rule.split() if word not in ("on", ">password")]
        for server in self.servers:
            allowed = (*words, "+zscore", "~mine:*")  # +zscore: to be documented
            server.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *allowed)
            server.execute_command("ACL", "LOG", "RESET")
        self.url = url.replace("://", f"://{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@", 1)

    def assert_nothing_was_refused(self):
        for server in self.servers:
            assert server.execute_command("ACL", "LOG") == []
            server.execute_command("ACL", "DELUSER", USER)


class GivenPlace(Place):
    """Clients of the user's own, which decode what they read, and speak RESP3."""

    @asynccontextmanager
    async def memory(self, **options):
        how = {
            "unix_socket_path": self.url.removeprefix("unix://"),
            "protocol": 3,
            "decode_responses": True,
        }
        client, async_client = redis.Redis(**how), redis.asyncio.Redis(**how)
        async with RedisMemory(client=client, async_client=async_client, **options) as memory:
            yield memory
        client.close()
        await async_client.aclose()


@pytest.fixture(params=["socket", "given_resp3", "cluster", "permitted", "permitted_cluster"])
def place(request):
    """A server, a cluster, and both as the documented user, with no data."""
    if "cluster" in request.param:
        servers = request.getfixturevalue("cluster_servers")
        client = redis.RedisCluster(port=servers.nodes[0].port, host="127.0.0.1")
        place = Place(servers.url, client, [node.client for node in servers.nodes])
    else:
        server = request.getfixturevalue("server")
        client = redis.Redis(unix_socket_path=server.socket)
        kind = GivenPlace if request.param == "given_resp3" else Place
        place = kind(server.url, client, [server.client])
    if "permitted" in request.param:
        place.permit(place.url)
    yield place
    if "permitted" in request.param:
        place.assert_nothing_was_refused()
    client.close()


class Sync:
    """Calls methods by their own names."""

    async def __call__(self, thing, name, *args, **kwargs):
        return getattr(thing, name)(*args, **kwargs)

    async def messages(self, history):
        return history.messages


class Async:
    """Calls their twins."""

    async def __call__(self, thing, name, *args, **kwargs):
        return await getattr(thing, f"a{name}")(*args, **kwargs)

    async def messages(self, history):
        return await history.aget_messages()


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def do(request):
    """Calls a method by its synchronous or its asynchronous name."""
    return request.param()


# Steps


def kill_after(memory, steps, count):
    """Follow steps as a process that is killed after so many requests; tell if it was."""
    answer = None
    with suppress(StopIteration):
        while True:
            step = steps.send(answer)
            if isinstance(step, Operation):
                if not count:
                    steps.close()
                    return True
                count -= 1
            answer = _take(memory._connection, step)
    return False


def repeat_each(memory, steps):
    """Follow steps of which each request loses its answer once, and is sent again."""
    return watch(memory, steps, lambda step: _take(memory._connection, step))


def watch(memory, steps, look):
    """Follow steps, and let somebody do something before each request."""
    answer = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(step, Operation):
            look(step)
        answer = _take(memory._connection, step)


# Conversations


@st.composite
def conversations(draw):
    """Any few messages; not a list of strategies, whose `repr` is too large for hypothesis."""
    return [draw(MESSAGES) for _ in range(draw(st.integers(1, 3)))]
