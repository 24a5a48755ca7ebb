"""Values of the execution cache: what is set is got, until it expires, is deleted or cleared."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from langchain_redis_memory import (
    ConfigurationError,
    CorruptedDataError,
    ExecutionCache,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
    UnstorableError,
)
from langchain_redis_memory.storage.operation import Layout
from langchain_redis_memory.values import delete_matching

ODD = ["*", "a*", "a?", "[a]", "a:b", "llm", "llm:", "{x}", "\n", "\x00", "🙂", "\ud800", "@claim"]
VALUES = [
    None,
    False,
    0,
    -0.0,
    2**80,
    "",
    "Grüße 🙂\n\u2028",
    "\ud800",
    [],
    {},
    {"a": [1, {"b": None}], "!tuple": [1]},
    "@looks like a claim",
]


@pytest.fixture
def place(memory_here, server):
    """The memory, and the server as the test itself sees it."""
    return memory_here, server


async def test_a_value_is_got_as_it_was_set(memory_here, do):
    """One round trip each; what is not there gives the default."""
    cache = memory_here.cache("support")
    before = memory_here.round_trips
    assert await do(cache, "get", "key") is None
    assert await do(cache, "get", "key", "default") == "default"
    assert memory_here.round_trips - before == 2
    for value in VALUES:
        before = memory_here.round_trips
        await do(cache, "set", "key", value)
        got = await do(cache, "get", "key", "default")
        assert memory_here.round_trips - before == 2
        assert (got, type(got)) == (value, type(value))
    await do(cache, "delete", "key")
    await do(cache, "delete", "key")
    assert await do(cache, "get", "key", "default") == "default"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1), JSON)
@example("k", {"!dict": {"!tuple": []}})
def test_any_json_comes_back(memory, key, value):
    """Under any key."""
    cache = memory.cache("property")
    cache.set(key, value)
    assert repr(cache.get(key)) == repr(value)


async def test_keys_of_any_characters_are_keys_of_their_own(memory_here, server, do):
    """Each has one entry, named by a digest."""
    cache = memory_here.cache("support")
    for key in ODD:
        await do(cache, "set", key, key)
    assert [await do(cache, "get", key) for key in ODD] == ODD
    names = server.client.keys()
    assert len(names) == len(ODD)
    prefix = b"agent:memory:support:execution_cache:"
    assert all(name.startswith(prefix) and len(name) == len(prefix) + 64 for name in names)
    await do(cache, "delete", "*")
    assert [await do(cache, "get", key) for key in ODD] == [None, *ODD[1:]]


async def test_agents_and_namespaces_do_not_see_each_other(memory_here, server, do):
    """Whatever they are called; clearing one leaves the others."""
    agents = ["a", "ab", "a:b", "*", "a*", "{a}", "execution_cache", "llm", "\ud800", "🙂"]
    async with RedisMemory.from_url(server.url, namespace="agent2") as other:
        caches = [memory_here.cache(agent) for agent in agents] + [other.cache("a")]
        for number, cache in enumerate(caches):
            await do(cache, "set", "key", number)
        for number, cache in enumerate(caches):
            assert await do(cache, "get", "key") == number
        assert await do(caches[3], "clear") == 1
        assert [await do(cache, "get", "key") for cache in caches] == [
            None if number == 3 else number for number in range(len(caches))
        ]


async def test_clearing_removes_the_entries_and_nothing_else(memory_here, server, do):
    """Not a conversation, not a model's answer, not what somebody else put below the prefix."""
    cache = memory_here.cache("support")
    others = [
        "agent:memory:support:execution_cache:foreign",
        f"agent:memory:support:execution_cache:{'f' * 63}",
        f"agent:memory:support:execution_cache:{'f' * 64}\n",
        f"agent:memory:support:execution_cache:llm:{'f' * 64}",
        f"agent:memory:support:user:{'f' * 64}",
    ]
    for name in others:
        server.client.set(name, "kept")
    assert await do(cache, "clear") == 0
    for number in range(1234):
        cache.set(f"key {number}", number)
    before = memory_here.round_trips
    assert await do(cache, "clear") == 1234
    assert memory_here.round_trips - before <= 8
    assert sorted(server.client.keys()) == sorted(name.encode() for name in others)


def test_removing_goes_in_bounded_batches():
    """However many keys one page of SCAN holds."""
    steps = delete_matching("*", lambda name: name != b"other")
    next(steps)
    layout = Layout((None,))
    steps.send(layout)
    batch = steps.send((0, [b"other", *(b"%d" % number for number in range(1100))]))
    sizes = [len(batch.commands)]
    for _ in range(2):
        batch = steps.send(batch.read([1] * len(batch.commands)))
        sizes.append(len(batch.commands))
    assert sizes == [500, 500, 100]
    steps.send(99)
    with pytest.raises(StopIteration) as end:
        steps.send(layout)
    assert end.value.value == 1099


