"""A user's sessions: listed, counted, branched."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from places import FEW

from langchain_redis_memory import ConfigurationError, StorageUnavailable

ODD = ["s", "s1", "s10", "a:b", "*", "{x}", "profile", "sessions", "execution_cache", "é🙂", "a\nb"]


async def say(memory, do, session, *texts, user="alice", agent="support", **limits):
    history = memory.history(agent, user, session, **limits)
    await do(history, "add_messages", [HumanMessage(text) for text in texts])


async def ids(memory, do, **options):
    return [info.session for info in await do(memory, "sessions", "support", "alice", **options)]


@FEW
async def test_sessions_are_listed_with_the_one_that_was_active_last_first(place, do):
    """With how many messages, when and for how long; those of others are not among them."""
    async with place.memory(ttl=1000) as memory:
        began = datetime.now(UTC)
        for session in ("one", "two", "three"):
            await say(memory, do, session, "hello")
            await asyncio.sleep(0.002)  # activity is kept in milliseconds
        await say(memory, do, "one", "again", ttl=None)
        await say(memory, do, "other", "hello", user="bob")
        await say(memory, do, "other", "hello", agent="sales")
        found = await do(memory, "sessions", "support", "alice")
        assert [info.session for info in found] == ["one", "three", "two"]
        assert [info.messages for info in found] == [2, 1, 1]
        assert found[0].ttl is None
        assert 0 < found[1].ttl <= 1000
        for info in found:
            assert info.last_active.tzinfo is UTC
            assert began - timedelta(seconds=1) < info.last_active < datetime.now(UTC)
        assert found.next is None
        assert await do(memory, "count_sessions", "support", "alice") == 3
        assert await do(memory, "count_sessions", "support", "nobody") == 0
        assert list(await do(memory, "sessions", "support", "nobody")) == []


async def test_reading_does_not_reorder(memory, do):
    """Whoever looks at an old conversation does not make it the newest."""
    for session in ("old", "new"):
        memory.history("support", "alice", session).add_user_message("hello")
        await asyncio.sleep(0.002)
    assert memory.history("support", "alice", "old").messages
    assert [info.session for info in memory.sessions("support", "alice")] == ["new", "old"]


@FEW
async def test_odd_ids_come_back_as_they_were(place, do):
    """Also those that mean something elsewhere in a key, or begin another."""
    async with place.memory() as memory:
        for session in ODD:
            await say(memory, do, session, "hello")
        assert sorted(await ids(memory, do)) == sorted(ODD)
        for session in ODD:
            await do(memory.history("support", "alice", session), "clear")
        assert await ids(memory, do) == []


@FEW
async def test_expired_sessions_drop_out(place, do):
    """Of the listing, the count and the index, which expires itself with the last of them."""
    async with place.memory() as memory:
        for number in range(5):
            await say(memory, do, f"short {number}", "hello", ttl=0.05)
        await say(memory, do, "long", "hello", ttl=100)
        await asyncio.sleep(0.1)
        assert await ids(memory, do) == ["long"]
        assert await do(memory, "count_sessions", "support", "alice") == 1
        await say(memory, do, "short 1", "back")
        assert await ids(memory, do) == ["short 1", "long"]


def test_an_index_holds_no_expired_session_once_it_was_read(memory, server):
    """So it grows no longer than the user's live sessions."""
    index = "agent:memory:support:alice:sessions"
    server.client.zadd(index, {f"gone{number}": number for number in range(1200)})
    memory.history("support", "alice", "here").add_user_message("hello")
    assert memory.count_sessions("support", "alice") == 1
    assert server.client.zrange(index, 0, -1) == [b"here"]


def test_a_session_that_came_back_meanwhile_stays_in_the_index(memory, server, monkeypatch):
    """It was expired when it was looked at, and written to before the index was tidied."""
    from langchain_redis_memory.sessions import listing as sessions

    tidy = sessions._forget

    def late(index, gone):
        monkeypatch.undo()
        memory.history("support", "alice", "s1").add_user_message("back")
        return tidy(index, gone)

    server.client.zadd("agent:memory:support:alice:sessions", {"s1": 1})
    monkeypatch.setattr(sessions, "_forget", late)
    assert len(memory.sessions("support", "alice")) == 0
    assert [info.session for info in memory.sessions("support", "alice")] == ["s1"]


