"""Export and import: what was written comes back, once, or the file is refused."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import stat
import traceback
from datetime import UTC, datetime

import pytest
from followed import conversations, kill_after, repeat_each, watch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from places import FEW
from test_codec import equal

from conftest import IN_CI, SHARED_DATA
from langchain_redis_memory import (
    ConfigurationError,
    CorruptedDataError,
    ImportConflictError,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
    Transfer,
    UnstorableError,
)
from langchain_redis_memory.moving import restoring
from langchain_redis_memory.samples import load_conversations
from langchain_redis_memory.storage.exact import encode_value
from langchain_redis_memory.values import set_all

ODD = ["s1", "s10", "a:b", "*", "{x}", "profile", "sessions", "execution_cache", "é🙂", "\ud800\n"]
CALL = {"name": "look", "args": {"at": 2**70, "ratio": math.nan}, "id": "c1"}
TALK = [
    SystemMessage("Be kind."),
    HumanMessage("Where is it? \u2028\x00\ud800", id="m1"),
    AIMessage("", tool_calls=[CALL]),
    ToolMessage("found", tool_call_id="c1", artifact={"rows": [1.0, 1, -0.0]}),
    AIMessage("Here 🙂", response_metadata={"model": "m"}),
]
PROFILE = {"language": "Python", "height": 1.0, "n": 2**70, "🙂": ["é", None, True, "\ud800"]}


def say(memory, session="s1", messages=TALK, *, user="alice", agent="support", **limits):
    memory.history(agent, user, session, **limits).add_messages(messages)


def read(memory, session="s1", *, user="alice", agent="support"):
    return memory.history(agent, user, session).messages


def remember(memory, user="alice", agent=None, profile=PROFILE):
    key = memory._keys.profile(user, agent)
    memory._connection.run(set_all([(key, encode_value(profile, "profile"))], None))


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def everything(client):
    """All that a server or a cluster holds, but for when it expires."""
    found = {}
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        if kind == b"list":
            found[key] = client.lrange(key, 0, -1)
        elif kind == b"zset":
            found[key] = client.zrange(key, 0, -1, withscores=True)
        else:
            found[key] = client.get(key)
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "memory.jsonl"


@pytest.fixture
def exported(memory, server, path):
    """A file with two conversations and a profile, and a server that holds nothing."""
    say(memory)
    say(memory, "s2", [HumanMessage("SECRET words")])
    remember(memory)
    memory.export(path)
    server.client.flushall()
    return path


# What comes back


@FEW
async def test_what_was_exported_is_restored_equal(place, do, path):
    """Byte by byte, with odd ids, as often as it is imported."""
    async with place.memory() as memory:
        for session in ODD:
            say(memory, session)
            say(memory, user=session)
            remember(memory, session)
            remember(memory, session, "support")
        say(memory, "never", ttl=None)
        before = everything(place.client)
        counts = {"sessions": 21, "messages": 105, "profiles": 20}
        assert await do(memory, "export", path) == Transfer(**counts)
        place.flush()
        assert await do(memory, "import_", path) == Transfer(**counts)
        assert everything(place.client) == before
        assert await do(memory, "import_", path) == Transfer(unchanged=41)
        assert everything(place.client) == before
        again = path.with_name("again.jsonl")
        await do(memory, "export", again)
        assert sorted(map(str, map(lasting, lines(again)))) == sorted(
            map(str, map(lasting, lines(path)))
        )


def lasting(line):
    return {name: value for name, value in line.items() if name not in ("ttl", "exported")}


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(conversations(), st.text(min_size=1, max_size=4))
def test_any_conversation_comes_back_equal(memory, server, path, messages, session):
    """Whatever its messages hold, and whatever it is called."""
    server.client.flushall()
    try:
        say(memory, session, messages)
    except UnstorableError:
        return
    before = everything(server.client)
    memory.export(path)
    server.client.flushall()
    assert memory.import_(path).messages == len(messages)
    assert everything(server.client) == before
    assert all(map(equal, read(memory, session), messages))
    assert memory.import_(path) == Transfer(unchanged=1)


@pytest.mark.shared_data
async def test_the_recorded_conversations_come_back_equal(memory, do, server, path):
    """All 150, through a file."""
    if not SHARED_DATA.exists():
        assert not IN_CI, f"{SHARED_DATA} is missing"
        pytest.skip(f"{SHARED_DATA} is missing: the recorded conversations are not tested")
    conversations = load_conversations(SHARED_DATA)
    for name, messages in conversations.items():
        say(memory, name, messages)
    exported = await do(memory, "export", path)
    assert exported == Transfer(sessions=150, messages=3916)
    server.client.flushall()
    assert await do(memory, "import_", path) == exported
    for name, messages in conversations.items():
        assert read(memory, name) == messages
    assert await do(memory, "import_", path) == Transfer(unchanged=150)


async def test_what_langchain_community_wrote_stays_as_it_is(memory, server, do, path):
    """Elements without a token, and such as only the standard library wrote."""
    key = "agent:memory:support:alice:old"
    elements = [
        b'{"type": "human", "data": {"content": "Hi \\ud800", "more": Infinity, "type": "human"}}',
        b'{"append": "ab", "type": "ai", "data": {"content": "N", "n": NaN, "type": "ai"}}',
    ]
    server.client.lpush(key, *elements)
    await do(memory, "export", path)
    server.client.flushall()
    await do(memory, "import_", path)
    assert server.client.lrange(key, 0, -1) == elements[::-1]
    assert server.client.zscore("agent:memory:support:alice:sessions", "old")


@pytest.mark.parametrize("size", [999, 2501, 20_000])
async def test_a_long_conversation_comes_back(memory, do, path, size):
    """In more than one request."""
    messages = [HumanMessage(str(number)) for number in range(size)]
    say(memory, messages=messages)
    await do(memory, "export", path)
    memory.history("support", "alice", "s1").clear()
    before = memory.round_trips
    await do(memory, "import_", path)
    assert memory.round_trips - before >= 1 + size / 1000
    assert read(memory) == messages


def test_large_messages_are_sent_a_few_at_a_time(memory, path):
    """A request is not much larger than its largest message, or 4 MB."""
    say(memory, messages=[HumanMessage("x" * 3_000_000) for _ in range(3)])
    memory.export(path)
    memory.history("support", "alice", "s1").clear()
    before = memory.round_trips
    memory.import_(path)
    assert memory.round_trips - before >= 4
    assert len(read(memory)) == 3


# Which


@FEW
async def test_an_agent_and_a_user_may_be_chosen(place, do, path):
    """Theirs and nobody else's, however similar the ids are."""
    names = ["a", "a:a", "*", "a*", "memory"]
    async with place.memory() as memory:
        for agent in names:
            for user in names:
                say(memory, user=user, agent=agent)
                remember(memory, user, agent)
        for user in names:
            remember(memory, user)
        for agent in (None, *names):
            for user in (None, *names):
                done = await do(memory, "export", path, agent, user)
                found = lines(path)[1:-1]
                agents = {line["agent"] for line in found if line["type"] == "session"}
                users = {line["user"] for line in found}
                assert agents == ({agent} if agent else set(names))
                assert users == ({user} if user else set(names))
                of_all = sum(line["agent"] is None for line in found)
                assert of_all == (0 if agent else 1 if user else 5)
                assert len(found) == done.sessions + done.profiles
                pairs = (1 if agent else 5) * (1 if user else 5)
                assert done == Transfer(pairs, 5 * pairs, pairs + of_all)


