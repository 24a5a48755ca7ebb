"""RedisChatMessageHistory: what is stored, how long, and beside langchain-community's class."""

from __future__ import annotations

import inspect
import json
import math
import re
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core._api import LangChainDeprecationWarning
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_redis_memory import (
    ConfigurationError,
    CorruptedDataError,
    RedisChatMessageHistory,
    RedisMemory,
    StorageRejected,
    UnstorableError,
)
from langchain_redis_memory.conversation import append, new_token
from langchain_redis_memory.limits import SEVEN_DAYS, Limits

Community = RedisChatMessageHistory.__mro__[1]
KEY = "agent:memory:support:alice:s1"
INDEX = "agent:memory:support:alice:sessions"
TWINS = pytest.mark.parametrize("twin", ["", "a"], ids=["sync", "async"])


async def ask(history, twin, name, *arguments, **options):
    """Use a method of the history, or its async twin."""
    if twin:
        return await getattr(history, {"messages": "aget_messages"}.get(name, f"a{name}"))(
            *arguments, **options
        )
    found = getattr(history, name)
    return found if name == "messages" else found(*arguments, **options)


@pytest.fixture
def history(memory):
    return memory.history("support", "alice", "s1")


@pytest.fixture
def old(server):
    """A history of langchain-community, on the key that ours has in these tests."""
    history = Community("s1", server.url)
    yield history
    history.redis_client.close()


@pytest.fixture
def new(server):
    return RedisChatMessageHistory("s1", server.url)


def talk(length=2):
    return [(HumanMessage if i % 2 == 0 else AIMessage)(f"{i}") for i in range(length)]


WORK = [
    SystemMessage("Be brief.", id="0"),
    HumanMessage([{"type": "text", "text": "Wo ist 😀?"}], name="alice"),
    AIMessage(
        "",
        tool_calls=[{"name": "find", "args": {"n": 2**80, "x": [None, 0.1]}, "id": "1"}],
        invalid_tool_calls=[{"name": "find", "args": "{", "id": "2", "error": "cut off"}],
        usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
        response_metadata={"model": "m", "logprobs": [-math.inf]},
    ),
    ToolMessage("da", tool_call_id="1", artifact={"rows": [1]}, status="error"),
    FunctionMessage("7", name="f"),
    ChatMessage("aha", role="critic"),
    AIMessageChunk("a piece", chunk_position="last"),
    AIMessage("Da.", own_field={"deep": ["\ud800"]}),
]


# What it does


@TWINS
async def test_messages_are_stored_in_order_and_come_back_equal(history, twin):
    """One by one or together, by the method of LangChain's choice, in both flavours."""
    assert await ask(history, twin, "messages") == []
    await ask(history, twin, "add_messages", WORK)
    assert await ask(history, twin, "messages") == WORK
    assert await ask(history, twin, "count") == len(WORK)
    history.add_user_message("hi")
    history.add_ai_message("hello")
    history.add_user_message(HumanMessage("again", id="7"))
    history.add_message(AIMessage("yes"))
    said = [HumanMessage("hi"), AIMessage("hello"), HumanMessage("again", id="7"), AIMessage("yes")]
    assert await ask(history, twin, "messages") == WORK + said
    await ask(history, twin, "clear")
    assert await ask(history, twin, "messages") == []
    assert await ask(history, twin, "count") == 0


@TWINS
async def test_each_request_is_one_round_trip(memory, server, history, twin):
    """A read and a write are a trip each; an append of nothing is none."""
    await ask(history, twin, "add_messages", talk())
    await ask(history, twin, "messages")
    trips, requests = memory.round_trips, server.trips()
    await ask(history, twin, "add_messages", [])
    assert memory.round_trips == trips
    await ask(history, twin, "add_messages", talk())
    await ask(history, twin, "messages")
    await ask(history, twin, "count")
    await ask(history, twin, "clear")
    assert memory.round_trips - trips == 4
    assert server.trips() - requests == 4 + 1  # and the question itself


def test_the_size_of_messages_and_of_batches_is_no_matter(history):
    """Five thousand messages go into one append, in order; so do some of a megabyte."""
    many = talk(5_000)
    history.add_messages(many)
    large = [
        HumanMessage("é" * 2**19),
        AIMessage("\ud800" + "x" * 2**20),
        HumanMessage("😀" * 2**18),
    ]
    history.add_messages(large)
    assert history.messages == many + large