@FEW
@pytest.mark.parametrize("limit", [1, 3, 7, 20, None])
async def test_pages_give_each_session_once(place, do, limit):
    """Also where several were active in one millisecond and some expired; none comes twice."""
    async with place.memory() as memory:
        index = memory._keys.sessions("support", "alice")
        for number in range(20):
            await say(memory, do, f"s{number}", "hello")
        ties = {f"s{number}": 1_700_000_000_000 + number // 6 for number in range(20)}
        place.client.zadd(index, ties | {f"gone{number}": ties["s9"] for number in range(9)})
        pages, after = [], None
        while not pages or after is not None:
            page = await do(memory, "sessions", "support", "alice", limit=limit, after=after)
            pages.append([info.session for info in page])
            after = page.next
        found = [session for page in pages for session in page]
        assert len(found) == len(set(found)) == 20
        assert all(len(page) == limit for page in pages[:-1])
        assert 0 < len(pages[-1]) <= (limit or 20)
        order = [int(session[1:]) // 6 for session in found]
        assert order == sorted(order, reverse=True)


async def test_what_becomes_active_meanwhile_disturbs_no_page(memory, do):
    """It moves to the front, and the others are listed nonetheless."""
    for number in range(6):
        await say(memory, do, f"s{number}", "hello")
        await asyncio.sleep(0.002)
    page = await do(memory, "sessions", "support", "alice", limit=2)
    await say(memory, do, "s0", "again")
    await say(memory, do, "s4", "again")
    rest = await do(memory, "sessions", "support", "alice", after=page.next)
    assert [info.session for info in page] == ["s5", "s4"]
    assert [info.session for info in rest] == ["s3", "s2", "s1"]


@pytest.mark.parametrize("after", ["", "x", "12", "12:", ":a", "1.5:a", "٣:a", "1:\ud800", 3])
async def test_a_position_that_is_none_is_refused(memory, do, after):
    """It is the ``next`` of a page, and nothing else."""
    with pytest.raises(ConfigurationError, match="next of a page"):
        await do(memory, "sessions", "support", "alice", after=after)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "3"])
async def test_a_limit_that_is_none_is_refused(memory, do, limit):
    """It is a positive number."""
    with pytest.raises(ConfigurationError, match="limit"):
        await do(memory, "sessions", "support", "alice", limit=limit)


@pytest.mark.parametrize("wrong", ["", None, 3])
@pytest.mark.parametrize("position", range(2))
async def test_an_id_that_is_none_is_refused(memory, do, wrong, position):
    """By whatever takes one."""
    given = ["support", "alice"]
    given[position] = wrong
    for name in ("sessions", "count_sessions"):
        with pytest.raises(ConfigurationError, match=r"agent|user_id"):
            await do(memory, name, *given)


def test_a_listing_takes_two_trips(memory):
    """One for the index, one for the sessions; a third where some have expired."""
    for number in range(30):
        memory.history("support", "alice", f"s{number}").add_user_message("hello")
    memory.sessions("support", "alice")
    before = memory.round_trips
    memory.sessions("support", "alice")
    assert memory.round_trips - before == 2


CALL = {"name": "look", "args": {}, "id": "c1"}
CONVERSATION = [
    HumanMessage("one", id="m1"),
    AIMessage("", tool_calls=[CALL], id="m2"),
    ToolMessage("found", tool_call_id="c1", id="m3"),
    AIMessage("two", id="m4"),
    HumanMessage("three", id="m5"),
    AIMessage("four", id="m6"),
]


@FEW
@pytest.mark.parametrize("until", [..., 1, 4, 6, "m1", "m4", "m6"])
async def test_a_copy_goes_its_own_way(place, do, until):
    """It holds the messages up to the one named, and what is said there stays there."""
    async with place.memory() as memory:
        history = memory.history("support", "alice", "s1")
        await do(history, "add_messages", CONVERSATION)
        number = {"m1": 1, "m4": 4, "m6": 6, ...: 6}.get(until, until)
        for _ in range(2):  # once more does no harm
            copied = await do(memory, "copy_session", "support", "alice", "s1", "s2", until=until)
            assert copied == number
        copy = memory.history("support", "alice", "s2")
        assert await do.messages(copy) == CONVERSATION[:number]
        await do(copy, "add_messages", [HumanMessage("elsewhere")])
        assert await do.messages(history) == CONVERSATION
        assert await do.messages(copy) == [*CONVERSATION[:number], HumanMessage("elsewhere")]
        assert sorted(await ids(memory, do)) == ["s1", "s2"]
        assert await do(copy, "time_to_live") is not None


@pytest.mark.parametrize(
    ("arguments", "until", "message"),
    [
        (("s1", "s2"), 2, "parts a tool's result"),
        (("s1", "s2"), "m2", "parts a tool's result"),
        (("s1", "s2"), "m9", "no message of the session"),
        (("s1", "s2"), 7, "has 6 messages"),
        (("s1", "s2"), 0, "until"),
        (("s1", "s2"), -1, "until"),
        (("s1", "s2"), 1.5, "until"),
        (("s1", "s2"), None, "until is None"),
        (("s1", "s1"), ..., "to itself"),
        (("s3", "s2"), ..., "no such session"),
        (("s1", ""), ..., "must not be empty"),
        (("s1", "other"), ..., "with other messages"),
        (("s1", "longer"), 4, "with other messages"),
    ],
)
async def test_a_copy_that_cannot_be_made_is_refused(memory, do, arguments, until, message):
    """And nothing is written."""
    memory.history("support", "alice", "s1").add_messages(CONVERSATION)
    memory.history("support", "alice", "other").add_messages([HumanMessage("x")] * 6)
    memory.history("support", "alice", "longer").add_messages(CONVERSATION)
    before = memory.sessions("support", "alice")
    with pytest.raises(ConfigurationError, match=message):
        await do(memory, "copy_session", "support", "alice", *arguments, until=until)
    after = memory.sessions("support", "alice")
    assert [(i.session, i.last_active) for i in after] == [
        (i.session, i.last_active) for i in before
    ]
    assert memory.history("support", "alice", "s2").messages == []
    assert memory.count_sessions("support", "alice") == 3