async def test_only_conversations_and_profiles_are_exported(memory, server, do, path):
    """Not what applications and caches keep among them, and not another namespace."""
    say(memory)
    for key in (
        "agent:memory:support:alice:s1:draft",
        "agent:memory:support:execution_cache:0123",
        "agent:memory:support:alice:%73%31",  # no id is written like that
        "agent:memory:support:alice:",
        "agent:memory::alice:s1",
        "agent:memory:support:alice:%ff",
        "agent:store:files:x",
        "agent2:memory:support:alice:s1",
    ):
        server.client.set(key, "x")
    assert await do(memory, "export", path) == Transfer(sessions=1, messages=5)


def test_a_key_that_is_listed_twice_is_exported_once(memory, path):
    """SCAN may do that."""
    from langchain_redis_memory.moving.archive import _Export
    from langchain_redis_memory.moving.new_file import NewFile
    from langchain_redis_memory.storage.steps import follow

    say(memory)
    with NewFile(path) as file:
        export = _Export(memory._keys, file, None, None, None)
        for _ in range(2):
            follow(memory._connection, export.on([b"agent:memory:support:alice:s1"] * 2))
    assert export.written.sessions == 1


def test_what_expires_meanwhile_is_left_out(memory, server, path):
    """Between the listing of the keys and the reading."""
    say(memory)
    remember(memory)

    def expire(operation):
        if operation.name.startswith("exporting"):
            server.client.flushall()

    from langchain_redis_memory.moving.new_file import NewFile

    with NewFile(path) as file:
        steps = memory._exporting(file, None, None, None)
        assert watch(memory, steps, expire) == Transfer()
        file.finish()
    assert memory.import_(path) == Transfer()


