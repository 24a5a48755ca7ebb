"""RedisMemory: how it reaches a server, who closes what, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import traceback

import pytest
import redis
import redis.asyncio
from langchain_core.messages import AIMessage, HumanMessage

from langchain_redis_memory import (
    ConfigurationError,
    MemoryClosedError,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
)

CONFIG = {"configurable": {"session_id": "s1", "user_id": "alice"}}
SECRET = "pa-ss-word-4711"
NO_PORT = "redis://user:pa-ss-word-4711@127.0.0.1:1/0"
SHORT = RetryPolicy(deadline=0.4)


def reply(messages):
    return AIMessage(f"I saw {len(messages)} messages")


def texts(history):
    return [message.content for message in history.messages]


def test_constructors_do_no_io(tmp_path):
    """Nothing is connected, started or written before the memory is used."""
    memory = RedisMemory.from_url(NO_PORT)
    memory.with_history(reply, agent="support")
    memory.history("support", "alice", "s1")
    RedisMemory.embedded(tmp_path / "memory").history("support", "alice", "s1")
    assert not (tmp_path / "memory").exists()


async def test_one_memory_serves_threads_and_event_loops(memory, server):
    """The same memory works in the main thread, in others, and in several asyncio.run calls."""
    chat = memory.with_history(reply, agent="support")

    def one_loop_after_another():
        for _ in range(3):
            asyncio.run(chat.ainvoke("from a loop", CONFIG))

    threads = [
        threading.Thread(target=one_loop_after_another),
        threading.Thread(target=chat.invoke, args=("from a thread", CONFIG)),
    ]
    for thread in threads:
        thread.start()
    await chat.ainvoke("from here", CONFIG)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert await memory.history("support", "alice", "s1").acount() == 10
    await memory.aclose()


def test_an_event_loop_that_ends_leaves_no_connection(memory, server):
    """What asyncio.run used is closed when it ends, without a warning and at the server too."""
    connected = int(server.client.info("clients")["connected_clients"])
    for _ in range(5):
        asyncio.run(memory.aping())
    gc.collect()
    for _ in range(200):
        if int(server.client.info("clients")["connected_clients"]) <= connected:
            break
        time.sleep(0.01)
    assert int(server.client.info("clients")["connected_clients"]) <= connected


async def test_a_closed_memory_says_so(server):
    """After close or aclose every use raises MemoryClosedError, and closing again is fine."""
    with RedisMemory.from_url(server.url) as memory:
        assert memory.ping()
    async with RedisMemory.from_url(server.url) as other:
        assert await other.aping()
    for closed in (memory, other):
        with pytest.raises(MemoryClosedError, match="closed"):
            closed.ping()
        with pytest.raises(MemoryClosedError):
            await closed.aping()
        with pytest.raises(MemoryClosedError):
            await closed.history("a", "b", "c").aget_messages()
        closed.close()
        await closed.aclose()


async def test_clients_that_were_passed_in_are_used_and_never_closed(server):
    """They keep working after the memory is closed, whatever they decode."""
    for decode in (False, True):
        for protocol in (2, 3):
            options = {"decode_responses": decode, "protocol": protocol}
            client = redis.Redis(unix_socket_path=server.socket, **options)
            other = redis.asyncio.Redis(unix_socket_path=server.socket, **options)
            memory = RedisMemory(client=client, async_client=other, window=10)
            history = memory.history("support", f"{decode}", f"{protocol}")
            history.add_user_message("Grüße 你好 🙂")
            await history.aadd_messages([AIMessage("hello")])
            assert texts(history) == ["Grüße 你好 🙂", "hello"]
            assert await history.aget_messages() == history.messages
            assert memory.ping()
            assert await memory.aping()
            await memory.aclose()
            assert client.ping()
            assert await other.ping()
            client.close()
            await other.aclose()


async def test_a_missing_client_is_named(server):
    """A memory with one kind of client tells which one to pass for the other use."""
    client = redis.Redis(unix_socket_path=server.socket)
    with pytest.raises(ConfigurationError, match="async_client="):
        await RedisMemory(client=client).aping()
    other = redis.asyncio.Redis(unix_socket_path=server.socket)
    with pytest.raises(ConfigurationError, match="client="):
        RedisMemory(async_client=other).ping()
    with pytest.raises(ConfigurationError, match=r"async_client must be a redis\.asyncio"):
        RedisMemory(async_client=client)
    with pytest.raises(ConfigurationError, match="client must be a redis"):
        RedisMemory(client="redis://localhost")
    client.close()
    await other.aclose()


def test_a_memory_without_any_server_is_refused():
    """RedisMemory() names the ways to make one."""
    with pytest.raises(ConfigurationError, match="from_url"):
        RedisMemory()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        f"http://user:{SECRET}@localhost",
        f"redis://:{SECRET}#@localhost:6379/0",
        f"redis://user:12/{SECRET}@localhost",
        f"redis://:{SECRET}@localhost:99999/0",
        f"redis://:{SECRET}@localhost:6379/first",
        f"redis://:{SECRET}@[::1",
        f"{SECRET}://localhost",
    ],
)
def test_a_wrong_url_is_refused_without_its_secrets(url):
    """The error says what a URL looks like, and quotes nothing that may be a password."""
    with pytest.raises(ConfigurationError, match="URL") as caught:
        RedisMemory.from_url(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_conections": 5}, "max_conections"),
        ({"retry_on_error": []}, "RetryPolicy"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": "a day"}, "ttl"),
        ({"ttl": float("nan")}, "ttl"),
        ({"window": 0}, "window"),
        ({"max_messages": -1}, "max_messages"),
        ({"namespace": "a*"}, "namespace"),
        ({"namespace": ""}, "namespace"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, named, tmp_path):
    """Each way to make a memory refuses it before anything is opened."""
    with pytest.raises(ConfigurationError, match=named):
        RedisMemory.from_url("redis://localhost", **options)
    with pytest.raises(ConfigurationError, match=named):
        RedisMemory.embedded(tmp_path / "memory", **options)


@pytest.mark.parametrize("option", ["attempts", "initial", "maximum", "deadline"])
@pytest.mark.parametrize("value", [0, -1, "1", None, True, float("nan")])
def test_a_wrong_retry_policy_is_refused(option, value):
    """Each of its numbers must be positive."""
    with pytest.raises(ConfigurationError, match=option):
        RetryPolicy(**{option: value})


async def test_no_server_is_told_with_the_address_and_without_the_password():
    """Sync and async, in what is printed of the error and of its causes."""
    memory = RedisMemory.from_url(NO_PORT, retry=SHORT)
    history = memory.history("support", "alice", "s1")
    assert SECRET not in repr(memory) + repr(history) + repr(memory._connection)
    with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:1/0") as caught:
        history.add_user_message("hello")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:1/0") as caught:
        await history.aadd_messages([HumanMessage("hello")])
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    await memory.aclose()


async def test_a_wrong_password_is_rejected_at_once(start_server, caplog):
    """It is not tried again, and no error or log shows it."""
    caplog.set_level(logging.DEBUG)
    server = start_server()
    server.client.config_set("requirepass", "right")
    url = f"unix://:{SECRET}@{server.socket}"
    memory = RedisMemory.from_url(url)
    before = memory.round_trips
    with pytest.raises(StorageRejected, match="password") as caught:
        memory.ping()
    assert memory.round_trips - before == 1
    with pytest.raises(StorageRejected, match="password") as also_caught:
        await memory.aping()
    for error in (caught.value, also_caught.value):
        assert SECRET not in "".join(traceback.format_exception(error))
    assert SECRET not in caplog.text
    await memory.aclose()
    assert RedisMemory.from_url(f"unix://:right@{server.socket}").ping()
    server.client.config_set("requirepass", "")


async def test_a_server_that_comes_back_is_found(start_server):
    """A turn that meets a dead server waits for it, within the deadline, and is stored once."""
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    memory = RedisMemory.from_url(server.url)
    chat = memory.with_history(reply, agent="support")
    chat.invoke("one", CONFIG)
    for call in (chat.invoke, lambda *a: asyncio.run(chat.ainvoke(*a))):
        server.kill()
        again = threading.Timer(0.3, server.start)
        again.start()
        await asyncio.to_thread(call, "while it is down", CONFIG)
        again.join()
    assert memory.history("support", "alice", "s1").count() == 6
    memory.close()


def test_a_script_that_the_server_forgot_is_sent_again(memory, server):
    """SCRIPT FLUSH, or a restart, costs a trip and loses nothing."""
    chat = memory.with_history(reply, agent="support", window=4)
    chat.invoke("one", CONFIG)
    server.client.script_flush()
    chat.invoke("two", CONFIG)
    assert texts(memory.history("support", "alice", "s1"))[::2] == ["one", "two"]


def test_a_full_server_is_told(start_server):
    """It is rejected at once, with what to do; the reply is not lost."""
    server = start_server()
    with RedisMemory.from_url(server.url) as memory:
        server.client.config_set("maxmemory", "1")
        with pytest.raises(StorageRejected, match="maxmemory"):
            memory.history("support", "alice", "s1").add_user_message("hello")


async def test_a_user_with_the_documented_permissions_can_do_it_all(start_server):
    """The ACL rule in docs/architecture.md is enough, for turns in every form."""
    server = start_server()
    server.client.execute_command("ACL", "SETUSER", "memory", "on", ">pw", *documented_rule())
    async with RedisMemory.from_url(f"unix://memory:pw@{server.socket}") as memory:
        for limits in ({}, {"window": 2, "max_messages": 4}, {"ttl": None}):
            chat = memory.with_history(reply, agent="support", **limits)
            for text in ("one", "two", "three"):
                chat.invoke(text, CONFIG)
                await chat.ainvoke(text, CONFIG)
                list(chat.stream([HumanMessage(text, id=text)], CONFIG))
            history = memory.history("support", "alice", "s1", **limits)
            assert history.count() > 0
            history.time_to_live()
            history.clear()
        assert memory.ping()
        server.client.execute_command("ACL", "SETUSER", "memory", "-lpush")
        with pytest.raises(StorageRejected, match="permission"):
            memory.history("support", "alice", "s1").add_user_message("secret words")


def documented_rule():
    """Read the rule that the documentation shows."""
    from pathlib import Path

    page = Path(__file__).parents[1].joinpath("docs", "architecture.md").read_text()
    rule = page.partition("ACL SETUSER memory on >password ")[2].partition("```")[0]
    return rule.split()


@pytest.mark.redis_server
async def test_tls_checks_certificates_by_default(tls_server):
    """A trusted server works, sync and async; one whose authority is unknown is rejected."""
    url, authority = tls_server
    async with RedisMemory.from_url(url, ssl_ca_certs=authority) as memory:
        memory.history("support", "alice", "s1").add_user_message("hello")
        assert await memory.history("support", "alice", "s1").acount() == 1
    async with RedisMemory.from_url(url) as memory:
        with pytest.raises(StorageRejected, match="certificate"):
            memory.ping()
        with pytest.raises(StorageRejected, match="certificate"):
            await memory.aping()


async def test_two_hundred_turns_at_once_need_ten_connections(memory, server):
    """Callers wait for a connection of the pool instead of failing."""
    chat = memory.with_history(reply, agent="support")
    before = server.connections()
    await asyncio.gather(
        *(
            chat.ainvoke("hello", {"configurable": {"session_id": f"s{i}", "user_id": "u"}})
            for i in range(200)
        )
    )
    assert server.connections() - before <= 10
    assert server.client.zcard("agent:memory:support:u:sessions") == 200
    await memory.aclose()


async def test_waiting_for_a_connection_survives_the_cancellation_of_others(server):
    """A caller in the queue is not forgotten when those beside it are cancelled."""
    async with RedisMemory.from_url(server.url, max_connections=2) as memory:
        await memory.aset("key", "value")
        for _ in range(60):
            tasks = [asyncio.ensure_future(memory.aget("key")) for _ in range(30)]
            for delay, task in enumerate(tasks):
                if delay % 3:
                    asyncio.get_running_loop().call_later(delay / 20_000, task.cancel)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {o for o in outcomes if not isinstance(o, asyncio.CancelledError)} <= {"value"}
            assert outcomes[0] == "value"


async def test_closing_under_load_says_that_it_is_closed(server):
    """Whoever is at work meanwhile gets MemoryClosedError, and no connection stays open."""
    connected = int(server.client.info("clients")["connected_clients"])
    for _ in range(10):
        memory = RedisMemory.from_url(server.url)
        history = memory.history("support", "alice", "s1")

        def work(history=history):
            while True:
                history.count()

        threads = [asyncio.ensure_future(asyncio.to_thread(work)) for _ in range(4)]
        tasks = [asyncio.ensure_future(history.acount()) for _ in range(20)]
        await asyncio.sleep(0.005)
        await memory.aclose()
        outcomes = await asyncio.gather(*tasks, *threads, return_exceptions=True)
        failed = {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)}
        assert failed == {MemoryClosedError}
    gc.collect()
    assert int(server.client.info("clients")["connected_clients"]) <= connected


def test_an_async_client_that_was_passed_in_keeps_to_its_loop(server):
    """On another event loop the error says what to do, in place of redis-py's."""
    client = redis.asyncio.Redis(unix_socket_path=server.socket)
    memory = RedisMemory(async_client=client)

    async def use_and_close():
        await memory.aping()
        await client.aclose()

    asyncio.run(use_and_close())
    with pytest.raises(ConfigurationError, match="each loop"):
        asyncio.run(memory.aping())


def test_a_policy_of_redis_py_is_refused(server):
    """Retry objects of the two libraries are easily mistaken for each other."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    with pytest.raises(ConfigurationError, match=r"RetryPolicy, not a redis\.retry\.Retry"):
        RedisMemory.from_url(server.url, retry=Retry(NoBackoff(), 3))


def test_errors_can_be_pickled():
    """They travel between processes with all that they carry."""
    import pickle

    from langchain_redis_memory import CorruptedDataError, TurnNotSavedError

    turn = TurnNotSavedError("no", "reply", [HumanMessage("hi")], "0" * 32)
    for error in (MemoryClosedError(), turn, CorruptedDataError("key", 3, "why")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_a_text_cannot_take_the_place_of_a_conversation(memory):
    """Keys of the namespace are no keys of the caller's own."""
    history = memory.history("support", "alice", "s1")
    history.add_user_message("precious")
    with pytest.raises(ConfigurationError, match="namespace 'agent'"):
        memory.set(history.key, "oops")
    assert texts(history) == ["precious"]
