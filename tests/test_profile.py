"""Profiles: what is known of a user, changed by many at once and over wires that break."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from servers import free_port
from test_secrets import seen

from faults.proxy import Break, Fault, Proxies
from langchain_redis_memory import (
    ConfigurationError,
    CorruptedDataError,
    Profile,
    RedisMemory,
    RedisMemoryError,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
    UnstorableError,
)
from langchain_redis_memory.profiles import scripts
from langchain_redis_memory.profiles.forms import merge_patch
from langchain_redis_memory.storage.executor import AsyncExecutor, Executor

KEY = "agent:profile:alice"
SECRET = "words of a user 4711"
QUICK = RetryPolicy(attempts=2, initial=0.001, deadline=3)
HASTY = RetryPolicy(attempts=100, initial=0.005, maximum=0.02, deadline=5)
PROPERTY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def profile(memory_here):
    """The profile of a user, which is not there yet."""
    return memory_here.profile("alice")


def count(profile):
    """Count one more; what `modify` is given."""
    profile["n"] = profile.get("n", 0) + 1


def kept(server, key=KEY):
    """Read what is stored, as another program would."""
    return json.loads(server.client.get(key))


# What it is


async def test_a_profile_is_set_read_changed_and_deleted(profile, do):
    """By each method, which sees what the others did."""
    assert await do(profile, "get") == {}
    assert await do(profile, "exists") is False
    assert await do(profile, "set", {"language": "Python", "tags": ["a"]}) is None
    assert await do(profile, "exists") is True
    assert await do(profile, "update", {"tags": None, "city": "Bern"}) == {
        "language": "Python",
        "city": "Bern",
    }
    assert await do(profile, "modify", lambda p: {**p, "age": 2**80}) == {
        "language": "Python",
        "city": "Bern",
        "age": 2**80,
    }
    assert await do(profile, "get") == {"language": "Python", "city": "Bern", "age": 2**80}
    assert await do(profile, "delete") is None
    assert await do(profile, "get") == {}
    assert await do(profile, "exists") is False


async def test_it_begins_with_an_update_or_a_modification(memory_here, server, do):
    """As it is empty before."""
    assert await do(memory_here.profile("bob"), "update", {"a": 1}) == {"a": 1}
    assert await do(memory_here.profile("carol"), "modify", count) == {"n": 1}
    assert kept(server, "agent:profile:carol") == {"n": 1}


async def test_agents_share_a_profile_and_have_their_own(memory_here, server, do):
    """As do users, whatever they are called, and namespaces."""
    users = ["alice", "alice:profile", "a*", "*", "profile", "sessions", "{a}", "default", "\ud800"]
    async with RedisMemory.from_url(server.url, namespace="agent2") as other:
        profiles = [
            memory.profile(user, agent=agent)
            for memory in (memory_here, other)
            for user in users
            for agent in (None, "support", "alice", "*")
        ]
        for number, profile in enumerate(profiles):
            await do(profile, "set", {"number": number})
        assert len({profile.key for profile in profiles}) == len(profiles)
        await do(profiles[8], "delete")
        for number, profile in enumerate(profiles):
            assert await do(profile, "get") == ({} if number == 8 else {"number": number})


def test_keys_are_as_documented(memory):
    """And a profile says where it is, not what it holds."""
    assert memory.profile("alice").key == KEY
    assert memory.profile("alice", agent="support").key == "agent:memory:support:alice:profile"
    memory.profile("alice").set({"a": SECRET})
    assert repr(memory.profile("alice")) == f"Profile({KEY!r})"
    assert isinstance(memory.profile("alice"), Profile)


async def test_other_programs_read_it_and_write_it(profile, server, do):
    """It is plain JSON, in order and with the text as it is."""
    await do(profile, "set", {"z": "Grüße 🙂", "a": 1.0, "b": None})
    stored = server.client.get(KEY)
    assert stored.rstrip(b" \t") == '{"z": "Grüße 🙂", "a": 1.0, "b": null}'.encode()
    server.client.set(KEY, '\n{"n" : 1e2,\t"z":"\\u00fc"}\n')
    assert await do(profile, "modify", count) == {"n": 101.0, "z": "ü"}


async def test_it_takes_one_trip_to_read_or_write_and_two_to_change(memory_here, do):
    """And one to find that a change changes nothing."""
    profile = memory_here.profile("alice")
    await do(profile, "update", {})
    for name, arguments, trips in (
        ("set", ({"a": [1], "b": "x"},), 1),
        ("get", (), 1),
        ("exists", (), 1),
        ("update", ({"a": [2]},), 2),
        ("modify", (count,), 2),
        ("update", ({"a": [2], "c": None},), 1),
        ("modify", (lambda _: None,), 1),
        ("update", ({"a": [2.0]},), 2),
        ("modify", (lambda p: dict(reversed(p.items())),), 2),
        ("delete", (), 1),
    ):
        before = memory_here.round_trips
        await do(profile, name, *arguments)
        assert memory_here.round_trips - before == trips, name


# What comes back


def is_storable(text):
    """Tell whether no two halves of a surrogate pair meet, which JSON reads as one character."""
    return not re.search("[\ud800-\udbff][\udc00-\udfff]", text)


TEXT = st.text(st.characters(exclude_categories=()), max_size=5).filter(is_storable)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS | TEXT
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3), max_leaves=8
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)


def exactly(value):
    """Give what tells values apart: types, the order of keys, the sign of a zero."""
    return json.dumps(value)


@PROPERTY
@given(OBJECTS)
@example({"": {"z": 2**200, "a": -0.0}, "🙂": "\ud800", "\udfff": [1, 1.0, True, None, [], {}]})
def test_what_comes_back_equals_what_went_in(memory, value):
    """Any JSON object: the order of its keys, integers of any size, text of any kind."""
    profile = memory.profile("alice")
    profile.set(value)
    assert exactly(profile.get()) == exactly(value)
    assert exactly(profile.modify(lambda _: value)) == exactly(value)


@PROPERTY
@given(OBJECTS, st.lists(OBJECTS, max_size=3))
def test_patches_do_what_the_rfc_says(memory, value, patches):
    """Against another reading of RFC 7396: paths and what stands there."""
    profile = memory.profile("alice")
    profile.set(value)
    for patch in patches:
        value = patched(value, patch)
        assert profile.update(patch) == value
    assert profile.get() == value


def patched(target, patch):
    """Apply a patch path by path: first what it removes, then what it sets."""
    result = copy.deepcopy(target)
    for path, new in leaves(patch):
        *parents, name = path
        place = result
        for parent in parents:
            if not isinstance(place.get(parent), dict):
                place[parent] = {}
            place = place[parent]
        if new is None:
            place.pop(name, None)
        elif new != {} or not isinstance(place.get(name), dict):
            place[name] = copy.deepcopy(new)
    return result


def leaves(patch, path=()):
    """Give the paths of a patch that end in no object, or in an empty one."""
    for name, value in patch.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


RFC = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    # Of its section 3.
    (
        {
            "title": "Goodbye!",
            "author": {"givenName": "John", "familyName": "Doe"},
            "tags": ["example", "sample"],
            "content": "This will be unchanged",
        },
        {
            "title": "Hello!",
            "phoneNumber": "+01-123-456-7890",
            "author": {"familyName": None},
            "tags": ["example"],
        },
        {
            "title": "Hello!",
            "author": {"givenName": "John"},
            "tags": ["example"],
            "content": "This will be unchanged",
            "phoneNumber": "+01-123-456-7890",
        },
    ),
]


@pytest.mark.parametrize(("before", "patch", "after"), RFC)
async def test_the_examples_of_the_rfc(profile, do, before, patch, after):
    """RFC 7396, appendix A, where a profile can be the original; new keys come last."""
    await do(profile, "set", before)
    assert exactly(await do(profile, "update", patch)) == exactly(after)
    assert exactly(await do(profile, "get")) == exactly(after)


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ],
)
def test_the_other_examples_of_the_rfc(before, patch, after):
    """Those whose original or result is no object, which no profile can be."""
    assert merge_patch(before, patch) == after


def test_what_is_patched_stays_as_it_was():
    """A patch gives another value, at each level that it changes."""
    before = {"a": {"b": {"c": 1}}, "d": 1}
    merge_patch(before, {"a": {"b": {"c": None}}, "d": None})
    assert before == {"a": {"b": {"c": 1}}, "d": 1}


async def test_none_is_kept_by_set_and_removes_by_update(profile, do):
    """Also the one that was kept."""
    await do(profile, "set", {"a": None, "b": {"c": None}, "d": [None]})
    assert await do(profile, "get") == {"a": None, "b": {"c": None}, "d": [None]}
    assert await do(profile, "update", {"a": None, "e": [None]}) == {
        "b": {"c": None},
        "d": [None],
        "e": [None],
    }


async def test_nothing_is_shared_with_the_caller(profile, do):
    """What was given stays the caller's, and what is returned is new."""
    given = {"a": {"b": [1]}}
    await do(profile, "set", given)
    for name, argument in (("update", given), ("modify", lambda _: given)):
        found = await do(profile, name, argument)
        found["a"]["b"].append(2)
        assert given == {"a": {"b": [1]}}


