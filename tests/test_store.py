"""Values by key: LangChain's standard suites for stores, and what they leave out."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.stores import BaseStore
from langchain_tests.integration_tests.base_store import BaseStoreAsyncTests, BaseStoreSyncTests

from langchain_redis_memory import ConfigurationError, RedisMemory, StorageRejected

THREE_VALUES = (b"", b"\x00\xff", "Grüße 🙂".encode())


class TestStore(BaseStoreSyncTests[bytes]):
    """LangChain's suite for stores."""

    @pytest.fixture
    def kv_store(self, memory):
        return memory.store("files")

    @pytest.fixture
    def three_values(self):
        return THREE_VALUES


class TestStoreAsync(BaseStoreAsyncTests[bytes]):
    """LangChain's suite for stores on an event loop."""

    @pytest.fixture
    async def kv_store(self, server):
        async with RedisMemory.from_url(server.url) as memory:
            yield memory.store("files")

    @pytest.fixture
    def three_values(self):
        return THREE_VALUES


ODD_KEYS = [
    "",
    "*",
    "a*",
    "a?",
    "[a]",
    "a:b",
    "a%3Ab",
    "{x}",
    "\n",
    " ",
    "\x00",
    "🙂",
    "\ud800",
    "^",
]


async def test_keys_of_any_characters_come_back(memory_here, do):
    """Each is found, listed and deleted by itself; what looks like a pattern is none."""
    store = memory_here.store("files")
    await do(store, "mset", [(key, key.encode("utf-8", "surrogatepass")) for key in ODD_KEYS])
    found = await do(store, "mget", ODD_KEYS)
    assert found == [key.encode("utf-8", "surrogatepass") for key in ODD_KEYS]
    assert sorted(await do.list(store, "yield_keys")) == sorted(ODD_KEYS)
    for prefix in ODD_KEYS:
        assert sorted(await do.list(store, "yield_keys", prefix=prefix)) == sorted(
            key for key in ODD_KEYS if key.startswith(prefix)
        )
    await do(store, "mdelete", ["*", "a?", "[a]"])
    assert sorted(await do.list(store, "yield_keys")) == sorted({*ODD_KEYS} - {"*", "a?", "[a]"})


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=5), max_size=5), st.text(max_size=2))
@example({"a": b"1", "ab": b"2"}, "a")
def test_a_store_is_a_dict_of_what_was_set(memory, values, prefix):
    """For any keys and values, and any prefix of keys."""
    store = memory.store("property")
    store.mdelete(list(store.yield_keys()))
    store.mset(list(values.items()))
    assert store.mget(list(values)) == list(values.values())
    assert set(store.yield_keys()) == set(values)
    assert set(store.yield_keys(prefix=prefix)) == {k for k in values if k.startswith(prefix)}


async def test_stores_do_not_see_each_other(memory_here, server, do):
    """Whatever they are called, and whatever namespace they are in."""
    names = ["a", "ab", "a:b", "*", "a*", "{a}", "store"]
    async with RedisMemory.from_url(server.url, namespace="agent2") as other:
        stores = [memory_here.store(name) for name in names] + [other.store("a")]
        for number, store in enumerate(stores):
            await do(store, "mset", [("key", b"%d" % number), (f"b:{number}", b"")])
        for number, store in enumerate(stores):
            assert await do(store, "mget", ["key"]) == [b"%d" % number]
            assert sorted(await do.list(store, "yield_keys")) == sorted(["key", f"b:{number}"])
        await do(stores[3], "mdelete", ["key", "b:3"])
        for number, store in enumerate(stores):
            assert len(await do.list(store, "yield_keys")) == (0 if number == 3 else 2)


async def test_one_request_carries_many_keys(memory_here, do):
    """And none is sent where there is nothing to do."""
    store = memory_here.store("files")
    before = memory_here.round_trips
    assert await do(store, "mget", []) == []
    await do(store, "mset", [])
    await do(store, "mdelete", [])
    assert memory_here.round_trips == before
    keys = [f"k{number}" for number in range(2500)]
    await do(store, "mset", [(key, b"v") for key in keys])
    assert await do(store, "mget", keys) == [b"v"] * 2500
    await do(store, "mdelete", keys[:2000])
    assert memory_here.round_trips - before == 3
    assert sorted(await do.list(store, "yield_keys")) == sorted(keys[2000:])


