"""One behaviour on every topology, sync and async, by URL and by clients passed in."""

from __future__ import annotations

import asyncio
import gc
import re
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import Generation
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from places import (
    DOCS,
    OURS,
    PASSWORD,
    PERMITTED,
    Embedded,
    Given,
    Secured,
    documented,
    lone_sentinel,
    sentinels_of,
)
from servers import wait_until

from langchain_redis_memory import (
    OfflineChatModel,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
    UnstorableError,
    Window,
)

CONFIG = {"configurable": {"session_id": "s1", "user_id": "alice"}}


# Turns


WITH_HISTORY = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("user", "{in}")])
FORMS = {
    "messages": (OfflineChatModel(), {}, lambda text: text),
    "one key": (
        RunnableLambda(lambda given: given["in"]) | OfflineChatModel(),
        {"input_messages_key": "in"},
        lambda text: {"in": text},
    ),
    "two keys": (
        WITH_HISTORY | OfflineChatModel(),
        {"input_messages_key": "in", "history_messages_key": "history"},
        lambda text: {"in": text},
    ),
}


@pytest.mark.parametrize("form", FORMS)
async def test_turns_of_every_form_remember(place, do, form):
    """Called and streamed, with what the runnable takes and in two trips a turn."""
    runnable, keys, given = FORMS[form]
    async with place.memory() as memory:
        chat = memory.with_history(runnable, agent="support", **keys)
        await do(chat, "invoke", given("My name is Alice."), CONFIG)
        before = memory.round_trips
        reply = await do(chat, "invoke", given("What is my name?"), CONFIG)
        assert memory.round_trips - before == 2
        assert "Alice" in reply.content
        pieces = await do.list(chat, "stream", given("What is my name?"), CONFIG)
        assert len(pieces) > 1
        assert "".join(piece.content for piece in pieces) == reply.content
        messages = await do.messages(memory.history("support", "alice", "s1"))
        assert [type(message) for message in messages] == [HumanMessage, AIMessage] * 3
        assert messages[-1].content == reply.content


async def test_windows_hold_whole_turns(place, do):
    """By messages and by tokens; a tool's result is never without its call."""
    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c1"}])
    turns = [SystemMessage("Be kind.")]
    for number in range(3):
        turns += [
            HumanMessage(f"Question {number}"),
            call,
            ToolMessage("found", tool_call_id="c1"),
            AIMessage(f"Answer {number}"),
        ]
    async with place.memory() as memory:
        await do(memory.history("support", "alice", "s1"), "add_messages", turns)
        for window, expected in (
            (5, [turns[0], *turns[9:]]),
            (7, [turns[0], *turns[9:]]),
            (9, [turns[0], *turns[5:]]),
            (Window(tokens=8, counter=len), [turns[0], *turns[9:]]),
            (Window(messages=4, keep_system=False), turns[9:]),
            (None, turns),
        ):
            history = memory.history("support", "alice", "s1", window=window)
            assert await do.messages(history) == expected


async def test_as_many_messages_are_kept_as_was_said(place, do):
    """A conversation loses its oldest turns, at a turn's beginning."""
    async with place.memory(max_messages=4) as memory:
        chat = memory.with_history(lambda _: AIMessage("yes"), agent="support")
        for text in ("one", "two", "three"):
            await do(chat, "invoke", text, CONFIG)
        messages = await do.messages(memory.history("support", "alice", "s1"))
        assert [message.content for message in messages] == ["two", "yes", "three", "yes"]


async def test_a_history_is_read_counted_cleared_and_expires(place, do):
    """Each of its methods, on a conversation of its own and beside a neighbour."""
    async with place.memory(ttl=1000) as memory:
        history = memory.history("support", "alice", "s:1 {*}")
        neighbour = memory.history("support", "alice", "s")
        messages = [HumanMessage("Grüße 🙂", id="m1"), AIMessage("hello", name="b")]
        assert await do(history, "time_to_live") is None
        await do(history, "add_messages", messages)
        await do(neighbour, "add_messages", messages[:1])
        assert await do.messages(history) == messages
        assert await do(history, "count") == 2
        assert 990 < await do(history, "time_to_live") <= 1000
        for_ever = memory.history("support", "alice", "s:1 {*}", ttl=None)
        await do(for_ever, "add_messages", messages)
        assert await do(history, "time_to_live") is None
        await do(history, "clear")
        assert await do(history, "count") == 0
        assert await do(neighbour, "count") == 1