def test_appends_of_many_threads_stand_whole(memory, history):
    """Batches never mix, and none is lost or doubled."""

    def add(worker):
        for number in range(20):
            batch = [HumanMessage(f"{worker} {number} {part}") for part in range(4)]
            memory.history("support", "alice", "s1").add_messages(batch)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
    words = [message.content.split() for message in history.messages]
    batches = [words[i : i + 4] for i in range(0, len(words), 4)]
    assert len(batches) == 160
    for batch in batches:
        assert [part for _, _, part in batch] == ["0", "1", "2", "3"]
        assert len({(worker, number) for worker, number, _ in batch}) == 1
    for worker in "01234567":
        mine = [int(batch[0][1]) for batch in batches if batch[0][0] == worker]
        assert mine == list(range(20))


@TWINS
async def test_a_batch_with_a_bad_message_stores_none_of_it(history, server, twin):
    """Refused before anything is sent, wherever in the batch it stands."""
    await ask(history, twin, "add_messages", talk())
    bad = ToolMessage("x", tool_call_id="1", artifact={"file": b"..."})
    for batch in ([bad], [*talk(), bad], [bad, *talk()], [*talk(3000), bad, *talk()]):
        commands = server.client.info("stats")["total_commands_processed"]
        with pytest.raises(UnstorableError, match=r"artifact\['file'\] cannot be stored"):
            await ask(history, twin, "add_messages", batch)
        assert server.client.info("stats")["total_commands_processed"] == commands + 1
    with pytest.raises(UnstorableError, match=r"^messages\[0\]\.artifact\['file'\]"):
        history.add_message(bad)
    assert history.messages == talk()


def test_messages_cannot_be_assigned(history):
    """The error says what to do instead."""
    history.add_messages(talk())
    with pytest.raises(NotImplementedError, match="use add_messages, or clear first"):
        history.messages = []
    assert history.messages == talk()


def test_it_shows_its_key_and_no_message(history, server):
    """`repr` has the key; reading it asks nothing of the server."""
    history.add_message(HumanMessage("SECRET"))
    assert repr(history) == f"RedisChatMessageHistory('{KEY}')"
    assert (history.key, history.session_id) == (KEY, "s1")
    assert history.key_prefix + history.session_id == KEY
    assert history.redis_client.llen(history.key) == 1


# Exactly once


@TWINS
async def test_a_repeated_append_adds_nothing(memory, history, twin):
    """Its token is found however much was added since, and although the batch was trimmed."""
    token, batch = new_token(), talk(10)
    await ask(history, twin, "add_messages", batch, token=token)
    await ask(history, twin, "add_messages", batch, token=token)
    assert history.messages == batch
    others = [HumanMessage("other")] * 2_000
    history.add_messages(others)
    await ask(history, twin, "add_messages", batch, token=token)
    assert history.messages == batch + others
    await ask(history, twin, "add_messages", batch, token=new_token())
    assert history.count() == 2_020


@TWINS
async def test_a_repeated_append_larger_than_what_is_kept_adds_nothing(memory, twin):
    """The beginning of the batch was trimmed away at once; its end still tells."""
    history = memory.history("support", "alice", "s1", max_messages=4)
    token = new_token()
    await ask(history, twin, "add_messages", talk(10), token=token)
    history.add_messages([HumanMessage("other"), AIMessage("other")])
    await ask(history, twin, "add_messages", talk(10), token=token)
    assert [message.content for message in history.messages] == ["8", "9", "other", "other"]


@TWINS
async def test_an_append_that_redis_applied_twice_is_stored_once(memory, server, history, twin):
    """The whole operation may be sent again after a broken connection, also past other appends."""
    conversation = history.conversation
    token = new_token()
    append = getattr(conversation, f"{twin}append")
    outcomes = []
    for _ in range(3):
        stored = append(talk(1500), token)
        outcomes.append(await stored if twin else stored)
        memory.history("support", "alice", "s1").add_messages([HumanMessage("other")] * 100)
    assert outcomes == [True, False, False]
    assert history.count() == 1500 + 300