async def test_values_expire_when_the_store_says_so(memory_here, server, do):
    """From when they were set; without a time to live they stay."""
    await do(memory_here.store("short", ttl=100), "mset", [("key", b"")])
    await do(memory_here.store("long"), "mset", [("key", b"")])
    assert 99_000 < server.client.pttl("agent:store:short:key") <= 100_000
    assert server.client.pttl("agent:store:long:key") == -1


@pytest.mark.parametrize("value", ["text", None, 1, bytearray(b"x"), memoryview(b"x"), [b"x"]])
async def test_values_that_are_not_bytes_are_refused(memory_here, do, value):
    """Before anything of their batch is sent."""
    store = memory_here.store("files")
    before = memory_here.round_trips
    with pytest.raises(ConfigurationError, match=f"bytes, not {type(value).__name__}"):
        await do(store, "mset", [("good", b"x"), ("bad", value)])
    assert memory_here.round_trips == before


@pytest.mark.parametrize("key", [b"bytes", None, 1])
async def test_keys_that_are_no_text_are_refused(memory_here, do, key):
    """Before anything is sent, by every method."""
    store = memory_here.store("files")
    before = memory_here.round_trips
    for name, argument in (("mget", [key]), ("mset", [(key, b"")]), ("mdelete", ["good", key])):
        with pytest.raises(ConfigurationError, match="key must be a string"):
            await do(store, name, argument)
    assert memory_here.round_trips == before


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_store_that_cannot_be_is_refused(memory, ttl):
    """Its name and its time to live are looked at when it is asked for."""
    with pytest.raises(ConfigurationError, match="ttl"):
        memory.store("files", ttl=ttl)
    for name in ("", None, b"x"):
        with pytest.raises(ConfigurationError, match="name"):
            memory.store(name)


def test_a_store_is_langchains_and_says_where_it_is(memory):
    """Its keys' prefix, that is."""
    store = memory.store("a b")
    assert isinstance(store, BaseStore)
    assert repr(store) == "RedisStore('agent:store:a%20b:')"


async def test_a_key_of_another_type_is_told(memory_here, server, do):
    """With its name and what to do."""
    server.client.lpush("agent:store:files:key", "x")
    with pytest.raises(StorageRejected, match="another type"):
        await do(memory_here.store("files"), "mget", ["key"])


# Texts


async def test_a_text_is_kept_under_its_own_key(memory_here, server, do):
    """As UTF-8, in no namespace, for an hour unless said otherwise."""
    await do(memory_here, "set", "my:key *", "Grüße 🙂\n")
    assert server.client.get("my:key *") == "Grüße 🙂\n".encode()
    assert 3_590_000 < server.client.pttl("my:key *") <= 3_600_000
    assert await do(memory_here, "get", "my:key *") == "Grüße 🙂\n"
    assert await do(memory_here, "get", "my:key") is None


@pytest.mark.parametrize(("ttl", "expected"), [(None, -1), (0.5, 500), (100, 100_000)])
async def test_a_text_lives_as_long_as_was_said(memory_here, server, do, ttl, expected):
    """Setting it again sets the time anew, also to never."""
    await do(memory_here, "set", "key", "first", ttl=50)
    await do(memory_here, "set", "key", "second", ttl=ttl)
    left = server.client.pttl("key")
    assert left == expected or expected - 400 < left <= expected


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("", "text"), "key"),
        ((None, "text"), "key"),
        ((b"key", "text"), "key"),
        (("\ud800", "text"), "key"),
        (("key", b"bytes"), "value"),
        (("key", None), "value"),
        (("key", "\ud800"), "value"),
        (("key", "text", 0), "ttl"),
        (("key", "text", -1), "ttl"),
        (("key", "text", "1"), "ttl"),
        (("key", "text", True), "ttl"),
        (("key", "text", float("nan")), "ttl"),
    ],
    ids=repr,
)
async def test_bad_input_is_refused_before_anything_is_sent(memory_here, do, arguments, named):
    """With the name of the argument."""
    before = memory_here.round_trips
    with pytest.raises(ConfigurationError, match=named):
        await do(memory_here, "set", *arguments)
    if named == "key":
        with pytest.raises(ConfigurationError, match=named):
            await do(memory_here, "get", arguments[0])
    assert memory_here.round_trips == before


async def test_what_is_no_text_is_told(memory_here, server, do):
    """Bytes of another program under the key, or a key of another type."""
    server.client.set("key", b"\xff")
    with pytest.raises(StorageRejected, match="no text"):
        await do(memory_here, "get", "key")
    server.client.lpush("list", "x")
    with pytest.raises(StorageRejected, match="another type"):
        await do(memory_here, "get", "list")