async def test_a_token_stores_its_messages_once(place, do):
    """Whatever was stored after them."""
    token = "0123456789abcdef" * 2
    async with place.memory() as memory:
        history = memory.history("support", "alice", "s1")
        for _ in range(3):
            await do(history, "add_messages", [HumanMessage("once")], token=token)
            await do(history, "add_messages", [HumanMessage("more")])
        assert [m.content for m in await do.messages(history)] == ["once", *["more"] * 3]


# Profiles


def count(profile):
    profile["n"] = profile.get("n", 0) + 1


async def test_a_profile_is_set_changed_and_deleted(place, do):
    """By each method, beside the profile of an agent; one that is changed by many is exact."""
    async with place.memory() as memory:
        profile, other = memory.profile("a:*"), memory.profile("a:*", agent="support", ttl=1000)
        await do(other, "set", {"name": "Grüße 🙂", "large": 2**80})
        assert await do(profile, "get") == {}
        assert await do(profile, "update", {"tags": {"a": 1, "b": None}}) == {"tags": {"a": 1}}
        assert await do(profile, "modify", count) == {"tags": {"a": 1}, "n": 1}
        assert await do(profile, "exists") is True
        await asyncio.gather(*(profile.amodify(count) for _ in range(20)))
        assert await do(profile, "get") == {"tags": {"a": 1}, "n": 21}
        await do(profile, "delete")
        assert await do(profile, "exists") is False
        assert await do(other, "get") == {"name": "Grüße 🙂", "large": 2**80}


# Values


async def test_texts_are_kept_under_keys_of_ones_own(place, do):
    """With an hour to live, another time, or for ever."""
    async with place.memory() as memory:
        assert await do(memory, "get", "mine:nothing") is None
        await do(memory, "set", "mine:text", "Grüße 🙂")
        await do(memory, "set", "mine:empty", "", ttl=None)
        assert await do(memory, "get", "mine:text") == "Grüße 🙂"
        assert await do(memory, "get", "mine:empty") == ""


async def test_a_store_spans_all_primaries(place, do):
    """Values are set, read, listed and deleted wherever their keys belong."""
    values = {f"key {number}:*": b"\x00\xff%d" % number for number in range(50)}
    async with place.memory() as memory:
        store = memory.store("files")
        await do(store, "mset", list(values.items()))
        await do(memory.store("others"), "mset", [("key 1:*", b"other")])
        assert await do(store, "mget", [*values, "none"]) == [*values.values(), None]
        assert sorted(await do.list(store, "yield_keys")) == sorted(values)
        assert sorted(await do.list(store, "yield_keys", prefix="key 4")) == sorted(
            key for key in values if key.startswith("key 4")
        )
        await do(store, "mdelete", list(values)[1:])
        assert await do.list(store, "yield_keys") == ["key 0:*"]
        assert await do(memory.store("others"), "mget", ["key 1:*"]) == [b"other"]


# Caches


async def test_a_cache_spans_all_primaries(place, do):
    """Values and models' answers are set, read, deleted and cleared wherever their keys belong."""
    async with place.memory() as memory:
        cache, answers = memory.cache("support"), memory.llm_cache("support")
        for number in range(50):
            await do(cache, "set", f"key {number}", {"n": number})
            await do(answers, "update", f"prompt {number}", "llm", [Generation(text=str(number))])
        await do(memory.cache("sales"), "set", "key 1", "other")
        await do(cache, "delete", "key 0")
        assert await do(cache, "get", "key 0") is None
        assert await do(cache, "get", "key 1") == {"n": 1}
        assert await do(answers, "lookup", "prompt 1", "llm") == [Generation(text="1")]
        assert await do(cache, "clear") == 49
        assert await do(cache, "get", "key 1") is None
        assert await do(answers, "clear") == 50
        assert await do(answers, "lookup", "prompt 1", "llm") is None
        assert await do(memory.cache("sales"), "get", "key 1") == "other"