# When it expires, when it was active


async def test_what_is_left_of_the_time_to_live_is_kept(memory, server, do, path):
    """From the import on; what is kept for ever stays so, and so does the index with it."""
    say(memory, "short", ttl=100)
    say(memory, "long", ttl=1000, user="bob")
    say(memory, "never", ttl=None, user="carol")
    remember(memory)
    server.client.pexpire("agent:profile:alice", 50_000)
    await do(memory, "export", path)
    server.client.flushall()
    await do(memory, "import_", path)
    left = {key: server.client.pttl(key) for key in server.client.scan_iter()}
    for user, session, expected in (("alice", "short", 100_000), ("bob", "long", 1_000_000)):
        for name in (session, "sessions"):
            key = f"agent:memory:support:{user}:{name}".encode()
            assert expected - 20_000 < left.pop(key) <= expected
    assert 30_000 < left.pop(b"agent:profile:alice") <= 50_000
    assert set(left.values()) == {-1}


@pytest.mark.parametrize(("ttl", "expected"), [(None, None), (5000, 5000), (10, 1000)])
async def test_no_life_is_shortened(memory, do, path, ttl, expected):
    """When a conversation that is partly there gets the rest."""
    say(memory, messages=TALK[:2], ttl=1000)
    await do(memory, "export", path)
    rewrite(path, lambda line: line | ({"ttl": 1000.0} if line["type"] == "session" else {}))
    say(memory, messages=TALK[2:], ttl=1000)
    longer = path.with_name("longer.jsonl")
    await do(memory, "export", longer)
    memory.history("support", "alice", "s1").clear()
    await do(memory, "import_", path)
    rewrite(longer, lambda line: line | ({"ttl": ttl} if line["type"] == "session" else {}))
    assert await do(memory, "import_", longer) == Transfer(sessions=1, messages=3)
    left = memory.history("support", "alice", "s1").time_to_live()
    assert left is None if expected is None else expected - 20 < left <= expected


async def test_sessions_keep_the_order_of_their_activity(memory, server, do, path):
    """A later activity that the index knows of stays; one that nobody knows of is now."""
    index = "agent:memory:support:alice:sessions"
    for session in ("one", "two", "three", "lost"):
        say(memory, session)
    scores = {"one": 1_000, "two": 1_763_000_000_123, "three": 5}
    server.client.zadd(index, scores)
    server.client.zrem(index, "lost")
    await do(memory, "export", path)
    told = {line["session"]: line["last_active"] for line in lines(path)[1:-1]}
    assert told["one"] == "1970-01-01T00:00:01.000+00:00"
    assert told["two"] == "2025-11-13T02:13:20.123+00:00"
    assert told["lost"] is None
    server.client.flushall()
    server.client.zadd(index, {"three": 7})
    for _ in range(2):
        await do(memory, "import_", path)
        found = {name.decode(): score for name, score in server.client.zscan_iter(index)}
        now = found.pop("lost")
        assert found == scores | {"three": 7}
        assert datetime.now(UTC).timestamp() * 1000 - 60_000 < now


@pytest.mark.parametrize("score", ["inf", "-inf", "1e300"])
async def test_a_time_that_is_none_is_no_activity(memory, server, do, path, score):
    """Another program may have written it."""
    say(memory)
    server.client.zadd("agent:memory:support:alice:sessions", {"s1": score})
    await do(memory, "export", path)
    assert lines(path)[1]["last_active"] is None


# What is there already


async def test_what_went_on_since_then_stays(memory, do, path):
    """An import adds nothing to a conversation that has its messages and more."""
    say(memory)
    await do(memory, "export", path)
    say(memory, messages=[HumanMessage("more")])
    assert await do(memory, "import_", path) == Transfer(unchanged=1)
    assert len(read(memory)) == 6