@pytest.mark.parametrize(
    ("of_cache", "given", "expected"),
    [
        ({}, {}, 3_600_000),
        ({"ttl": None}, {}, -1),
        ({"ttl": 100}, {}, 100_000),
        ({"ttl": 100}, {"ttl": None}, -1),
        ({"ttl": None}, {"ttl": 0.5}, 500),
    ],
)
async def test_a_value_lives_as_long_as_was_said(place, do, of_cache, given, expected):
    """An hour, or as the cache says, or as the value does."""
    memory, server = place
    cache = memory.cache("support", **of_cache)
    await do(cache, "set", "key", 1, ttl=50)
    await do(cache, "set", "key", 2, **given)
    left = server.client.pttl(server.client.keys()[0])
    assert left == expected or expected - 400 < left <= expected


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (math.nan, "value"),
        ([1, {"a": math.inf}], "value"),
        (b"bytes", "value"),
        ((1, 2), "value"),
        ({"rows": [{1, 2}]}, r"value\['rows'\]\[0\]"),
        ({1: 2}, "value"),
        pytest.param(object(), "value", id="object"),
        ("\ud83d\ude42", "value"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_json_cannot_hold_is_refused(memory_here, server, do, value, place):
    """With its place; what was there stays."""
    cache = memory_here.cache("support")
    await do(cache, "set", "key", "old")
    before = memory_here.round_trips
    with pytest.raises(UnstorableError, match=place):
        await do(cache, "set", "key", value)
    assert memory_here.round_trips == before
    assert await do(cache, "get", "key") == "old"


@pytest.mark.parametrize("key", ["", None, b"bytes", 1, ("a",)])
async def test_keys_that_are_no_text_are_refused(memory_here, do, key):
    """Before anything is sent, by every method."""
    cache = memory_here.cache("support")
    before = memory_here.round_trips
    for name, arguments in (("get", ()), ("set", (1,)), ("delete", ())):
        with pytest.raises(ConfigurationError, match="key must"):
            await do(cache, name, key, *arguments)
    assert memory_here.round_trips == before


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), True, "1"])
async def test_a_time_to_live_that_cannot_be_is_refused(memory, do, ttl):
    """By the cache and by a value."""
    for make in (memory.cache, memory.llm_cache):
        with pytest.raises(ConfigurationError, match="ttl"):
            make("support", ttl=ttl)
    with pytest.raises(ConfigurationError, match="ttl"):
        await do(memory.cache("support"), "set", "key", 1, ttl=ttl)


@pytest.mark.parametrize("agent", ["", None, 1])
def test_agents_that_cannot_be_are_refused(memory, agent):
    """When the cache is asked for."""
    for make in (memory.cache, memory.llm_cache):
        with pytest.raises(ConfigurationError, match="agent"):
            make(agent)


@pytest.mark.parametrize("damage", [b"{", b"\xff", b"", b"NaN", b"[1] secret"])
async def test_a_damaged_value_is_told(memory_here, server, do, damage):
    """With its key, and without what is there."""
    cache = memory_here.cache("support")
    await do(cache, "set", "key", 1)
    name = server.client.keys()[0]
    server.client.set(name, damage)
    with pytest.raises(CorruptedDataError) as caught:
        await do(cache, "get", "key")
    assert caught.value.key == name.decode()
    assert "secret" not in str(caught.value) + repr(caught.value.__context__)


async def test_a_key_of_another_type_is_told(memory_here, server, do):
    """With its name and what to do."""
    cache = memory_here.cache("support")
    await do(cache, "set", "key", 1)
    name = server.client.keys()[0]
    server.client.delete(name)
    server.client.lpush(name, "x")
    with pytest.raises(StorageRejected, match="another type"):
        await do(cache, "get", "key")


async def test_while_redis_is_away_the_cache_is_empty_or_an_error_is_raised(start_server, do):
    """As the memory was told; what removes is an error in any case."""
    server = start_server()
    policy = RetryPolicy(attempts=1, deadline=0.5)
    async with (
        RedisMemory.from_url(server.url, retry=policy) as strict,
        RedisMemory.from_url(server.url, retry=policy, on_unavailable="stateless") as stateless,
    ):
        cache = stateless.cache("support")
        await do(cache, "set", "key", 1)
        server.kill()
        for name, arguments in (("get", ["key"]), ("set", ["key", 1]), ("clear", [])):
            with pytest.raises(StorageUnavailable):
                await do(strict.cache("support"), name, *arguments)
        assert await do(cache, "get", "key", "default") == "default"
        await do(cache, "set", "key", 2)
        assert stateless.dropped_writes == 1
        for name, arguments in (("delete", ["key"]), ("clear", [])):
            with pytest.raises(StorageUnavailable):
                await do(cache, name, *arguments)


def test_a_cache_says_where_it_is(memory):
    """Its keys' prefix, that is."""
    cache = memory.cache("a b")
    assert isinstance(cache, ExecutionCache)
    assert repr(cache) == "ExecutionCache('agent:memory:a%20b:execution_cache:')"