async def test_a_function_is_computed_once(place, do):
    """By one of many callers, on whichever node the entry is; a failure is its caller's."""
    calls = Counter()

    def body(number):
        calls[number] += 1
        time.sleep(0.05)
        if calls[number] == 1 and number % 2:
            raise ValueError(number)
        return (number, AIMessage(str(number)))

    async with place.memory() as memory:
        kept = do.cached(memory.cache("support"), body)
        for number in range(4):
            found = await asyncio.gather(
                *(do.called(kept, number) for _ in range(5)), return_exceptions=True
            )
            assert found.count((number, AIMessage(str(number)))) == 5 - number % 2
            # Who waited for one that failed computes at once, beside the others.
            assert calls[number] == 1 if number % 2 == 0 else 2 <= calls[number] <= 5


async def test_a_server_answers_a_ping(place, do):
    """Wherever it is."""
    async with place.memory() as memory:
        assert await do(memory, "ping") is True


# Many at once


def session(number):
    return {"configurable": {"session_id": f"s{number}", "user_id": "alice"}}


def assert_ten_at_most(place, others, received):
    """Of those that are open, since pools keep theirs, and of those that ever were."""
    assert max(Counter(process for process, _ in place.connected() - others).values()) <= 10
    opened = [now - then for now, then in zip(place.received(), received, strict=True)]
    assert max(opened) <= 10 + place.apart


def echo(messages):
    return AIMessage(f"{len(messages)}: {messages[-1].content}")


async def test_two_hundred_turns_at_once_complete(place):
    """With default settings, each with its own reply; ours on ten connections a process."""
    async with place.memory() as memory:
        chat = memory.with_history(echo, agent="support")
        others, before = place.connected(), place.received()
        replies = await asyncio.gather(
            *(chat.ainvoke(f"turn {number}", session(number)) for number in range(200))
        )
        assert [reply.content for reply in replies] == [f"1: turn {n}" for n in range(200)]
        if not isinstance(place, Given):
            assert_ten_at_most(place, others, before)
        histories = [memory.history("support", "alice", f"s{number}") for number in range(200)]
        counts = await asyncio.gather(*(history.acount() for history in histories))
        assert set(counts) == {2}


async def test_sixteen_threads_share_a_memory(place):
    """Each with its own replies; ours on ten connections a process."""
    async with place.memory() as memory:
        chat = memory.with_history(echo, agent="support")
        others, before = place.connected(), place.received()

        def turns(number):
            return [chat.invoke(f"{number}.{turn}", session(number)).content for turn in range(5)]

        with ThreadPoolExecutor(16) as threads:
            replies = list(threads.map(turns, range(16)))
        assert replies == [[f"{2 * t + 1}: {n}.{t}" for t in range(5)] for n in range(16)]
        if not isinstance(place, Given):
            assert_ten_at_most(place, others, before)


@pytest.mark.parametrize("place", OURS, indirect=True)
async def test_event_loops_in_threads_share_a_memory(place):
    """Each has a client of its own, which is closed with the loop."""
    async with place.memory() as memory:
        chat = memory.with_history(echo, agent="support")
        before = place.connected()
        barrier = threading.Barrier(4)

        async def turns(number):
            barrier.wait()
            calls = [chat.ainvoke(f"{number}.{turn}", session(turn)) for turn in range(4)]
            return len(await asyncio.gather(*calls))

        def loops(number):
            return [asyncio.run(turns(number)) for _ in range(2)]

        with ThreadPoolExecutor(4) as threads:
            waiting = [asyncio.wrap_future(threads.submit(loops, number)) for number in range(4)]
            assert await asyncio.gather(*waiting) == [[4, 4]] * 4
        counts = [await memory.history("support", "alice", f"s{n}").acount() for n in range(4)]
        assert counts == [16] * 4
        await memory.aclose()
        gc.collect()
        wait_until(lambda: not place.connected() - before, "the loops' connections are closed")