@pytest.mark.parametrize("there", range(1, 5))
async def test_what_is_missing_at_the_end_is_added(memory, server, do, path, there):
    """As after an import that was killed."""
    say(memory)
    before = everything(server.client)
    await do(memory, "export", path)
    server.client.ltrim("agent:memory:support:alice:s1", 5 - there, -1)
    assert await do(memory, "import_", path) == Transfer(sessions=1, messages=5 - there)
    assert everything(server.client) == before


@pytest.mark.parametrize(
    "other", [[HumanMessage("other")], TALK[1:], TALK[:1] + TALK[2:], TALK[:4] + TALK[:1]]
)
async def test_a_conflict_is_an_error_unless_said_otherwise(exported, memory, server, do, other):
    """The error names the conversation and what to do, and nothing of it was changed."""
    say(memory, messages=other)
    key = "agent:memory:support:alice:s1"
    before = server.client.lrange(key, 0, -1), server.client.pttl(key)
    with pytest.raises(ImportConflictError, match="on_conflict='skip'") as caught:
        await do(memory, "import_", exported)
    assert caught.value.key == key
    assert server.client.lrange(key, 0, -1) == before[0]
    assert server.client.pttl(key) <= before[1]
    done = await do(memory, "import_", exported, on_conflict="skip")
    assert done.skipped == 1
    assert all(map(equal, read(memory), other))
    done = await do(memory, "import_", exported, on_conflict="replace")
    assert done == Transfer(sessions=1, messages=5, unchanged=2)
    assert len(read(memory)) == 5
    assert all(map(equal, read(memory), TALK))


async def test_profiles_are_stored_once_too(exported, memory, server, do):
    """Equal in whatever form; else it is a conflict, as with conversations."""
    server.client.set("agent:profile:alice", json.dumps(PROFILE, indent=1))
    assert (await do(memory, "import_", exported)).unchanged == 1
    remember(memory, profile=PROFILE | {"height": 1})
    with pytest.raises(ImportConflictError) as caught:
        await do(memory, "import_", exported)
    assert caught.value.key == "agent:profile:alice"
    assert (await do(memory, "import_", exported, on_conflict="skip")).skipped == 1
    for other in (b"damaged", encode_value({}, "profile")):
        server.client.set("agent:profile:alice", other)
        done = await do(memory, "import_", exported, on_conflict="replace")
        assert done == Transfer(profiles=1, unchanged=2)
        assert server.client.get("agent:profile:alice") == encode_value(PROFILE, "profile")


async def test_messages_are_alike_whichever_append_stored_them(memory, server, do, path):
    """And whichever program wrote them; 1 is not 1.0, and NaN is NaN."""
    say(memory)
    await do(memory, "export", path)
    server.client.flushall()
    say(memory)
    assert await do(memory, "import_", path) == Transfer(unchanged=1)
    server.client.flushall()
    other = TALK[3].model_copy(update={"artifact": {"rows": [1, 1, -0.0]}})
    say(memory, messages=[*TALK[:3], other, TALK[4]])
    with pytest.raises(ImportConflictError):
        await do(memory, "import_", path)


# Interrupted


def say_other(memory, server):
    """Something longer, which the index does not know of, as it keeps the later activity."""
    say(memory, messages=[HumanMessage("other")] * 7)
    server.client.delete("agent:memory:support:alice:sessions")


def test_an_import_that_is_killed_is_completed_by_the_next(memory, server, path, monkeypatch):
    """After whichever request it was killed; nothing is stored twice."""
    monkeypatch.setattr(restoring, "_BATCH", 2)
    for session in ("s1", "s2"):
        say(memory, session)
    remember(memory)
    before = everything(server.client)
    memory.export(path)
    for replaced in (False, True):
        for count in range(100):
            server.client.flushall()
            if replaced:
                say_other(memory, server)
            with path.open("rb") as file:
                killed = kill_after(memory, memory._importing(file, "f", "replace", None), count)
            memory.import_(path, on_conflict="replace" if replaced else "error")
            assert everything(server.client) == before
            if not killed:
                break
        assert count > 8


