"""Profiles that expire when nobody has read or written them, as ``profile_ttl`` says."""

from __future__ import annotations

import pytest
from langchain_core.runnables import RunnableLambda
from places import FEW, GIVEN
from pydantic import BaseModel
from servers import wait_until

from langchain_redis_memory import ConfigurationError, RedisMemory, RetryPolicy, StorageRejected

DAY = 24 * 3600
KEYS = {None: "agent:profile:alice", "support": "agent:memory:support:alice:profile"}


class Person(BaseModel):
    visits: int = 0


def count(profile):
    """Count one more, of a dict or a model."""
    if isinstance(profile, Person):
        return Person(visits=profile.visits + 1)
    return {**profile, "visits": profile.get("visits", 0) + 1}


def calls(model):
    """Give every call that reads or writes a profile."""
    yield "set", ({"visits": 1} if model is None else Person(visits=1),)
    yield "get", ()
    yield "update", ({"visits": 2},)
    yield "update", ({"visits": 2},)
    yield "modify", (count,)
    yield "modify", (lambda _: None,)


@pytest.mark.parametrize("model", [None, Person])
@pytest.mark.parametrize("agent", KEYS)
async def test_each_read_and_write_puts_off_the_expiry(server, do, agent, model):
    """Of a profile for all agents or for one, as a dict or a model; a change of nothing too."""
    async with RedisMemory.from_url(server.url, profile_ttl=DAY) as memory:
        profile = memory.profile("alice", agent=agent, model=model)
        for name, arguments in calls(model):
            server.client.pexpire(KEYS[agent], 500_000)
            await do(profile, name, *arguments)
            assert DAY * 1000 - 10_000 < server.client.pttl(KEYS[agent]) <= DAY * 1000, name
        server.client.pexpire(KEYS[agent], 500_000)
        assert await do(profile, "exists")
        assert server.client.pttl(KEYS[agent]) <= 500_000


@pytest.mark.parametrize("agent", KEYS)
async def test_a_turn_that_is_given_the_profile_puts_off_the_expiry(server, do, agent):
    """As text for instructions, and among a prompt's variables."""
    async with RedisMemory.from_url(server.url, profile_ttl=DAY) as memory:
        await do(memory.profile("alice", agent=agent), "set", {"visits": 1})
        chat = memory.with_history(
            RunnableLambda(lambda given: given["profile"]),
            agent="support",
            input_messages_key="input",
            profile_key="profile",
        )
        config = {"configurable": {"user_id": "alice", "session_id": "s"}}
        context = memory.context("support", user="alice")
        for known, name, *arguments in (
            (context, "instructions", "Be kind."),
            (chat, "invoke", {"input": "hi"}, config),
        ):
            server.client.pexpire(KEYS[agent], 500_000)
            assert "visits" in await do(known, name, *arguments)
            assert DAY * 1000 - 10_000 < server.client.pttl(KEYS[agent]) <= DAY * 1000, name


@FEW
async def test_it_does_so_on_every_topology(place, do):
    """In one round trip, as a user with the permissions that are documented."""
    async with place.memory(profile_ttl=DAY) as memory:
        profile = memory.profile("alice")
        assert await do(profile, "get") == {}
        await do(profile, "set", {"a": [1, "\N{GREEK SMALL LETTER ALPHA}"]})
        place.client.pexpire(profile.key, 500_000)
        await do(profile, "get")
        before = memory.round_trips
        assert await do(profile, "get") == {"a": [1, "\N{GREEK SMALL LETTER ALPHA}"]}
        assert memory.round_trips - before == 1
        assert place.client.pttl(profile.key) > 500_000
        await do(profile, "delete")
        assert await do(profile, "get") == {}
        assert not await do(profile, "exists")


@pytest.mark.parametrize("place", GIVEN[:1], indirect=True)
async def test_it_is_an_option_of_clients_of_ones_own(place, do):
    """As of all ways to make a memory."""
    async with place.memory(profile_ttl=DAY) as memory:
        await do(memory.profile("alice"), "set", {"a": 1})
        assert place.client.pttl(KEYS[None]) > 0


async def test_it_is_gone_when_nobody_came(server, do):
    """Read or written, it would have stayed."""
    async with RedisMemory.from_url(server.url, profile_ttl=0.2) as memory:
        await do(memory.profile("alice"), "set", {"a": 1})
        wait_until(lambda: not server.client.exists(KEYS[None]), "it has expired")
        assert await do(memory.profile("alice"), "get") == {}


async def test_by_default_it_stays(server, do):
    """Whatever is done with it."""
    async with RedisMemory.from_url(server.url) as memory:
        for name, arguments in calls(None):
            await do(memory.profile("alice"), name, *arguments)
            assert server.client.pttl(KEYS[None]) == -1


async def test_a_profile_may_be_told_otherwise(server, do):
    """By its own ``ttl``, which reads do not put off, or by None for never."""
    async with RedisMemory.from_url(server.url, profile_ttl=DAY) as memory:
        short = memory.profile("alice", ttl=1000)
        for name, arguments in calls(None):
            await do(short, name, *arguments)
            assert server.client.pttl(KEYS[None]) <= 1_000_000
        server.client.pexpire(KEYS[None], 500_000)
        await do(short, "get")
        assert server.client.pttl(KEYS[None]) <= 500_000
        for name, arguments in calls(None):
            await do(memory.profile("alice", ttl=None), name, *arguments)
            assert server.client.pttl(KEYS[None]) == -1


async def test_one_from_before_expires_once_it_was_read(server, do):
    """What was stored without expiry gets it when it is next used."""
    server.client.set(KEYS[None], b'{"a": 1}')
    async with RedisMemory.from_url(server.url, profile_ttl=DAY) as memory:
        assert await do(memory.profile("alice"), "get") == {"a": 1}
        assert server.client.pttl(KEYS[None]) > 0


async def test_what_is_no_profile_does_not_expire(server, do):
    """Because somebody tried to read it."""
    server.client.rpush(KEYS[None], "an element")
    async with RedisMemory.from_url(server.url, profile_ttl=DAY) as memory:
        with pytest.raises(StorageRejected, match="another type"):
            await do(memory.profile("alice"), "get")
    assert server.client.pttl(KEYS[None]) == -1


async def test_without_redis_there_is_none(start_server, do):
    """And one that goes on without memory goes on."""
    server = start_server()
    server.kill()
    async with RedisMemory.from_url(
        server.url,
        profile_ttl=DAY,
        on_unavailable="stateless",
        retry=RetryPolicy(attempts=2, initial=0.001, deadline=1),
    ) as memory:
        assert await do(memory.profile("alice"), "get") == {}


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), True, "1"])
def test_what_is_no_time_to_live_is_refused(ttl):
    """By its name, when the memory is made."""
    with pytest.raises(ConfigurationError, match="profile_ttl must be"):
        RedisMemory.from_url("redis://localhost", profile_ttl=ttl)
