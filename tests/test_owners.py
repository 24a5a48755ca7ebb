"""Who has something in a memory: its agents, and their users."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from langchain_core.messages import HumanMessage
from places import FEW

from langchain_redis_memory import ConfigurationError, RedisMemory, RetryPolicy, StorageUnavailable
from langchain_redis_memory.sessions.owners import each_agent, each_user
from langchain_redis_memory.storage.keys import Keys
from langchain_redis_memory.storage.operation import Layout
from langchain_redis_memory.storage.steps import Item, Nodes

ODD = ["a:b", "*", "{x}", "profile", "sessions", "execution_cache", "é🙂", "a\nb", "\ud800", "%70"]


async def say(memory, agent, user, session="s1"):
    await memory.conversation(agent, user, session).aappend([HumanMessage("x")])


@FEW
async def test_agents_and_users_come_once_as_they_were_given(place, do):
    """Whatever is stored of them: sessions, a profile, a cache; on every node of a cluster."""
    async with place.memory() as memory, place.memory(namespace="agent:other") as other:
        for user in ODD:
            for session in ("s1", "s2"):
                await say(memory, "support", user, session)
            await say(memory, user, "only here")
        await memory.profile("known", agent="support").aset({"a": 1})
        await memory.profile("known", agent="sales").aset({"a": 1})
        await memory.profile("to all").aset({"a": 1})
        await memory.cache("cached").aset("key", 1)
        await say(other, "stranger", "stranger")
        agents = await do.list(memory, "agents")
        assert Counter(agents) == Counter([*ODD, "support", "sales", "cached"])
        assert Counter(await do.list(memory, "users", "support")) == Counter([*ODD, "known"])
        assert await do.list(memory, "users", "sales") == ["known"]
        assert await do.list(memory, "users", "cached") == []
        assert await do.list(memory, "users", "nobody") == []
        everyone = Counter([*ODD, "only here", "known", "to all"])
        assert Counter(await do.list(memory, "users")) == everyone
        assert await do.list(other, "agents") == ["stranger"]


async def test_what_others_write_is_no_name(memory, server, do):
    """Keys that no id gives, as another program may write them."""
    for key in (
        *(b"agent:memory:a b:u:s", b"agent:memory::u:s", b"agent:memory:%zz:u:s"),
        *(b"agent:memory:\xff:u:s", b"agent:memory:a", b"agent:memory:a:u", b"agent:profile:*"),
        *(b"agent:memoryx:a:u:s", b"agent:memory:%6Fk:u:s"),
    ):
        server.client.set(key, "x")
    assert await do.list(memory, "agents") == []
    assert await do.list(memory, "users", "a") == []
    assert await do.list(memory, "users") == ["u"]  # which all but the agent has right


@pytest.mark.parametrize("wrong", ["", 1, b"a"])
def test_a_wrong_agent_is_refused_at_once(memory, wrong):
    """And not when the first user is asked for."""
    for users in (memory.users, memory.ausers):
        with pytest.raises(ConfigurationError, match="agent"):
            users(wrong)


async def test_names_come_while_more_are_looked_for(server, memory_here):
    """A page at a time: the first is there before all keys were gone through."""
    for number in range(3000):
        server.client.set(f"agent:memory:support:u{number}:s", "x")
    before = memory_here.round_trips
    assert next(memory_here.users("support")).startswith("u")
    assert memory_here.round_trips == before + 1
    found = [user async for user in memory_here.ausers("support")]
    assert len(found) == len(set(found)) == 3000


def test_what_scan_names_twice_comes_once():
    """As SCAN may do, and as a second pass over a cluster does."""

    def followed(steps, page):
        answer, names = None, []
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return names
            answer = Layout((None,)) if isinstance(step, Nodes) else (0, page * 2)
            if isinstance(step, Item):
                names.append(step.value)

    page = [b"a:b:memory:x:u:s1", b"a:b:memory:x:u:s2", b"a:b:memory:x:v:sessions"]
    assert followed(each_agent(Keys("a:b")), page) == ["x"]
    assert followed(each_user(Keys("a:b"), "x"), page) == ["u", "v"]


async def test_redis_away_is_an_error_in_any_case(do):
    """Nobody is told that there is nobody."""
    url, retry = "redis://127.0.0.1:1", RetryPolicy(deadline=0.2)
    async with RedisMemory.from_url(url, retry=retry, on_unavailable="stateless") as memory:
        with pytest.raises(StorageUnavailable):
            await do.list(memory, "agents")


async def test_an_event_loop_serves_others_meanwhile(server, memory_here):
    """Between two pages."""
    for number in range(5000):
        server.client.set(f"agent:memory:support:u{number}:s", "x")
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    task = asyncio.create_task(tick())
    assert len([user async for user in memory_here.ausers("support")]) == 5000
    task.cancel()
    assert ticks > 1