@pytest.mark.parametrize("token", ["", "x", "0" * 31, "0" * 33, "0" * 31 + '"', "A" * 32])
def test_what_is_no_token_is_refused(history, token):
    """A token stands at the beginning of what is stored, so it must be one of ours."""
    with pytest.raises(ConfigurationError, match="token must be one that a TurnNotSavedError"):
        history.add_messages(talk(), token=token)
    assert history.count() == 0


# Beside langchain-community's class


def test_it_is_langchain_communitys_class_with_the_same_arguments(server, new):
    """A subclass: `isinstance` holds, and every argument has its place and its name."""
    assert isinstance(new, Community)
    assert isinstance(new, BaseChatMessageHistory)
    ours = inspect.signature(RedisChatMessageHistory).parameters
    theirs = inspect.signature(Community).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert {name: ours[name].default for name in theirs} == {
        name: parameter.default for name, parameter in theirs.items()
    }
    assert all(ours[name].kind is ours[name].KEYWORD_ONLY for name in set(ours) - set(theirs))
    history = RedisChatMessageHistory("s2", server.url, "chat:", 60)
    assert (history.session_id, history.key_prefix, history.ttl) == ("s2", "chat:", 60)
    history.add_user_message("hi")
    assert 59_000 < server.client.pttl("chat:s2") <= 60_000


def test_each_reads_what_the_other_wrote(server, old, new):
    """On one key, message by message, in any order of writers."""
    storable = [message for message in WORK if not isinstance(message, AIMessageChunk)]
    expected = []
    for number, message in enumerate(storable * 2):
        (old if number % 2 else new).add_message(message)
        expected.append(message)
        assert old.messages == new.messages == expected
    assert old.key == new.key == "message_store:s1"
    assert new.count() == len(expected)
    old.clear()
    assert new.messages == []
    old.add_messages(talk(6))
    assert RedisChatMessageHistory("s1", server.url, window=3).messages == talk(6)[-2:]
    new.clear()
    assert old.messages == []


def test_what_is_stored_is_langchains_form(old, new, server):
    """Byte by byte: langchain-community's elements stay as they are, ours differ by one key."""
    old.add_message(HumanMessage("é"))
    written = server.client.lrange(old.key, 0, -1)
    new.add_message(HumanMessage("é"))
    ours, theirs = map(json.loads, server.client.lrange(old.key, 0, -1))
    assert server.client.lrange(old.key, 1, -1) == written
    assert re.fullmatch("[0-9a-f]{32}", ours.pop("append"))
    assert ours == theirs


@pytest.mark.parametrize("prefix", ["", "a b:*?[x]{y}\\%", "日本:\n\t\x00", "x" * 5_000])
def test_any_prefix_is_taken_as_it_stands(server, prefix):
    """The drop-in names keys as langchain-community's class does, without escapes."""
    ours = RedisChatMessageHistory("s:1*", server.url, prefix)
    ours.add_user_message("hi")
    assert server.client.keys() == [f"{prefix}s:1*".encode()]
    assert ours.key == ours.key_prefix + ours.session_id == f"{prefix}s:1*"
    theirs = Community("s:1*", server.url, prefix)
    assert theirs.messages == ours.messages
    theirs.redis_client.close()
    ours.clear()
    assert server.client.keys() == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"session_id": ""}, "session_id must be a string that is not empty, not ''"),
        ({"session_id": None}, "session_id must be a string that is not empty, not None"),
        ({"session_id": 7}, "session_id must be a string that is not empty, not 7"),
        ({"session_id": "\ud800"}, "session_id .* is not text that UTF-8 can hold"),
        ({"key_prefix": None}, "key_prefix must be a string"),
        ({"key_prefix": b"x"}, "key_prefix must be a string"),
        ({"url": "http://localhost"}, "scheme must be one of redis://, rediss://, unix://"),
        ({"url": None}, "the URL must be a string, not NoneType"),
        ({"url": ["x"]}, "the URL must be a string, not list"),
        ({"window": 0}, "window must be a whole number"),
        ({"max_messages": True}, "max_messages must be a whole number"),
    ],
)
def test_wrong_arguments_are_refused_by_name(server, arguments, reason):
    """Before anything connects."""
    connections = server.connections()
    with pytest.raises(ConfigurationError, match=reason):
        RedisChatMessageHistory(**{"session_id": "s1", "url": server.url, **arguments})
    assert server.connections() == connections