# Expiry


async def test_a_profile_stays_unless_told_otherwise(memory_here, server, do):
    """With a time to live each write sets it anew, and reads do not; without, a write ends it."""
    short, long = memory_here.profile("alice", ttl=1000), memory_here.profile("alice")

    def left():
        return server.client.pttl(KEY)

    for name, argument in (
        ("set", {"a": 1}),
        ("update", {"a": 2}),
        ("update", {"a": 2}),
        ("modify", count),
        ("modify", lambda _: None),
    ):
        await do(short, name, argument)
        assert 990_000 < left() <= 1_000_000
        server.client.pexpire(KEY, 500_000)
        await do(short, "get")
        assert left() <= 500_000
    for name, argument in (("set", {"a": 1}), ("update", {"a": 2}), ("modify", count)):
        server.client.pexpire(KEY, 500_000)
        await do(long, name, argument)
        assert left() == -1


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_time_to_live_that_cannot_be_is_refused(memory, ttl):
    """When the profile is asked for."""
    with pytest.raises(ConfigurationError, match="ttl"):
        memory.profile("alice", ttl=ttl)


# Bad input


@pytest.mark.parametrize("value", [None, [], "text", 1, b"{}", (("a", 1),), {1}])
async def test_a_profile_is_a_json_object(memory_here, server, do, value):
    """As is a patch, and what a function returns; nothing changes."""
    profile = memory_here.profile("alice")
    await do(profile, "set", {"a": 1})
    for name, argument in (
        ("set", value),
        ("update", value),
        ("modify", lambda _: False if value is None else value),
    ):
        with pytest.raises(UnstorableError, match="a JSON object, so give a dict, not a") as raised:
            await do(profile, name, argument)
        assert raised.value.field == "profile"
    assert kept(server) == {"a": 1}