@pytest.mark.parametrize("on_conflict", ["error", "replace"])
def test_lost_answers_do_no_harm(memory, server, path, monkeypatch, on_conflict):
    """Each request is applied, its answer is lost, and it is sent again."""
    monkeypatch.setattr(restoring, "_BATCH", 2)
    say(memory)
    remember(memory)
    before = everything(server.client)
    memory.export(path)
    server.client.flushall()
    if on_conflict == "replace":
        say_other(memory, server)
        remember(memory, profile={})
    with path.open("rb") as file:
        done = repeat_each(memory, memory._importing(file, "f", on_conflict, None))
    assert done == Transfer(sessions=1, messages=5, profiles=1)
    assert everything(server.client) == before


@pytest.mark.parametrize("on_conflict", ["error", "replace", "skip"])
def test_what_others_write_meanwhile_is_seen(memory, server, path, on_conflict):
    """Between the look at what is there and the writing."""
    say(memory)
    memory.export(path)
    server.client.flushall()
    others = iter([[HumanMessage("one")], [HumanMessage("two")]])

    def interfere(operation):
        if len(operation.commands) > 1 and (other := next(others, None)):
            say(memory, messages=other)

    with path.open("rb") as file:
        steps = memory._importing(file, "f", on_conflict, None)
        if on_conflict == "error":
            with pytest.raises(ImportConflictError):
                watch(memory, steps, interfere)
        else:
            watch(memory, steps, interfere)
    found = read(memory)
    if on_conflict == "replace":
        assert all(map(equal, found, TALK))
    else:
        assert [message.content for message in found] == ["one"]


def test_as_many_other_messages_are_seen_too(memory, server, path):
    """What is there is known by its newest message, and not by its length alone."""
    say(memory)
    memory.export(path)
    server.client.flushall()
    say(memory, messages=TALK[:2])
    other = [HumanMessage("one"), HumanMessage("two")]

    def interfere(operation):
        if len(operation.commands) > 1 and other:
            memory.history("support", "alice", "s1").clear()
            say(memory, messages=[other.pop(0), other.pop()])

    with path.open("rb") as file, pytest.raises(ImportConflictError):
        watch(memory, memory._importing(file, "f", "error", None), interfere)
    assert [message.content for message in read(memory)] == ["one", "two"]


def test_a_profile_that_others_write_meanwhile_is_seen(memory, server, path):
    """It is not overwritten."""
    remember(memory)
    memory.export(path)
    server.client.flushall()

    def interfere(operation):
        if operation.commands[0][0] == "SET":
            server.client.set("agent:profile:alice", "{}")

    with path.open("rb") as file, pytest.raises(ImportConflictError):
        watch(memory, memory._importing(file, "f", "error", None), interfere)
    assert server.client.get("agent:profile:alice") == b"{}"


# The file


async def test_the_file_is_for_its_owner_alone(exported, memory, do):
    """It holds people's words, also when it replaces one that everybody could read."""
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    exported.chmod(0o644)
    await do(memory, "export", exported)
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600


async def test_a_file_may_be_compressed(memory, do, tmp_path):
    """Its name says so; when it is read, its content does."""
    say(memory)
    packed, moved = tmp_path / "memory.jsonl.gz", tmp_path / "moved"
    await do(memory, "export", packed)
    with gzip.open(packed) as file:
        assert len(file.readlines()) == 3
    packed.rename(moved)
    assert await do(memory, "import_", str(moved)) == Transfer(unchanged=1)