def test_histories_with_one_url_share_one_connection(server):
    """A web application makes a history for every request; the server sees one client."""
    before = server.connections()
    one, other = f"{server.url}?db=7", f"{server.url}?db=8"
    for number in range(50):
        history = RedisChatMessageHistory(f"{number % 5}", one)
        history.add_user_message("hi")
        assert history.count() == number // 5 + 1
    assert server.connections() - before == 1
    assert RedisChatMessageHistory("0", other).messages == []
    assert server.connections() - before == 2
    assert RedisChatMessageHistory("9", one).redis_client is history.redis_client


async def test_the_drop_in_is_async_without_threads(new, old, server):
    """langchain-community's async methods run its sync ones in threads; ours are native."""
    await new.aadd_messages(talk())
    assert await new.aget_messages() == await old.aget_messages() == talk()
    await new.aclear()
    assert await new.acount() == 0
    assert (await new.atime_to_live()) is None


def test_langchains_older_memory_takes_it(history):
    """ConversationBufferMemory stores and loads through it."""
    from langchain_classic.memory import ConversationBufferMemory

    with pytest.warns(LangChainDeprecationWarning):
        memory = ConversationBufferMemory(chat_memory=history, return_messages=True)
    memory.save_context({"input": "My name is Alice."}, {"output": "Hello, Alice."})
    said = [HumanMessage("My name is Alice."), AIMessage("Hello, Alice.")]
    assert memory.load_memory_variables({}) == {"history": said}
    assert history.messages == said
    assert str(history) == "Human: My name is Alice.\nAI: Hello, Alice."
    memory.clear()
    assert history.count() == 0


QUIET = """
from langchain_redis_memory.history import RedisChatMessageHistory
from langchain_redis_memory import RedisMemory
history = RedisChatMessageHistory("s1")
factory = RedisMemory.from_url("redis://localhost").history_factory("agent")
"""
LOUD = """
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
RunnableWithMessageHistory(RunnableLambda(str), factory)  # LangChain prints it in any case
"""
DIRECT = """
import sys
try:
    import langchain_community
except DeprecationWarning as warning:
    sys.stderr.write(str(warning))
"""