ENDLESS = {}
ENDLESS["a"] = ENDLESS


@pytest.mark.parametrize(
    ("value", "field", "reason"),
    [
        ({"a": [0, b"x"]}, "profile['a'][1]", "no bytes"),
        ({"a": {"b": (1,)}}, "profile['a']['b']", "no tuple"),
        ({"a": {1}}, "profile['a']", "no set"),
        ({"a": object()}, "profile['a']", "no object"),
        ({"a": {1: "x"}}, "profile['a']", "key of type int"),
        ({None: "x"}, "profile", "key of type NoneType"),
        ({"a": [1.5, {"b": float("nan")}]}, "profile['a'][1]['b']", "no NaN"),
        ({"a": "x", "b": float("inf")}, "profile['b']", "no infinite"),
        ({"a": 10**5000}, "profile['a']", "digits"),
        ({"a": "\ud83d\ude42"}, "profile['a']", "surrogate"),
        (ENDLESS, "profile['a']['a']", "nested deeper"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_json_does_not_hold_is_refused_by_its_place(profile, do, value, field, reason):
    """Before anything is sent, or after the read for a function; nothing changes."""
    await do(profile, "set", {"a": 1})
    before = profile._connection.trips.count
    for name, argument in (("set", value), ("update", value), ("modify", lambda _: value)):
        with pytest.raises(UnstorableError, match=reason) as raised:
            await do(profile, name, argument)
        assert raised.value.field.startswith(field)
    assert profile._connection.trips.count - before == 1
    assert await do(profile, "get") == {"a": 1}


@pytest.mark.parametrize("user", ["", None, 1, b"alice"])
def test_ids_that_cannot_be_are_refused(memory, user):
    """When the profile is asked for."""
    with pytest.raises(ConfigurationError, match="user_id"):
        memory.profile(user)
    if user is not None:
        with pytest.raises(ConfigurationError, match="agent"):
            memory.profile("alice", agent=user)


async def test_what_a_function_raises_passes_through(profile, server, do):
    """And nothing is written."""
    await do(profile, "set", {"a": 1})

    def spoil(profile):
        profile["a"] = 2
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await do(profile, "modify", spoil)
    assert kept(server) == {"a": 1}


# Damage


DAMAGED = [
    (b"", "no JSON"),
    (f'{{"a": "{SECRET}"'.encode(), "no JSON"),
    (SECRET.encode(), "no JSON"),
    (b"\xff\xfe\xff", "no JSON"),
    (b'{"a": NaN}', "no JSON"),
    (b"[" * 100_000, "no JSON"),
    (f'["{SECRET}"]'.encode(), "a list, not a JSON object"),
    (f'"{SECRET}"'.encode(), "a str, not a JSON object"),
    (b"null", "null, not a JSON object"),
]


@pytest.mark.parametrize(("stored", "reason"), DAMAGED, ids=[reason for _, reason in DAMAGED])
async def test_damage_is_told_and_left_as_it_is(memory_here, server, do, stored, reason):
    """With the key; it can be set anew, and deleted."""
    server.client.set(KEY, stored)
    profile = memory_here.profile("alice")
    for name, arguments in (("get", ()), ("update", ({"a": 1},)), ("modify", (count,))):
        with pytest.raises(CorruptedDataError, match=reason) as raised:
            await do(profile, name, *arguments)
        assert (raised.value.key, raised.value.position) == (KEY, None)
        assert SECRET not in seen(raised.value)
    assert server.client.get(KEY) == stored
    assert await do(profile, "exists") is True
    await do(profile, "set", {"a": 1})
    assert await do(profile, "get") == {"a": 1}


async def test_a_key_of_another_type_is_told(memory_here, server, do):
    """With what to do, and it is left as it is."""
    server.client.lpush(KEY, SECRET)
    profile = memory_here.profile("alice")
    for name, arguments in (("get", ()), ("update", ({"a": 1},)), ("modify", (count,))):
        with pytest.raises(StorageRejected, match="another type"):
            await do(profile, name, *arguments)
    assert server.client.lrange(KEY, 0, -1) == [SECRET.encode()]


async def test_a_key_that_becomes_another_type_meanwhile_is_told(memory_here, server, do):
    """By the script, as by the read."""

    def spoil(_):
        server.client.lpush(KEY, "x")
        return {"a": 1}

    with pytest.raises(StorageRejected, match="another type"):
        await do(memory_here.profile("alice"), "modify", spoil)


async def test_no_error_holds_what_a_profile_holds(memory_here, server, do):
    """Neither in its text nor in what led to it, nor does what can be printed."""
    profile = memory_here.profile("alice")
    shown = [repr(profile), repr(profile._form)]
    for bad in (object(), float("nan"), "\ud83d\ude42", 10**5000):
        value = {"a": SECRET, "b": [SECRET, {"c": bad}]}
        for name, argument in (
            ("set", value),
            ("update", value),
            ("modify", lambda _, value=value: value),
        ):
            with pytest.raises(UnstorableError) as raised:
                await do(profile, name, argument)
            shown.append(seen(raised.value))
    server.client.acl_setuser("reader", enabled=True, passwords=["+pw"], commands=["+get"])
    async with RedisMemory.from_url(f"unix://reader:pw@{server.socket}") as reader:
        for name, argument in (("set", {"a": SECRET}), ("update", {"a": SECRET})):
            with pytest.raises(StorageRejected) as raised:
                await do(reader.profile("alice"), name, argument)
            shown.append(seen(raised.value))
    assert SECRET not in "\n".join(shown)


# Functions


async def test_an_asynchronous_function_may_change_it(profile, memory):
    """On an event loop only; whatever it returns, as the other kind."""

    async def change(profile):
        await asyncio.sleep(0)
        count(profile)

    async def replace(profile):
        await asyncio.sleep(0)
        return {"n": profile["n"] + 10}

    assert await profile.amodify(change) == {"n": 1}
    assert await profile.amodify(replace) == {"n": 11}
    assert await profile.amodify(count) == {"n": 12}
    with pytest.raises(ConfigurationError, match="amodify"):
        profile.modify(change)
    assert profile.get() == {"n": 12}


async def test_a_function_is_called_again_on_what_others_wrote(profile, server, do):
    """Each time with a copy of its own, and only then."""
    await do(profile, "set", {"n": 1})
    given = []

    def overtaken(profile):
        given.append(copy.deepcopy(profile))
        if len(given) < 4:
            server.client.set(KEY, json.dumps({"n": len(given) * 10}))
        count(profile)

    assert await do(profile, "modify", overtaken) == {"n": 31}
    assert given == [{"n": 1}, {"n": 10}, {"n": 20}, {"n": 30}]


async def test_a_profile_that_vanishes_or_appears_meanwhile_is_seen(profile, server, do):
    """A deleted one does not come back with what it held."""
    given = []

    def overtaken(profile):
        given.append(dict(profile))
        match len(given):
            case 1:
                server.client.set(KEY, '{"n": 10, "a": 1}')
            case 2:
                server.client.delete(KEY)
        count(profile)

    assert await do(profile, "modify", overtaken) == {"n": 1}
    assert given == [{}, {"n": 10, "a": 1}, {}]


async def test_others_that_keep_writing_are_told_at_the_deadline(server, do):
    """With nothing written; whoever tries again will know when."""
    calls = 0

    def overtaken(profile):
        nonlocal calls
        calls += 1
        server.client.set(KEY, json.dumps({"theirs": calls}))
        count(profile)

    async with RedisMemory.from_url(server.url, retry=RetryPolicy(deadline=1)) as memory:
        with pytest.raises(StorageUnavailable, match=f"{KEY}.*within 1 s: others changed it"):
            await do(memory.profile("alice"), "modify", overtaken)
    assert calls > 1
    assert kept(server) == {"theirs": calls}


# Many at once


async def test_threads_and_tasks_change_one_profile(server):
    """Eight of each on one memory; every change lands."""
    async with RedisMemory.from_url(server.url) as memory:
        profile = memory.profile("alice")

        def write(writer):
            for number in range(20):
                assert profile.update({f"t{writer}": number + 1})[f"t{writer}"] == number + 1
                profile.modify(count)

        async def awrite(writer):
            for number in range(20):
                found = await profile.aupdate({f"a{writer}": number + 1})
                assert found[f"a{writer}"] == number + 1
                await profile.amodify(count)

        with ThreadPoolExecutor(8) as threads:
            waiting = [asyncio.wrap_future(threads.submit(write, n)) for n in range(8)]
            await asyncio.gather(*waiting, *map(awrite, range(8)))
        found = await profile.aget()
        assert found.pop("n") == 320
        assert found == {f"{kind}{n}": 20 for kind in "ta" for n in range(8)}


# Half of them on event loops. Forked, as workers of a server are, once all is imported.
WRITERS = """
import asyncio, os, sys
from langchain_redis_memory import RedisMemory

def count(profile):
    profile["n"] = profile.get("n", 0) + 1

def write(name):
    with RedisMemory.from_url(sys.argv[1]) as memory:
        profile = memory.profile("alice")
        for number in range(1, 501):
            assert profile.update({name: number})[name] == number
            profile.modify(count)

async def awrite(name):
    async with RedisMemory.from_url(sys.argv[1]) as memory:
        profile = memory.profile("alice")
        for number in range(1, 501):
            assert (await profile.aupdate({name: number}))[name] == number
            await profile.amodify(count)

children = []
for number in range(8):
    child = os.fork()
    if not child:
        asyncio.run(awrite(f"w{number}")) if number % 2 else write(f"w{number}")
        sys.exit()
    children.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


@pytest.mark.parametrize("place", ["server", "cluster_servers"])
def test_changes_of_eight_processes_all_land(request, place):
    """500 increments each, through `update` of a count of its own and `modify` of one of all."""
    servers = request.getfixturevalue(place)
    with RedisMemory.from_url(servers.url) as memory:
        profile = memory.profile("alice")
        profile.delete()
        done = subprocess.run(
            [sys.executable, "-c", WRITERS, servers.url], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        found = profile.get()
        assert found.pop("n") == 4000
        assert found == {f"w{number}": 500 for number in range(8)}
        profile.delete()


# Answers that are lost


class Wire:
    """Breaks as a plan says, for one change after the other, where all that is sent passes.

    What happens meanwhile happens before the change is sent again.
    """

    def __init__(self, monkeypatch, other):
        self.plan = []
        self.other = other
        self.meanwhile = lambda other: None
        self.held = []
        send, asend = Executor._send, AsyncExecutor._send

        def broken(executor, commands, *where):
            fault = self.fault(commands)
            if fault == "held":
                self.held.append(commands)
            if fault not in ("before", "held"):
                replies = send(executor, commands, *where)
            if fault:
                self.snap()
            return replies

        async def abroken(executor, commands, *where):
            fault = self.fault(commands)
            if fault == "held":
                self.held.append(commands)
            if fault not in ("before", "held"):
                replies = await asend(executor, commands, *where)
            if fault:
                self.snap()
            return replies

        monkeypatch.setattr(Executor, "_send", broken)
        monkeypatch.setattr(AsyncExecutor, "_send", abroken)

    def fault(self, commands):
        return self.plan.pop(0) if self.plan and commands[0][0] in ("EVALSHA", "SET") else None

    def snap(self):
        with ThreadPoolExecutor(1) as another:
            another.submit(self.meanwhile, self.other).result()
        raise redis.ConnectionError("broken by the test")


@pytest.fixture
def wire(server, memory, monkeypatch):
    """A wire that breaks on demand; the server has the script already."""
    server.client.script_load(scripts.REPLACE.source)
    return Wire(monkeypatch, memory.profile("alice"))


@pytest.fixture
async def mine(server):
    """A profile, in a memory that tries again at once."""
    async with RedisMemory.from_url(server.url, retry=HASTY) as memory:
        yield memory.profile("alice")


LOSSES = [["after"], ["before"], ["after", "after", "before"], ["before", "after", "after"]]


@pytest.mark.parametrize("plan", LOSSES)
@pytest.mark.parametrize("before", [None, {"n": 41}])
async def test_a_change_whose_answer_was_lost_is_made_once(mine, wire, do, plan, before):
    """It is known again by its repeat, which stores it if it did not arrive."""
    if before:
        await do(mine, "set", before)
    calls = []

    def counted(profile):
        calls.append(1)
        count(profile)

    wire.plan = [*plan]
    expected = {"n": 42 if before else 1}
    assert await do(mine, "modify", counted) == expected
    assert len(calls) == 1
    assert await do(mine, "get") == expected
    wire.plan = [*plan]
    assert await do(mine, "update", {"a": 1}) == {**expected, "a": 1}
    wire.plan = [*plan]
    await do(mine, "set", {"b": 1})
    assert await do(mine, "get") == {"b": 1}
    assert wire.plan == []


OTHERS = {
    "the same increment": lambda other: other.modify(count),
    "another change": lambda other: other.update({"theirs": 1}),
    "what stood there before": lambda other: other.set({"n": 41}),
    "deletion and a new one": lambda other: (other.delete(), other.modify(count)),
}


@pytest.mark.parametrize("loss", ["after", "before"])
@pytest.mark.parametrize("what", OTHERS)
async def test_when_others_wrote_since_an_answer_was_lost_it_is_told(mine, wire, do, loss, what):
    """For then nobody can know; the function is not called again, and what they wrote stays."""
    await do(mine, "set", {"n": 41})
    there = []
    wire.plan = [loss]
    wire.meanwhile = lambda other: (OTHERS[what](other), there.append(other.get()))
    calls = []

    def counted(profile):
        calls.append(1)
        count(profile)

    with pytest.raises(StorageUnavailable, match=r"could not be found out.*read the profile"):
        await do(mine, "modify", counted)
    assert len(calls) == 1
    assert [await do(mine, "get")] == there


@pytest.mark.parametrize("loss", ["after", "before"])
@pytest.mark.parametrize("what", OTHERS)
async def test_an_update_is_applied_to_what_others_wrote(mine, wire, do, loss, what):
    """Whether it was before or not: applied twice, a merge patch does the same."""
    await do(mine, "set", {"n": 41, "mine": 0})
    there = []
    wire.plan = [loss]
    wire.meanwhile = lambda other: (OTHERS[what](other), there.append(other.get()))
    found = await do(mine, "update", {"mine": 1})
    assert found == {**there[0], "mine": 1}
    assert await do(mine, "get") == found


async def test_a_deleted_profile_is_begun_again_by_the_repeat(mine, wire, do):
    """As if the change had come after the deletion, of which it knows nothing."""
    wire.plan = ["after"]
    wire.meanwhile = Profile.delete
    assert await do(mine, "modify", count) == {"n": 1}
    assert wire.other.get() == {"n": 1}


async def test_a_change_that_arrives_after_its_repeat_changes_nothing(server, mine, wire, do):
    """Not even when what it was made of stands there again."""
    await do(mine, "set", {"n": 41})
    wire.plan = ["held"]
    assert await do(mine, "modify", count) == {"n": 42}
    await do(mine, "set", {"n": 41})
    assert server.client.execute_command(*wire.held[0][0]) == 0
    assert await do(mine, "get") == {"n": 41}


async def test_without_what_tells_writes_apart_one_would_be_lost(mine, wire, do, monkeypatch):
    """The proof that the tests above see what they look for."""
    monkeypatch.setattr("langchain_redis_memory.profiles.versioned._signed", lambda text: text)
    await do(mine, "set", {"n": 41})
    wire.plan = ["before"]
    wire.meanwhile = lambda other: other.modify(count)
    assert await do(mine, "modify", count) == {"n": 42}  # of two increments


@pytest.fixture
def broken(start_server):
    """A server behind a wire that is cut now and then, amid a request or a reply."""
    port = free_port()
    start_server("--port", str(port))
    proxies = Proxies()
    yield proxies, f"redis://127.0.0.1:{proxies.to(port)}/0"
    proxies.stop()


@pytest.mark.parametrize("what", [Break.BEFORE, Break.COMMAND, Break.AFTER, Break.REPLY])
async def test_over_a_broken_wire_all_changes_land_once(broken, do, what):
    """Of one writer, all; of many, all that were acknowledged, and no more than were tried."""
    proxies, url = broken
    async with RedisMemory.from_url(url, retry=HASTY) as memory:
        alone = memory.profile("alone")
        await do(alone, "set", {"n": 0})
        proxies.suffer(Fault(what, 0.2))
        for number in range(1, 41):
            assert (await do(alone, "modify", count))["n"] == number
        profile = memory.profile("all")
        told = []

        def write(name):
            for number in range(1, 41):
                assert profile.update({name: number})[name] == number
                try:
                    profile.modify(count)
                except StorageUnavailable as error:
                    told.append(str(error))

        with ThreadPoolExecutor(4) as threads:
            names = ["a", "b", "c", "d"]
            await asyncio.gather(*(asyncio.wrap_future(threads.submit(write, n)) for n in names))
        proxies.suffer(None)
        assert proxies.befallen() > 10
        assert all("could not be found out" in text for text in told)
        found = await do(profile, "get")
        assert 160 - len(told) <= found.pop("n") <= 160
        assert found == dict.fromkeys(names, 40)


# Going on without Redis


@pytest.fixture
def mortal(start_server):
    """A server that keeps what it acknowledged, to be killed and started again."""
    return start_server("--appendonly", "yes", "--appendfsync", "always")


def stateless(server):
    return RedisMemory.from_url(
        server.url, retry=QUICK, on_unavailable="stateless", outage_pause=600
    )


def end_pause(memory):
    """Let the pause be over, without waiting for it."""
    memory._connection.availability.failed(time.monotonic() - 1000, "")


async def test_without_redis_a_profile_is_empty_and_not_written(mortal, do):
    """Changes are made on nothing, dropped and counted; a deletion is not pretended."""
    async with stateless(mortal) as memory:
        profile = memory.profile("alice")
        await do(profile, "set", {"n": 41})
        mortal.kill()
        assert await do(profile, "get") == {}
        assert await do(profile, "exists") is False
        assert memory.dropped_writes == 0
        await do(profile, "set", {"n": 0})
        assert await do(profile, "update", {"a": 1}) == {"a": 1}
        assert await do(profile, "modify", count) == {"n": 1}
        assert memory.dropped_writes == 3
        with pytest.raises(StorageUnavailable):
            await do(profile, "delete")
        mortal.start()
        end_pause(memory)
        assert await do(profile, "get") == {"n": 41}


async def test_an_outage_that_ends_amid_a_change_harms_nothing(mortal, do):
    """What was made of nothing is not written over what is there."""
    async with stateless(mortal) as memory:
        profile = memory.profile("alice")
        await do(profile, "set", {"n": 41, "a": "kept"})

        def awaken(profile):
            mortal.start()
            end_pause(memory)
            count(profile)

        mortal.kill()
        assert await do(profile, "modify", awaken) == {"n": 1}
        assert memory.dropped_writes == 1
        assert await do(memory, "ping")
        assert await do(profile, "get") == {"n": 41, "a": "kept"}


async def test_an_outage_that_begins_amid_a_change_drops_it(mortal, do):
    """And says so by the count."""
    async with stateless(mortal) as memory:
        profile = memory.profile("alice")
        await do(profile, "set", {"n": 41})

        def end(profile):
            mortal.kill()
            count(profile)

        assert await do(profile, "modify", end) == {"n": 42}
        assert memory.dropped_writes == 1
        mortal.start()
        end_pause(memory)
        assert await do(profile, "get") == {"n": 41}


async def test_without_it_an_outage_is_an_error(mortal, do):
    """For every method, within its deadline."""
    async with RedisMemory.from_url(mortal.url, retry=QUICK) as memory:
        profile = memory.profile("alice")
        mortal.kill()
        for name, arguments in (
            ("get", ()),
            ("set", ({"a": 1},)),
            ("update", ({"a": 1},)),
            ("modify", (count,)),
            ("delete", ()),
            ("exists", ()),
        ):
            with pytest.raises(StorageUnavailable):
                await do(profile, name, *arguments)
        mortal.start()


def test_a_closed_memory_is_told(server):
    """Whatever is asked of its profiles."""
    memory = RedisMemory.from_url(server.url)
    profile = memory.profile("alice")
    memory.close()
    for name, arguments in (("get", ()), ("update", ({"a": 1},)), ("modify", (count,))):
        with pytest.raises(RedisMemoryError, match="closed"):
            getattr(profile, name)(*arguments)


def test_a_thread_that_waits_for_its_turn_stops_nobody(memory):
    """A function that takes long holds no connection; others write meanwhile."""
    profile = memory.profile("alice")
    profile.set({"n": 0})
    others_done = threading.Event()
    calls = []

    def slow(profile):
        calls.append(dict(profile))
        assert others_done.wait(30)
        count(profile)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(profile.modify, slow)
        for _ in range(20):
            profile.modify(count)
        others_done.set()
        assert waiting.result(30) == {"n": 21}
    assert len(calls) <= 2


async def test_a_function_that_changes_its_copy_and_returns_something_else_is_refused(
    memory_here, do
):
    """As `setdefault` and `pop` in a lambda do: the profile would be what they give."""
    profile = memory_here.profile("alice")
    await do(profile, "set", {"keep": 1})
    with pytest.raises(ConfigurationError, match="return the copy, or None"):
        await do(profile, "modify", lambda given: given.setdefault("more", {}))
    assert await do(profile, "get") == {"keep": 1}