async def test_a_symbolic_link_stays_one(memory, do, tmp_path):
    """The file that it leads to is replaced."""
    link, target = tmp_path / "latest.jsonl", tmp_path / "elsewhere" / "memory.jsonl"
    target.parent.mkdir()
    link.symlink_to(target)
    await do(memory, "export", link)
    assert link.is_symlink()
    assert await do(memory, "import_", link) == Transfer()
    assert [file.name for file in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("path", [".", "/dev/null"])
async def test_what_is_no_file_is_left_alone(memory, do, path):
    """A directory, or a device, which would be replaced by a file."""
    before = memory.round_trips
    with pytest.raises(ConfigurationError, match="is no file"):
        await do(memory, "export", path)
    assert memory.round_trips == before


async def test_a_path_that_leads_nowhere_is_told(memory, do, tmp_path):
    """By Python's own error."""
    with pytest.raises(FileNotFoundError):
        await do(memory, "export", tmp_path / "none" / "memory.jsonl")
    with pytest.raises(FileNotFoundError):
        await do(memory, "import_", tmp_path / "none")


class StopHereError(Exception):
    """Raised by the test."""


def stop_after(count):
    def progress(done):
        if done.sessions == count:
            raise StopHereError

    return progress


async def test_an_export_that_fails_leaves_the_earlier_file(exported, memory, do):
    """And nothing else beside it."""
    before = exported.read_bytes()
    for session in ("s1", "s2", "s3"):
        say(memory, session)
    with pytest.raises(StopHereError):
        await do(memory, "export", exported, progress=stop_after(2))
    with pytest.raises(StopHereError):
        await do(memory, "export", exported.with_suffix(".gz"), progress=stop_after(2))
    assert exported.read_bytes() == before
    assert list(exported.parent.iterdir()) == [exported]


async def test_an_export_during_which_the_server_dies_leaves_the_earlier_file(
    start_server, do, path
):
    """The error is the storage's."""
    path.write_text("earlier")
    server = start_server()
    policy = RetryPolicy(deadline=0.5)
    async with RedisMemory.from_url(server.url, retry=policy) as memory:
        for number in range(10):
            say(memory, str(number))
        with pytest.raises(StorageUnavailable):
            await do(memory, "export", path, progress=lambda _: server.kill())
    assert path.read_text() == "earlier"
    assert list(path.parent.iterdir()) == [path]


async def test_a_cancelled_export_leaves_the_earlier_file(server, exported):
    """And the memory usable."""
    before = exported.read_bytes()
    async with RedisMemory.from_url(server.url) as memory:
        for number in range(100):
            say(memory, str(number))
        started = asyncio.Event()
        task = asyncio.create_task(memory.aexport(exported, progress=lambda _: started.set()))
        await started.wait()
        while not task.done():
            task.cancel()  # Python 3.11's wait_for, within redis-py, may swallow one
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert exported.read_bytes() == before
        assert list(exported.parent.iterdir()) == [exported]
        assert (await memory.aexport(exported)).sessions == 100


async def test_damage_in_redis_is_told_with_its_place(exported, memory, server, do):
    """Never passed over, and never quoted."""
    before = exported.read_bytes()
    say(memory)
    for damaged in (b"SECRET", b'{"type": "human", "SECRET": 1}', b'{"append":"SECRET', b"[]"):
        server.client.lset("agent:memory:support:alice:s1", 3, damaged)
        with pytest.raises(CorruptedDataError) as caught:
            await do(memory, "export", exported)
        assert (caught.value.key, caught.value.position) == ("agent:memory:support:alice:s1", 3)
        assert_secret_is_kept(caught.value)
    server.client.flushall()
    server.client.set("agent:profile:alice", "SECRET")
    with pytest.raises(CorruptedDataError, match="agent:profile:alice") as caught:
        await do(memory, "export", exported)
    assert_secret_is_kept(caught.value)
    assert exported.read_bytes() == before


async def test_a_key_of_another_type_is_told(memory, server, do, path):
    """It stands where a conversation would, so nobody knows what it is."""
    server.client.set("agent:memory:support:alice:s1", "x")
    with pytest.raises(StorageRejected, match="another type"):
        await do(memory, "export", path)
    assert not path.exists()


def assert_secret_is_kept(error):
    while error is not None:
        told = "".join(traceback.format_exception(error)) + repr(vars(error))
        assert "SECRET" not in told
        error = error.__context__


# Files that are refused


def rewrite(path, change):
    """Change lines; None leaves a line out, bytes stand as they are."""
    changed = [change(line) for line in lines(path)]
    path.write_bytes(
        b"".join(
            (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n"
            for line in changed
            if line is not None
        )
    )


@pytest.fixture
def refused(exported, memory, server, do):
    """Imports the file, which is to be refused, and gives what the error tells."""

    async def check():
        with pytest.raises(ConfigurationError) as caught:
            await do(memory, "import_", exported)
        assert server.client.dbsize() == 0
        assert str(caught.value).startswith(f"{exported}, line ")
        assert_secret_is_kept(caught.value)
        return str(caught.value).removeprefix(f"{exported}, ")

    return check


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_cut_off_anywhere_is_refused(exported, memory, server, packed):
    """Also between two lines; nothing of it is restored."""
    whole = exported.read_bytes()
    whole = gzip.compress(whole) if packed else whole
    # Without the last line's end, or gzip's own check sum, all of it is there.
    for size in range(0, len(whole) - 1 - 8 * packed, 7):
        exported.write_bytes(whole[:size])
        with pytest.raises(ConfigurationError, match="line"):
            memory.import_(exported)
    assert server.client.dbsize() == 0


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_a_file_with_any_damage_is_refused_or_harmless(exported, memory, data):
    """A byte that was changed is told by our own error, or is part of some text."""
    whole = exported.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:position] + data.draw(st.binary(max_size=2)) + whole[position + 1 :]
    other = exported.with_name("damaged")
    other.write_bytes(damaged)
    try:
        memory.import_(other, on_conflict="replace")
    except ConfigurationError as error:
        assert str(error).startswith(f"{other}, line ")  # noqa: PT017 - either outcome is fine


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda line: b"SECRET", "line 1: it is no JSON object"),
        (lambda line: b'{"type": "SECRET"}', "line 1: the file is no export of"),
        (lambda line: line | {"format": "other"}, "line 1: the file is no export of"),
        (lambda line: line | {"version": 2}, "line 1: the file has version 2"),
        (lambda line: b"[]" if line["type"] == "profile" else line, "line 4: it is no JSON object"),
        (lambda line: b"" if line["type"] == "profile" else line, "line 4: it is no JSON object"),
        (lambda line: line | {"type": "SECRET"} if "agent" in line else line, "line 2: its type"),
        (lambda line: None if line["type"] == "profile" else line, "line 4: it counts other"),
        (lambda line: None if line["type"] == "end" else line, "line 4: the last line"),
        (lambda line: line | {"messages": 5} if line["type"] == "end" else line, "line 5: it coun"),
    ],
)
async def test_lines_that_cannot_be_are_refused(exported, refused, change, told):
    """With the number of the line and what is wrong, before anything is stored."""
    rewrite(exported, change)
    assert told in await refused()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"agent": None}, "agent must be a string"),
        ({"agent": ""}, "agent must not be empty"),
        ({"user": 5}, "user must be a string"),
        ({"session": ["SECRET"]}, "session must be a string"),
        ({"ttl": 0}, "ttl must be a positive"),
        ({"ttl": -1}, "ttl must be a positive"),
        ({"ttl": math.nan}, "ttl must be a positive"),
        ({"ttl": True}, "ttl must be a positive"),
        ({"ttl": "1"}, "ttl must be a positive"),
        ({"last_active": 5}, "last_active must be"),
        ({"last_active": "SECRET"}, "last_active must be"),
        ({"last_active": "2026-01-01T00:00:00"}, "last_active must be"),
        ({"messages": None}, "messages must be"),
        ({"messages": []}, "messages must be"),
        ({"messages": {"SECRET": 1}}, "messages must be"),
        ({"messages": ["SECRET"]}, "messages[0] is no stored message"),
        ({"messages": [{"type": "SECRET", "data": {}}]}, "messages[0] is no stored message"),
        ({"messages": [{"type": "human", "data": {}}]}, "messages[0] is no stored message"),
        ({"messages": [{}]}, "messages[0] is no stored message"),
    ],
)
async def test_fields_that_cannot_be_are_refused(exported, refused, change, told):
    """By their names."""
    rewrite(exported, lambda line: line | change if line.get("session") == "s2" else line)
    error = await refused()
    assert told in error
    assert error.startswith(("line 2", "line 3"))