@pytest.mark.parametrize(
    ("code", "warned"),
    [
        (QUIET, ""),
        (QUIET + LOUD, "RunnableWithMessageHistory is deprecated"),
        (DIRECT + QUIET, "`langchain-community` is being sunset"),
    ],
)
def test_only_what_the_user_does_warns(code, warned):
    """Ours silences what it causes itself, and leaves every filter as it was."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert warned in done.stderr
    assert bool(warned) == bool(done.stderr)


# Time to live


@TWINS
async def test_reads_and_writes_put_off_the_expiry(history, server, twin):
    """Seven days from the last of them, by default; counting is no use of a conversation."""
    week = SEVEN_DAYS * 1000
    for use in (("add_messages", talk()), ("messages",)):
        await ask(history, twin, *use)
        assert week - 10_000 < server.client.pttl(KEY) <= week
        assert week - 10_000 < server.client.pttl(INDEX) <= week
        server.client.pexpire(KEY, 100_000)
        server.client.pexpire(INDEX, 100_000)
        await ask(history, twin, "count")
        assert 99 < await ask(history, twin, "time_to_live") <= 100
    assert history.ttl == SEVEN_DAYS


@TWINS
async def test_without_a_time_to_live_nothing_expires(memory, server, twin):
    """A write makes a conversation last that would have expired; a read leaves it as it is."""
    lasting = memory.history("support", "alice", "s1", ttl=None)
    await ask(lasting, twin, "add_messages", talk())
    assert server.client.pttl(KEY) == server.client.pttl(INDEX) == -1
    server.client.pexpire(KEY, 100_000)
    server.client.pexpire(INDEX, 100_000)
    await ask(lasting, twin, "messages")
    assert 0 < server.client.pttl(KEY) <= 100_000
    await ask(lasting, twin, "add_messages", talk())
    assert await ask(lasting, twin, "time_to_live") is None
    assert server.client.pttl(INDEX) == -1


def test_the_drop_in_lasts_unless_told_otherwise(server, new):
    """langchain-community's default is no expiry; a window's read puts it off as any other."""
    new.add_messages(talk())
    assert server.client.pttl(new.key) == -1
    brief = RedisChatMessageHistory("s1", server.url, ttl=0.5, window=1)
    assert brief.messages == talk()
    assert 0 < server.client.pttl(new.key) <= 500
    server.client.pexpire(new.key, 1)
    time.sleep(0.01)
    assert brief.messages == new.messages == []
    assert server.client.keys() == []


@pytest.mark.parametrize(
    "ttl",
    [
        *(0, -1, 0.0, -0.5, 1e-9, "x", "60", b"1", True, False, math.nan, math.inf, -math.inf),
        *(10**400, 101 * 366 * 24 * 3600, timedelta(days=1), [60]),
    ],
    ids=repr,
)
def test_what_is_no_time_to_live_is_refused(memory, server, ttl):
    """At once, wherever it is said, with what it must be."""
    for make in (
        lambda: Limits(ttl=ttl),
        lambda: memory.history("a", "u", "s", ttl=ttl),
        lambda: RedisChatMessageHistory("s1", server.url, ttl=ttl),
        lambda: RedisMemory.from_url(server.url, ttl=ttl),
    ):
        with pytest.raises(ConfigurationError, match="ttl must be a positive number of seconds"):
            make()


# Keys


def test_every_key_has_its_name_and_its_type(memory, server):
    """The names are a promise: operators look at them, and access rules list them."""
    memory.history("support", "alice", "s1").add_messages(talk())
    memory.history("support", "alice", "sessions").add_messages(talk())
    memory.history("a:b", "*", "{x}\n").add_messages(talk())
    with RedisMemory.from_url(server.url, namespace="acme:test") as other:
        other.history("support", "alice", "s1").add_messages(talk())
    RedisChatMessageHistory("s1", server.url).add_messages(talk())
    every = server.client.keys()
    found = {key.decode(): server.client.type(key).decode() for key in every}
    assert found == {
        "agent:memory:support:alice:s1": "list",
        "agent:memory:support:alice:%73essions": "list",
        "agent:memory:support:alice:sessions": "zset",
        "agent:memory:a%3Ab:%2A:%7Bx%7D%0A": "list",
        "agent:memory:a%3Ab:%2A:sessions": "zset",
        "acme:test:memory:support:alice:s1": "list",
        "acme:test:memory:support:alice:sessions": "zset",
        "message_store:s1": "list",
    }
    assert set(server.client.zrange(INDEX, 0, -1)) == {b"s1", b"%73essions"}


def test_nobody_reads_or_clears_anothers_messages(memory, server):
    """Whatever ids look like, each owner has what was given to that owner, and nothing else."""
    parts = st.text(st.sampled_from("ab:*%?[]{}2A \n"), min_size=1, max_size=3)
    owners = st.tuples(*[parts | st.sampled_from(["sessions", "profile", "s1", "s10"])] * 3)

    @settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sets(owners, min_size=2, max_size=6))
    def check(found):
        server.client.flushall()
        for owner in found:
            memory.history(*owner).add_message(HumanMessage(repr(owner)))
        for owner in found:
            assert [m.content for m in memory.history(*owner).messages] == [repr(owner)]
        gone = found.pop()
        memory.history(*gone).clear()
        assert memory.history(*gone).messages == []
        for owner in found:
            assert memory.history(*owner).count() == 1
        assert len(server.client.keys("agent:*")) == len(found) + len({o[:2] for o in found})

    check()


def test_the_index_has_each_session_by_its_last_activity(memory, server):
    """In milliseconds of the server's clock; a session that is cleared leaves it."""
    before = time.time() * 1000 - 5_000
    for session in ("s1", "s2", "a:b", "s1"):
        memory.history("support", "alice", session).add_messages(talk())
        time.sleep(0.002)
    index = server.client.zrange(INDEX, 0, -1, withscores=True)
    assert [member for member, _ in index] == [b"s2", b"a%3Ab", b"s1"]
    assert all(before < score < before + 60_000 and score % 1 == 0 for _, score in index)
    memory.history("support", "alice", "a:b").clear()
    memory.history("support", "alice", "never there").clear()
    assert server.client.zrange(INDEX, 0, -1) == [b"s2", b"s1"]
    memory.history("support", "alice", "s1").clear()
    memory.history("support", "alice", "s2").clear()
    assert server.client.keys() == []