async def test_closing_leaves_nothing_connected(place, do):
    """Neither at the server nor, as a ResourceWarning would tell, here."""
    before = place.connected()
    async with place.memory() as memory:
        chat = memory.with_history(echo, agent="support")
        await do(chat, "invoke", "hello", CONFIG)
        assert place.connected() - before
        await do.list(memory.store("files"), "yield_keys")
        await do(memory, "close")
    gc.collect()
    wait_until(lambda: not place.connected() - before, "all connections are closed")


# Permissions


async def use_everything(memory, do):
    """Do all that a memory does, so that it sends every command that it ever sends."""
    for limits in ({}, {"window": 2, "max_messages": 4}, {"ttl": None}):
        chat = memory.with_history(echo, agent="support", **limits)
        for text in ("one", "two", "three"):
            await do(chat, "invoke", text, CONFIG)
    system = memory.history("support", "alice", "s2", max_messages=2)
    await do(system, "add_messages", [SystemMessage("Be kind."), HumanMessage("1")])
    await do(system, "add_messages", [HumanMessage("2"), AIMessage("3")])
    history = memory.history("support", "alice", "s1")
    await do(history, "count")
    await do(history, "time_to_live")
    await do(history, "clear")
    profile = memory.profile("alice", ttl=1000)
    for name, arguments in (("set", ({},)), ("update", ({"n": 1},)), ("modify", (count,))):
        await do(profile, name, *arguments)
    for name in ("get", "exists", "delete"):
        await do(profile, name)
    await do(memory, "set", "mine:text", "text")
    await do(memory, "get", "mine:text")
    await do(memory.store("files"), "mset", [(f"k{number}", b"") for number in range(9)])
    await do.list(memory.store("files"), "yield_keys")
    await do(memory.store("files"), "mdelete", ["k0"])
    await do(memory, "ping")
    for cached in (memory.cache("support"), memory.cache("support", ttl=None)):
        await do(cached, "set", "key", 1)
        await do(cached, "get", "key")
        await do(cached, "clear")
        await do.called(do.cached(cached, lambda x: [x]), "x")
        with pytest.raises(UnstorableError):  # so that a claim is given up
            await do.called(do.cached(cached, lambda x: {x}, strict=True), "y")
    await do(memory.history("support", "alice", "s4", ttl=0.001), "add_messages", [AIMessage("")])
    await do(memory, "copy_session", "support", "alice", "s2", "s3")
    await asyncio.sleep(0.01)
    await do(memory, "sessions", "support", "alice")
    with TemporaryDirectory() as folder:
        await do(memory, "export", f"{folder}/memory.jsonl")
        await do(memory, "import_", f"{folder}/memory.jsonl")
    await do(memory, "forget_user", "alice", dry_run=True)
    await do(memory, "forget_user", "alice")


@pytest.mark.parametrize("place", PERMITTED, indirect=True)
async def test_every_permission_that_is_documented_is_needed(place, do):
    """Each command of the rule reaches some server; `place` sees that none was refused."""
    for server in place.servers:
        server.config_resetstat()
        server.script_flush()
    async with place.memory() as memory:
        await use_everything(memory, do)
    sent = {name for server in place.servers for name in server.info("commandstats")}
    words = [word for word in documented("memory") if word.startswith("+")]
    if len(place.servers) > 2:
        words += [word for word in documented("memory", 1) if word != "+asking"]
    needed = {f"cmdstat_{word[1:]}" for word in words}
    if not place.url.endswith("/1"):
        needed.remove("cmdstat_select")
    assert needed - sent == set()