@pytest.mark.parametrize(
    ("change", "told"),
    [({"agent": 5}, "agent must be"), ({"user": ""}, "user must"), ({"ttl": 0}, "ttl must")],
)
async def test_profiles_that_cannot_be_are_refused(exported, refused, change, told):
    """By their fields' names; and one with a number that JSON does not have."""
    rewrite(exported, lambda line: line | change if line["type"] == "profile" else line)
    assert told in await refused()


@pytest.mark.parametrize("line", [{"user": "u"}, {"user": "u", "profile": math.nan}])
async def test_profiles_that_no_profile_is_are_refused(exported, refused, line):
    """One that is missing, or holds a number that JSON does not."""
    rewrite(exported, lambda found: {"type": "profile", **line} if "profile" in found else found)
    assert "line 4: profile is no JSON object" in await refused()


async def test_a_damaged_archive_is_refused(exported, refused):
    """Of gzip, that is: somewhere in its middle, or with a wrong check sum."""
    whole = gzip.compress(exported.read_bytes())
    for position in (len(whole) // 2, len(whole) - 6):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        exported.write_bytes(damaged)
        await refused()


async def test_what_comes_after_the_last_line_is_refused(exported, refused):
    """As when two files were joined."""
    exported.write_bytes(exported.read_bytes() * 2)
    assert "after the last line" in await refused()


async def test_deep_nesting_is_refused(exported, refused):
    """And breaks nothing."""
    rewrite(exported, lambda line: b"[" * 100_000 if line["type"] == "profile" else line)
    await refused()


@pytest.mark.parametrize("value", [None, "", "merge", True])
async def test_other_ways_with_conflicts_are_refused(exported, memory, do, value):
    """Before the file is looked at."""
    with pytest.raises(ConfigurationError, match="on_conflict must be"):
        await do(memory, "import_", exported.with_name("none"), on_conflict=value)


@pytest.mark.parametrize("ids", [("", None), (None, ""), (b"a", None), (None, 5)])
async def test_ids_that_cannot_be_are_refused(memory, do, path, ids):
    """And no file is made."""
    with pytest.raises(ConfigurationError, match=r"agent|user_id"):
        await do(memory, "export", path, *ids)
    assert not path.exists()


# Besides


async def test_progress_is_told_line_by_line(exported, memory, do):
    """By an import and by an export."""
    told = []
    done = await do(memory, "import_", exported, progress=told.append)
    assert told[:3] == [Transfer()] * 3  # while the lines are checked
    assert len(told) == 6
    assert told[-1] == done == Transfer(sessions=2, messages=6, profiles=1)
    told.clear()
    assert await do(memory, "export", exported, progress=told.append) == told[-1] == done
    assert len(told) == 3


async def test_an_import_can_be_tried(exported, memory, server, do):
    """It tells what would be stored, in the same words, and stores nothing."""
    tried = await do(memory, "import_", exported, dry_run=True)
    assert server.client.dbsize() == 0
    assert tried == await do(memory, "import_", exported)
    assert await do(memory, "import_", exported, dry_run=True) == Transfer(unchanged=3)
    memory.profile("alice").set({"other": 1})
    before = server.client.get("agent:profile:alice")
    with pytest.raises(ImportConflictError):
        await do(memory, "import_", exported, dry_run=True)
    how = {"on_conflict": "replace", "dry_run": True}
    assert await do(memory, "import_", exported, **how) == Transfer(profiles=1, unchanged=2)
    assert server.client.get("agent:profile:alice") == before
    with pytest.raises(ConfigurationError, match="dry_run"):
        await do(memory, "import_", exported, dry_run="no")


async def test_an_event_loop_has_time_for_others(server, path):
    """Also while a file is checked, for which nothing is sent."""
    async with RedisMemory.from_url(server.url) as memory:
        for number in range(200):
            say(memory, str(number))
        await memory.aexport(path)
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        rewrite(path, lambda line: line if line["type"] != "end" else None)
        with pytest.raises(ConfigurationError):
            await memory.aimport_(path)
        ticking.cancel()
        assert ticks >= 199


async def test_without_redis_nothing_is_pretended(tmp_path, exported, do):
    """Also by a memory that otherwise goes on without."""
    before = exported.read_bytes()
    async with RedisMemory.from_url(
        f"unix://{tmp_path}/none", retry=RetryPolicy(deadline=0.2), on_unavailable="stateless"
    ) as memory:
        for name in ("export", "import_"):
            with pytest.raises(StorageUnavailable):
                await do(memory, name, exported)
    assert exported.read_bytes() == before


def test_exporting_is_no_use(memory, server, path):
    """It does not put off when a conversation expires."""
    say(memory)
    server.client.pexpire("agent:memory:support:alice:s1", 5000)
    memory.export(path)
    assert server.client.pttl("agent:memory:support:alice:s1") <= 5000


def test_an_import_goes_to_the_memorys_namespace(exported, server):
    """Whichever it came from."""
    with RedisMemory.from_url(server.url, namespace="acme") as memory:
        memory.import_(exported)
        assert len(read(memory)) == 5
    assert all(key.startswith(b"acme:") for key in server.client.scan_iter())