def test_the_index_lives_as_long_as_its_longest_session(memory, server):
    """A shorter session does not shorten it, and a read lengthens it as a write does."""

    def left():
        return server.client.pttl(INDEX)

    def chat(session, ttl):
        return memory.history("support", "alice", session, ttl=ttl)

    chat("short", 100).add_messages(talk())
    assert 99_000 < left() <= 100_000
    chat("long", 1000).add_messages(talk())
    chat("short", 100).add_messages(talk())
    assert chat("short", 100).messages == talk(2) * 2
    assert 999_000 < left() <= 1_000_000
    server.client.pexpire(INDEX, 100_000)
    assert chat("long", 1000).messages == talk()
    assert 999_000 < left() <= 1_000_000
    chat("for ever", None).add_messages(talk())
    chat("long", 1000).add_messages(talk())
    assert left() == -1


@TWINS
async def test_reading_what_is_not_there_makes_nothing(history, server, twin):
    """No key, no member of an index; and there is no time to live to tell."""
    assert await ask(history, twin, "messages") == []
    assert await ask(history, twin, "time_to_live") is None
    await ask(history, twin, "clear")
    assert server.client.keys() == []


# Damage


@TWINS
async def test_a_key_of_another_type_is_told(history, server, twin):
    """With its name and how to clear it, from every method."""
    server.client.set(KEY, "SECRET")
    for use in (("messages",), ("add_messages", talk()), ("count",)):
        with pytest.raises(StorageRejected) as caught:
            await ask(history, twin, *use)
        assert f"the key {KEY!r} holds another type" in str(caught.value)
        assert "UNLINK" in str(caught.value)
        assert "SECRET" not in str(caught.value)
    assert server.client.get(KEY) == b"SECRET"
    await ask(history, twin, "clear")
    await ask(history, twin, "add_messages", talk())
    assert await ask(history, twin, "messages") == talk()


@TWINS
async def test_a_damaged_element_is_told_and_nothing_is_skipped(history, server, twin):
    """The error has key and position, with which LINDEX finds it, and quotes nothing stored."""
    history.add_messages(talk(6))
    server.client.lset(KEY, 4, '{"type": "human", "data": {"content": {"SECRET": 1}}}')
    with pytest.raises(CorruptedDataError) as caught:
        await ask(history, twin, "messages")
    error = caught.value
    assert (error.key, error.position) == (KEY, 4)
    assert f"LINDEX {KEY!r} 4" in str(error)
    assert "SECRET" not in "".join(traceback.format_exception(error))
    assert history.count() == 6
    history.add_messages(talk())
    assert history.count() == 8


def test_reading_a_key_of_another_type_changes_nothing(memory, server):
    """Somebody's text does not begin to expire because a history was pointed at it."""
    server.client.set("message_store:x", "precious")
    for options in ({}, {"window": 3}):
        history = RedisChatMessageHistory("x", url=server.url, ttl=60, **options)
        with pytest.raises(StorageRejected, match="another type"):
            _ = history.messages
    assert server.client.ttl("message_store:x") == -1
    assert server.client.get("message_store:x") == b"precious"


def test_a_token_is_known_again_whatever_became_of_the_messages(memory):
    """A turn kept by the caller as JSON, in another order of keys, is stored once."""
    history = memory.history("support", "alice", "s1")
    token = new_token()
    messages = [HumanMessage("hi", additional_kwargs={"b": 1, "a": 2}), AIMessage("yo")]
    history.add_messages(messages, token=token)
    history.add_messages([AIMessage(str(i)) for i in range(1200)])
    again = [HumanMessage("hi", additional_kwargs={"a": 2, "b": 1}), AIMessage("yo", id="late")]
    history.add_messages(again, token=token)
    assert history.count() == 1202


def test_a_repeat_after_many_others_is_found(memory):
    """What an operation sends after a lost reply looks through the whole conversation."""
    conversation = memory.conversation("support", "alice", "s1")
    operation = append(conversation.key, [HumanMessage("once")], conversation.limits)
    connection = conversation.connection
    assert connection.run(operation) is True
    conversation.append([AIMessage(str(i)) for i in range(700)])
    assert connection.run(operation.repeated()) is False
    assert conversation.count() == 701


def test_a_single_message_in_place_of_a_list_is_refused(memory):
    """The error says what to pass."""
    with pytest.raises(ConfigurationError, match="a list of messages, not HumanMessage"):
        memory.history("support", "alice", "s1").add_messages(HumanMessage("hi"))