def test_all_pages_show_the_same_rules():
    """What to allow is written where it is explained, and where it is looked for."""
    pages = [(DOCS / name).read_text() for name in ("architecture.md", "operations.md")]
    first, second = (re.findall(r"ACL SETUSER [^`]*```", page) for page in pages)
    assert first == second


async def test_a_slot_on_the_move_is_followed_with_the_documented_permissions(
    places, cluster_servers, do
):
    """A key that is where its slot goes to is found there, for which +asking is needed."""
    place = places.permitted_cluster()
    source = cluster_servers.primary_of("mine:here")
    target = next(node for node in cluster_servers.nodes[:3] if node is not source)
    slot = source.client.cluster("KEYSLOT", "mine:here")
    ids = [node.client.execute_command("CLUSTER", "MYID") for node in (source, target)]
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    async with place.memory() as memory:
        await do(memory, "set", "mine:here", "moved")
        assert await do(memory, "get", "mine:here") == "moved"
    target.client.execute_command("ASKING")
    for node in (source, target):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")
    assert [entry for server in place.servers for entry in server.execute_command("ACL LOG")] == []
    place.flush()


@pytest.mark.parametrize("name", PERMITTED)
async def test_names_and_passwords_of_any_characters_are_given(places, name, do):
    """The server knows the user, and rejects another password."""
    place = getattr(places, name)()
    async with place.memory() as memory:
        assert await do(memory, "ping")
    wrong = place.url.replace(quote(PASSWORD, safe=""), "wrong")
    async with RedisMemory.from_url(wrong) as memory:
        with pytest.raises(StorageRejected, match="password"):
            await do(memory, "ping")


@pytest.mark.parametrize("name", ["standalone", "sentinel", "cluster"])
async def test_credentials_that_rotate_are_asked_for_again(places, name, do):
    """By each new connection, wherever it leads."""
    place = getattr(places, name)()
    provider = Rotating()
    provider.rotate(place)
    async with RedisMemory.from_url(place.url, credential_provider=provider) as memory:
        chat = memory.with_history(echo, agent="support")
        await do(chat, "invoke", "one", CONFIG)
        provider.rotate(place)
        await do(chat, "invoke", "two", CONFIG)
        assert await do(memory.history("support", "alice", "s1"), "count") == 4
    place.flush()


class Rotating(redis.CredentialProvider):
    """Credentials of a user whose password changes."""

    number = 0

    def get_credentials(self):
        return "rotating", f"token{self.number}"

    def rotate(self, place):
        """Change the password and end what was opened with the old one."""
        self.number += 1
        for server in place.servers:
            _, password = self.get_credentials()
            rule = ("reset", "on", "~*", "+@all", f">{password}")
            server.execute_command("ACL", "SETUSER", "rotating", *rule)
            server.execute_command("CLIENT", "KILL", "USER", "rotating")


@pytest.fixture
def until_the_end():
    """Takes a server that is the test's own, and stops it."""
    with ExitStack() as stack:

        def keep(node):
            stack.callback(node.stop)
            return node

        yield keep


async def test_sentinels_have_credentials_of_their_own(tcp_server, tmp_path, do, until_the_end):
    """Given in the URL or by a provider; without them, or with others, they reject us."""
    sentinel = until_the_end(lone_sentinel(tmp_path, tcp_server.port))
    acl = partial(sentinel.client.execute_command, "ACL", "SETUSER")
    acl("finder", "on", f">{PASSWORD}", *documented("finder"))
    acl("rotating", "on", ">token0", *documented("finder"))
    acl("default", "off")
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/mymaster"
    secret = f"?sentinel_username=finder&sentinel_password={quote(PASSWORD, safe='')}"
    by_provider = {"sentinel_kwargs": {"credential_provider": Rotating()}}
    for suffix, options in ((secret, {}), ("", by_provider)):
        async with RedisMemory.from_url(url + suffix, **options) as memory:
            assert await do(memory, "ping")
    for suffix in ("", "?sentinel_password=wrong"):
        async with RedisMemory.from_url(url + suffix) as memory:
            with pytest.raises(StorageRejected, match="password"):
                await do(memory, "ping")


