"""Going on without memory while Redis is away."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_memory import (
    ConfigurationError,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
)
from langchain_redis_memory.storage.availability import Availability

CONFIG = {"configurable": {"session_id": "s1", "user_id": "alice"}}
# Long enough for a test to do much within the pause, and to be ended by the test itself.
LONG, SHORT = 600.0, 0.001
QUICK = RetryPolicy(attempts=2, initial=0.001, deadline=0.5)


# The schedule, with the time passed in


def test_redis_is_asked_while_it_is_there():
    """At any time, by anybody."""
    availability = Availability(pause=5, deadline=2)
    assert availability.available
    assert all(availability.may_ask(now) for now in (0, 0, 1))


def test_after_a_failure_nobody_asks_until_the_pause_is_over():
    """Then one does, and the others wait for what it finds, for a deadline at most."""
    availability = Availability(pause=5, deadline=2)
    availability.failed(100, "here")
    assert not availability.available
    assert not availability.may_ask(100)
    assert not availability.may_ask(104.9)
    assert availability.may_ask(105)
    assert not availability.may_ask(105)
    assert not availability.may_ask(106.9)
    assert availability.may_ask(107)


def test_each_failure_begins_another_pause():
    """From when it was seen."""
    availability = Availability(pause=5, deadline=2)
    availability.failed(100, "here")
    availability.may_ask(105)
    availability.failed(107, "here")
    assert not availability.may_ask(111.9)
    assert availability.may_ask(112)


def test_success_ends_it_for_all():
    """At once."""
    availability = Availability(pause=5, deadline=2)
    availability.failed(100, "here")
    availability.succeeded("here")
    assert availability.available
    assert availability.may_ask(100)
    assert availability.may_ask(100)


def test_it_says_so_once_when_it_begins_and_once_when_it_ends(caplog):
    """However many notice; with the place and with what was dropped."""
    availability = Availability(pause=5, deadline=2)
    availability.succeeded("here")
    for _ in range(2):
        for now in (100, 101, 105):
            availability.failed(now, "here")
        availability.drop("here")
        availability.drop("here")
        for _ in range(3):
            availability.succeeded("here")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4
    texts = [record.getMessage() for record in caplog.records]
    assert "here cannot be reached" in texts[0]
    assert "asking again every 5 s" in texts[0]
    assert "here is back; 2 writes were dropped so far" in texts[1]
    assert "4 writes" in texts[3]


def test_a_copy_knows_the_same_and_goes_its_own_way():
    """As a forked child has it."""
    availability = Availability(pause=5, deadline=2)
    availability.failed(100, "here")
    availability.drop("here")
    copy = availability.copy()
    assert (copy.available, copy.dropped) == (False, 1)
    copy.succeeded("here")
    copy.drop("here")
    assert (availability.available, availability.dropped) == (False, 1)


def test_of_many_threads_one_asks_after_the_pause():
    """And many drops are all counted."""
    availability = Availability(pause=5, deadline=2)
    availability.failed(100, "here")
    barrier = threading.Barrier(16)

    def one(_):
        barrier.wait()
        for _ in range(1000):
            availability.drop("here")
        return availability.may_ask(105)

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(one, range(16))) == 1
    assert availability.dropped == 16_000


# With a server


@pytest.fixture
def server(start_server):
    """A server that keeps what it acknowledged, to be killed and started again."""
    return start_server("--appendonly", "yes", "--appendfsync", "always")


def stateless(server, pause=LONG, retry=QUICK):
    return RedisMemory.from_url(
        server.url, retry=retry, on_unavailable="stateless", outage_pause=pause
    )


def end_pause(memory):
    """Let the pause be over, without waiting for it."""
    memory._connection.availability.failed(time.monotonic() - LONG, "")


def echo(messages):
    return AIMessage(f"{len(messages)}: {messages[-1].content}")


async def test_an_outage_from_its_beginning_to_its_end(server, do, caplog):
    """Turns are answered without memory, nothing is sent in the pause, then all is as before."""
    async with stateless(server) as memory:
        chat = memory.with_history(echo, agent="support")
        history = memory.history("support", "alice", "s1")
        assert (await do(chat, "invoke", "one", CONFIG)).content == "1: one"
        assert memory.available
        server.kill()
        assert (await do(chat, "invoke", "two", CONFIG)).content == "1: two"
        assert not memory.available
        assert memory.dropped_writes == 1
        sent = memory.round_trips
        for number in range(5):
            reply = await do(chat, "invoke", "more", CONFIG)
            assert reply.content == "1: more"
            assert memory.dropped_writes == 2 + number
        assert await do.messages(history) == []
        assert await do(history, "count") == 0
        assert await do(history, "time_to_live") is None
        assert memory.round_trips == sent
        server.start()
        assert await do.messages(history) == []  # the pause is not over
        assert memory.round_trips == sent
        end_pause(memory)
        assert (await do(chat, "invoke", "three", CONFIG)).content == "3: three"
        assert memory.available
        assert memory.dropped_writes == 6
        assert await do(history, "count") == 4
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 2
    assert "cannot be reached" in warnings[0]
    assert "is back; 6 writes were dropped" in warnings[1]


async def test_texts_and_stores_go_on_without(server, do):
    """Reads give nothing, writes are dropped and counted: once for each call."""
    async with stateless(server) as memory:
        store = memory.store("files")
        await do(memory, "set", "key", "text")
        await do(store, "mset", [("key", b"value")])
        server.kill()
        assert await do(memory, "get", "key") is None
        assert await do(store, "mget", ["key", "other"]) == [None, None]
        await do(memory, "set", "key", "later")
        await do(store, "mset", [("key", b"1"), ("other", b"2")])
        assert memory.dropped_writes == 2
        server.start()
        end_pause(memory)
        assert await do(memory, "get", "key") == "text"
        assert await do(store, "mget", ["key", "other"]) == [b"value", None]


async def test_removing_is_never_pretended(server, do):
    """Nor is what cannot be told without Redis: which keys there are, whether it answers."""
    async with stateless(server) as memory:
        history = memory.history("support", "alice", "s1")
        await do(history, "add_messages", [HumanMessage("secret")])
        server.kill()
        assert await do.messages(history) == []
        store = memory.store("files")
        for call in (
            do(history, "clear"),
            do(store, "mdelete", ["key"]),
            do.list(store, "yield_keys"),
            do(memory, "ping"),
        ):
            with pytest.raises(StorageUnavailable):
                await call
        assert memory.dropped_writes == 0
        server.start()


async def test_a_ping_notices_that_redis_is_back(server, do, caplog):
    """Also in the pause, and everybody goes on with memory."""
    async with stateless(server) as memory:
        history = memory.history("support", "alice", "s1")
        server.kill()
        await do(history, "add_messages", [HumanMessage("lost")])
        assert not memory.available
        server.start()
        assert await do(memory, "ping")
        assert memory.available
        await do(history, "add_messages", [HumanMessage("kept")])
        assert [message.content for message in await do.messages(history)] == ["kept"]
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) == 2


async def test_a_removal_notices_that_redis_is_away_or_back(server, do):
    """It asks in the pause too, and what it finds holds for all."""
    async with stateless(server) as memory:
        history = memory.history("support", "alice", "s1")
        server.kill()
        with pytest.raises(StorageUnavailable):
            await do(history, "clear")
        assert not memory.available
        server.start()
        await do(history, "clear")
        assert memory.available


async def test_after_the_pause_it_asks_again_and_pauses_again(server, do):
    """While Redis stays away, with one warning."""
    async with stateless(server, pause=SHORT) as memory:
        history = memory.history("support", "alice", "s1")
        server.kill()
        for _ in range(3):
            sent = memory.round_trips
            await asyncio.sleep(0.01)
            assert await do.messages(history) == []
            assert memory.round_trips > sent
        server.start()


@pytest.mark.parametrize("flavour", ["threads", "tasks"])
async def test_fifty_callers_at_once_go_on_without(server, flavour, caplog):
    """Nobody gets an error; each write is dropped once; after the pause one of them asks."""
    # A machine that is busy is not to be taken for a server that is away, which refuses at once.
    async with stateless(server, retry=replace(QUICK, deadline=10)) as memory:
        chat = memory.with_history(echo, agent="support")

        def config(number):
            return {"configurable": {"session_id": f"s{number}", "user_id": "alice"}}

        async def fifty(text):
            if flavour == "tasks":
                calls = (chat.ainvoke(text, config(number)) for number in range(50))
                return [reply.content for reply in await asyncio.gather(*calls)]
            with ThreadPoolExecutor(50) as threads:
                calls = [threads.submit(chat.invoke, text, config(n)) for n in range(50)]
                waiting = [asyncio.wrap_future(call) for call in calls]
                return [reply.content for reply in await asyncio.gather(*waiting)]

        assert await fifty("one") == ["1: one"] * 50
        dropped = memory.dropped_writes
        server.kill()
        assert await fifty("two") == ["1: two"] * 50
        assert memory.dropped_writes - dropped == 50
        sent = memory.round_trips
        assert await fifty("three") == ["1: three"] * 50
        assert memory.round_trips == sent
        assert memory.dropped_writes - dropped == 100
        end_pause(memory)
        assert await fifty("four") == ["1: four"] * 50
        assert 0 < memory.round_trips - sent <= QUICK.attempts
        assert memory.dropped_writes == 150
        server.start()
        end_pause(memory)
        await memory.aping()
        assert await fifty("five") == ["3: five"] * 50
        assert memory.dropped_writes == 150
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) == 2


async def test_a_refusal_is_not_swallowed(server, do):
    """A wrong password, a missing permission, another type: going on would hide them."""
    server.client.acl_setuser(
        "writer", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-llen"]
    )
    for user, name in (("writer:wrong", "add_messages"), ("writer:pw", "count")):
        memory = RedisMemory.from_url(
            f"unix://{user}@{server.socket}", on_unavailable="stateless", retry=QUICK
        )
        async with memory:
            history = memory.history("support", "alice", "s1")
            with pytest.raises(StorageRejected):
                await do(history, name, *([[HumanMessage("hello")]] * (name != "count")))
            assert memory.available
            assert memory.dropped_writes == 0


async def test_without_it_an_outage_is_an_error(server, do):
    """Which is the default; then nothing is counted."""
    async with RedisMemory.from_url(server.url, retry=QUICK) as memory:
        server.kill()
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await do(memory, "get", "key")
        assert memory.available
        assert memory.dropped_writes == 0
        server.start()


async def test_the_embedded_server_and_clients_passed_in_may_be_away_too(server, tmp_path):
    """Each way to make a memory takes the option."""
    import redis
    import redis.asyncio

    clients = {
        "client": redis.Redis(unix_socket_path=server.socket, retry=None),
        "async_client": redis.asyncio.Redis(unix_socket_path=server.socket, retry=None),
    }
    (tmp_path / "file").write_text("")
    server.kill()
    async with RedisMemory(**clients, retry=QUICK, on_unavailable="stateless") as memory:
        assert memory.get("key") is None
        assert await memory.aget("key") is None
        assert not memory.available
    clients["client"].close()
    await clients["async_client"].aclose()
    server.start()
    directory = tmp_path / "file" / "memory"  # it cannot be made, for which waiting is no cure
    embedded = RedisMemory.embedded(directory, on_unavailable="stateless")
    with embedded, pytest.raises(ConfigurationError):
        embedded.get("key")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"on_unavailable": "ignore"}, "on_unavailable"),
        ({"on_unavailable": None}, "on_unavailable"),
        ({"outage_pause": 0}, "outage_pause"),
        ({"outage_pause": -1}, "outage_pause"),
        ({"outage_pause": "5"}, "outage_pause"),
        ({"outage_pause": True}, "outage_pause"),
        ({"outage_pause": float("nan")}, "outage_pause"),
    ],
)
def test_wrong_options_are_refused_by_name(options, named, tmp_path):
    """By each way to make a memory."""
    for make in (
        lambda: RedisMemory.from_url("redis://localhost", **options),
        lambda: RedisMemory.embedded(tmp_path / "memory", **options),
        lambda: RedisMemory(**options),
    ):
        with pytest.raises(ConfigurationError, match=named):
            make()