async def test_a_copy_lives_as_the_memory_says(place_without_expiry, do):
    """For ever if conversations do."""
    memory = place_without_expiry
    memory.history("support", "alice", "s1").add_user_message("hello")
    await do(memory, "copy_session", "support", "alice", "s1", "s2")
    assert memory.history("support", "alice", "s2").time_to_live() is None
    assert memory.history("support", "alice", "s2").count() == 1


@pytest.fixture
async def place_without_expiry(server):
    """A memory whose conversations never expire."""
    from langchain_redis_memory import RedisMemory

    async with RedisMemory.from_url(server.url, ttl=None) as memory:
        yield memory


async def test_without_redis_there_are_no_sessions_and_no_copies(do, tmp_path):
    """Going on without memory, a listing is empty; a copy that was not made is an error."""
    from langchain_redis_memory import RedisMemory, RetryPolicy

    url = f"unix://{tmp_path}/nobody.sock"
    retry = RetryPolicy(deadline=0.2)
    async with RedisMemory.from_url(url, on_unavailable="stateless", retry=retry) as memory:
        assert list(await do(memory, "sessions", "support", "alice")) == []
        assert await do(memory, "count_sessions", "support", "alice") == 0
        with pytest.raises(StorageUnavailable):
            await do(memory, "copy_session", "support", "alice", "s1", "s2")


def test_a_page_is_a_sequence(memory):
    """With what a sequence has."""
    for session in ("one", "two"):
        memory.history("support", "alice", session).add_user_message("hello")
        time.sleep(0.002)
    page = memory.sessions("support", "alice")
    assert page[0].session == "two"
    assert [info.session for info in page[::-1]] == ["one", "two"]
    assert page[1] in page
    assert len(page) == 2


@pytest.mark.parametrize("ttl", [None, 10**7])
async def test_copying_leaves_the_original_as_it_is(memory, do, ttl):
    """It expires when it would have, whatever the memory's own time to live."""
    history = memory.history("support", "alice", "s1", ttl=ttl)
    history.add_messages(CONVERSATION)
    before = history.time_to_live()
    await do(memory, "copy_session", "support", "alice", "s1", "s2")
    after = history.time_to_live()
    assert after is None if ttl is None else before - 5 < after <= before


async def test_a_copy_that_is_made_again_lives_on(memory, do, server):
    """As if it had been made now."""
    memory.history("support", "alice", "s1").add_messages(CONVERSATION)
    await do(memory, "copy_session", "support", "alice", "s1", "s2")
    server.client.pexpire("agent:memory:support:alice:s2", 1000)
    await do(memory, "copy_session", "support", "alice", "s1", "s2")
    assert memory.history("support", "alice", "s2").time_to_live() > 1000


async def test_a_repeat_finds_the_copy_that_somebody_went_on_from(memory, do, monkeypatch):
    """The answer was lost, and others were faster; the copy was made nonetheless."""
    from langchain_redis_memory.sessions import copying

    memory.history("support", "alice", "s1").add_messages(CONVERSATION)
    create = copying._create

    def late(*args):
        operation = create(*args)
        memory._connection.run(operation)
        memory.history("support", "alice", "s2").add_user_message("faster")
        return operation.repeated()

    monkeypatch.setattr(copying, "_create", late)
    assert await do(memory, "copy_session", "support", "alice", "s1", "s2") == 6
    assert memory.history("support", "alice", "s2").count() == 7


async def test_many_expired_sessions_cost_few_trips(memory, do, server):
    """Also where few are wanted."""
    index = "agent:memory:support:alice:sessions"
    server.client.zadd(index, {f"gone{number}": number + 10**12 for number in range(5000)})
    server.client.rpush("agent:memory:support:alice:s1", "x")
    server.client.zadd(index, {"s1": 1})
    before = memory.round_trips
    page = await do(memory, "sessions", "support", "alice", limit=1)
    assert [info.session for info in page] == ["s1"]
    assert memory.round_trips - before < 60


async def test_a_key_of_another_type_is_no_session(memory, do, server):
    """Nor does it keep the others from being listed."""
    memory.history("support", "alice", "s1").add_user_message("hello")
    server.client.set("agent:memory:support:alice:odd", "x")
    server.client.zadd("agent:memory:support:alice:sessions", {"odd": 10**12})
    found = await do(memory, "sessions", "support", "alice")
    assert [info.session for info in found] == ["s1"]


@pytest.mark.parametrize("place", ["cluster"], indirect=True)
async def test_a_cluster_that_looks_like_one_server_is_listed(place, monkeypatch):
    """As behind a proxy: a call across slots is refused, and the sessions are asked for singly."""
    async with place.memory() as memory:
        for number in range(10):
            memory.history("support", "alice", f"s{number}").add_user_message("hello")
        monkeypatch.setattr(memory._connection.server, "spans_slots", False, raising=False)
        assert len(memory.sessions("support", "alice")) == 10