# TLS


@pytest.mark.redis_server
@pytest.mark.parametrize("name", ["tls", "tls_sentinel", "tls_cluster"])
async def test_tls_needs_an_authority_and_a_client_certificate(places, certificates, name, do):
    """By default an unknown authority is rejected; the server asks for the client's."""
    url = getattr(places, name)().url
    authority = {"ssl_ca_certs": f"{certificates}/ca.pem"}
    for options in ({}, authority):
        policy = RetryPolicy(deadline=2)
        async with RedisMemory.from_url(url, retry=policy, **options) as memory:
            with pytest.raises((StorageRejected, StorageUnavailable)):
                await do(memory, "ping")


@pytest.mark.redis_server
async def test_a_certificate_for_another_name_is_rejected(
    certificates, tmp_path, do, until_the_end
):
    """Unless the check is switched off by its name."""
    node = until_the_end(
        Secured(
            tmp_path / "other", "--tls-auth-clients", "no", certificates=certificates, name="other"
        )
    )
    url = f"rediss://localhost:{node.tls_port}/0"
    authority = {"ssl_ca_certs": f"{certificates}/ca.pem"}
    async with RedisMemory.from_url(url, **authority) as memory:
        with pytest.raises(StorageRejected, match="certificate"):
            await do(memory, "ping")
    async with RedisMemory.from_url(url, ssl_check_hostname=False, **authority) as memory:
        assert await do(memory, "ping")


# What clients are made with


async def pools(memory):
    """Give the options of all connections that a memory makes: sync, async, to sentinels."""
    client = memory._connection.client
    other = (await memory._connection._client_of_loop()).executor.client
    if isinstance(client, redis.RedisCluster):
        await other.initialize()
        return [node.redis_connection.connection_pool for node in client.get_nodes()], [
            SeenPool(node.connection_kwargs, node.max_connections) for node in other.get_nodes()
        ]
    return tuple(
        [own.connection_pool for own in (each, *sentinels_of(each))] for each in (client, other)
    )


class SeenPool:
    """What stands for a pool in the asyncio client of a cluster."""

    def __init__(self, options, limit):
        self.connection_kwargs = options
        self.max_connections = limit


@pytest.mark.parametrize("name", ["standalone", "socket", "embedded", "sentinel", "cluster"])
async def test_clients_are_made_as_is_documented(places, name):
    """Ten connections that are waited for, time-outs, keepalive, checks, no retries."""
    place = getattr(places, name)()
    async with place.memory() as memory:
        await memory.aping()
        threads, loop = await pools(memory)
        for number, pool in enumerate([*threads, *loop]):
            options = pool.connection_kwargs
            assert options["socket_timeout"] == options["socket_connect_timeout"] == 2.0
            assert bool(options.get("socket_keepalive")) == (name not in ("socket", "embedded"))
            is_sentinel = place.sentinels and number % len(threads)
            if not is_sentinel:
                assert pool.max_connections == 10
                assert options["health_check_interval"] == 30
                if not isinstance(pool, SeenPool):
                    assert pool.timeout == 10
        for client in (memory._connection.client, (await loop_executor(memory)).client):
            for own in (client, *sentinels_of(client)):
                retry = own.retry if hasattr(own, "retry") else own.get_retry()
                assert retry is None or retry.get_retries() == 0
    if isinstance(place, Embedded) or name == "socket":
        place.servers[0].close()
    if isinstance(place, Embedded):
        place.keeper.close()


async def loop_executor(memory):
    return (await memory._connection._client_of_loop()).executor


@pytest.mark.parametrize(
    ("form", "hosts"), [("redis", 1), ("redis+sentinel", 2), ("redis+cluster", 2)]
)
async def test_no_attempt_is_made_behind_our_back(form, hosts, do):
    """One attempt asks each host once; a pool replaces a connection that is dead at once."""
    accepted = []

    async def hang_up(reader, writer):
        accepted.append(writer)
        writer.close()
        await writer.wait_closed()

    servers = [await asyncio.start_server(hang_up, "127.0.0.1", 0) for _ in range(hosts)]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    url = f"{form}://{','.join(f'127.0.0.1:{port}' for port in ports)}/"
    url += "mymaster" if "sentinel" in form else ""
    async with RedisMemory.from_url(url, retry=RetryPolicy(attempts=1)) as memory:
        with pytest.raises(StorageUnavailable):
            await asyncio.to_thread(asyncio.run, do(memory, "ping"))
    assert hosts <= len(accepted) <= 2 * hosts
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("name", ["standalone", "sentinel", "cluster"])
async def test_options_of_redis_py_pass_through(places, name, do):
    """Those of pools and connections, and what stands in the URL before what does not."""
    place = getattr(places, name)()
    options = {"client_name": "worker", "max_connections": 3, "health_check_interval": 7}
    url = f"{place.url}?socket_timeout=1.25"
    async with RedisMemory.from_url(url, socket_timeout=9, **options) as memory:
        await do(memory.history("support", "alice", "s1"), "add_messages", [HumanMessage("hello")])
        names = {client["name"] for server in place.servers for client in server.client_list()}
        assert "worker" in names
        for group in await pools(memory):
            assert group[0].max_connections == 3
            assert group[0].connection_kwargs["health_check_interval"] == 7
            assert group[0].connection_kwargs["socket_timeout"] == 1.25
    place.flush()


@pytest.mark.redis_server
@pytest.mark.parametrize("name", ["tls", "tls_sentinel", "tls_cluster"])
async def test_options_of_tls_pass_through(places, certificates, name, do):
    """A server that speaks only TLS 1.3 is not reached with 1.2 as the latest, and so on."""
    place = getattr(places, name)()
    options = {"ssl_min_version": ssl.TLSVersion.TLSv1_3, "ssl_ciphers": "ECDHE+AESGCM"}
    async with place.memory(**options) as memory:
        assert await do(memory, "ping")
        for group in await pools(memory):
            for pool in group:
                assert pool.connection_kwargs["ssl_ciphers"] == "ECDHE+AESGCM"
                assert pool.connection_kwargs["ssl_min_version"] == ssl.TLSVersion.TLSv1_3


# Forks


FORKS = """
import asyncio, os, sys
from langchain_redis_memory import RedisMemory
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.requests import layout_of

memory = RedisMemory.from_url(sys.argv[1])
history = memory.history("support", "alice", "forks")

def first(layout):
    return min(layout.nodes, key=lambda node: getattr(node, "name", ""))

def own_connections():
    node = first(layout_of(memory._connection.client))
    ask = Operation("asking", (("CLIENT ID",),), lambda replies: replies[0], node=node)
    async def in_a_loop():
        await memory.aping()
        node = first(layout_of((await memory._connection._client_of_loop()).executor.client))
        ask = Operation("asking", (("CLIENT ID",),), lambda replies: replies[0], node=node)
        return await memory._connection.arun(ask)
    return {memory._connection.run(ask), asyncio.run(in_a_loop())}

def work(name):
    for number in range(10):
        history.add_user_message(f"{name} {number}")
        asyncio.run(history.aadd_messages(history.messages[-1:]))

mine = own_connections()
children = []
for name in "abc":
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, b"ok" if not own_connections() & mine else b"shared")
        work(name)
        os._exit(0)
    os.close(write)
    children.append((child, read))
work("parent")
for child, read in children:
    assert os.read(read, 100) == b"ok"
    os.close(read)
    assert os.waitpid(child, 0)[1] == 0
assert own_connections() & mine
assert history.count() == 80, history.count()
memory.close()
"""


@pytest.mark.parametrize("name", ["standalone", "sentinel", "cluster"])
def test_a_forked_worker_opens_connections_of_its_own(places, name):
    """Parent and children work at the same time, and no reply goes astray."""
    place = getattr(places, name)()
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", FORKS, place.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    place.flush()
