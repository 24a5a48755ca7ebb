"""Callers on an event loop share connections: in order, apart from each other, and few of them."""

from __future__ import annotations

import asyncio
import random
import signal
import threading

import pytest
from langchain_core.messages import HumanMessage
from servers import wait_until

from langchain_redis_memory import (
    MemoryClosedError,
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
)
from langchain_redis_memory.storage.operation import Operation

WHERE = pytest.mark.parametrize(
    "place", ["socket", "standalone", "sentinel", "cluster"], indirect=True
)


def talk(memory, number):
    """Give a conversation of a user of its own, whose keys are spread over a cluster."""
    return memory.conversation("support", f"user {number}", f"session {number}")


async def filled(memory, count):
    """Give conversations that each hold their own number."""
    talks = [talk(memory, number) for number in range(count)]
    await asyncio.gather(
        *(each.aappend([HumanMessage(str(number))]) for number, each in enumerate(talks))
    )
    return talks


def contents(reading):
    return [message.content for message in reading.messages]


async def own(number, conversation):
    """Read a conversation, and see that it is the right one."""
    assert contents(await conversation.aread()) == [str(number)]
    return number


def primaries(place):
    return [node for node in place.servers if node.info("replication")["role"] == "master"]


# Sharing


async def test_requests_of_one_tick_are_few_trips(server, memory):
    """A hundred reads at once are a few requests at the server, and count as such."""
    talks = await filled(memory, 100)
    await own(0, talks[0])  # the scripts are known from now on
    trips, told = server.trips(), memory.round_trips
    await asyncio.gather(*(own(number, each) for number, each in enumerate(talks)))
    trips, told = server.trips() - trips - 1, memory.round_trips - told
    assert told <= 5
    assert trips <= 2 * told  # a server under load reads a long request in two pieces


@WHERE
async def test_trips_are_shared_everywhere(place):
    """What leaves for several nodes of a cluster at once is one trip, as for a single caller."""
    async with place.memory() as memory:
        talks = await filled(memory, 100)
        before = memory.round_trips
        await asyncio.gather(*(own(number, each) for number, each in enumerate(talks)))
        assert memory.round_trips - before <= 10


async def test_no_more_connections_are_opened_than_are_allowed(server):
    """However many callers there are, and however much each of them sends."""
    async with RedisMemory.from_url(server.url, max_connections=3) as memory:
        before = server.connections()
        messages = [HumanMessage("x" * 50_000)]
        await asyncio.gather(*(talk(memory, n).aappend(messages) for n in range(100)))
        found = await asyncio.gather(*(talk(memory, n).aread() for n in range(100)))
        assert all(reading.messages == messages for reading in found)
        assert 1 < server.connections() - before <= 3


async def test_a_long_reply_holds_up_nobody_who_comes_later(memory_here):
    """They travel on another connection."""
    long = talk(memory_here, 1)
    await long.aappend([HumanMessage("x" * 1000)] * 10_000)
    done = []

    async def note(name, work):
        await work
        done.append(name)

    reading = asyncio.ensure_future(note("long", long.aread()))
    for _ in range(3):
        await asyncio.sleep(0)
    await note("short", memory_here.aping())
    await reading
    assert done == ["short", "long"]


async def test_who_must_wait_for_the_same_key_takes_up_no_connection(server):
    """One that is free serves a request that comes just then."""
    async with RedisMemory.from_url(server.url, max_connections=2) as memory:
        long = talk(memory, 1)
        await long.aappend([HumanMessage("x" * 1000)] * 10_000)
        for ticks in range(4):
            done = []

            async def note(name, work, done=done):
                await work
                done.append(name)

            tasks = [asyncio.ensure_future(note("long", long.aread()))]
            for _ in range(3):
                await asyncio.sleep(0)
            tasks.append(asyncio.ensure_future(note("same", long.aread())))
            for _ in range(ticks):
                await asyncio.sleep(0)
            await asyncio.gather(*tasks, note("short", memory.aping()))
            assert done == ["short", "long", "same"]


@pytest.mark.parametrize("place", ["cluster"], indirect=True)
async def test_a_node_that_is_slow_holds_up_nobody_elsewhere(place):
    """Only those wait who have sent it something."""
    async with place.memory() as memory:
        keys = [f"mine:{number}" for number in range(60)]
        await asyncio.gather(*(memory.aset(key, key) for key in keys))
        slow = primaries(place)[0]
        there = set(slow.keys("mine:*"))  # the test's own few
        slow.client_pause(1000)
        waits = [asyncio.ensure_future(memory.aget(key)) for key in keys if key in there]
        others = [key for key in keys if key not in there]
        assert await asyncio.gather(*map(memory.aget, others)) == others
        assert waits
        assert not any(task.done() for task in waits)
        assert set(await asyncio.gather(*waits)) == there


# Order


@WHERE
async def test_what_one_task_sends_arrives_in_order(place):
    """Also when it waits for nothing, and when it is more than travels together."""
    async with place.memory() as memory:
        one = talk(memory, 1)
        await one.aappend([HumanMessage("0")])  # the scripts are known from now on
        sent = []
        for number in range(1, 300):
            sent.append(asyncio.ensure_future(one.aappend([HumanMessage(str(number))])))
            if not number % 50:
                await asyncio.sleep(0)
        await asyncio.gather(*sent)
        assert contents(await one.aread()) == [str(number) for number in range(300)]


# Errors


@WHERE
async def test_an_error_reaches_the_one_who_caused_it(place):
    """A key of another type fails its own caller; the others get their messages."""
    async with place.memory() as memory:
        talks = await filled(memory, 50)
        for each in talks[::7]:
            place.client.delete(each.key)
            place.client.set(each.key, "text")
        results = await asyncio.gather(*(each.aread() for each in talks), return_exceptions=True)
        for number, result in enumerate(results):
            if number % 7:
                assert contents(result) == [str(number)]
            else:
                assert isinstance(result, StorageRejected)
                assert talks[number].key in str(result)
        # Each has an error of its own, though they came in one batch.
        assert len({id(result) for result in results}) == 50


@WHERE
async def test_scripts_that_are_gone_are_sent_again(place):
    """By those who need them, and nobody's messages are lost, doubled or another's."""
    async with place.memory() as memory:
        talks = await filled(memory, 50)
        for node in primaries(place):
            node.script_flush()
        await asyncio.gather(
            *(each.aappend([HumanMessage(f"{n} again")]) for n, each in enumerate(talks)),
            *(memory.aping() for _ in range(20)),
        )
        for number, each in enumerate(talks):
            assert contents(await each.aread()) == [str(number), f"{number} again"]


@WHERE
async def test_what_cannot_be_sent_harms_nobody_else(place):
    """An argument of a wrong type fails its own caller."""
    wrong = Operation("trying", (("SET", "mine:key", object()),), lambda replies: replies)
    async with place.memory() as memory:
        talks = await filled(memory, 20)
        *others, refused = await asyncio.gather(
            *(own(number, each) for number, each in enumerate(talks)),
            memory._connection.arun(wrong),
            return_exceptions=True,
        )
        assert others == list(range(20))
        assert isinstance(refused, StorageRejected)


# Callers who leave


@WHERE
async def test_callers_leave_one_by_one(place):
    """At any moment; the others get what is theirs, and no connection is lost by it."""
    chance = random.Random(7)
    before = place.received()
    async with place.memory() as memory:
        talks = await filled(memory, 100)
        for _ in range(20):
            tasks = [asyncio.ensure_future(own(n, each)) for n, each in enumerate(talks)]
            left = set()
            while not all(task.done() for task in tasks):
                leaving = chance.randrange(100)
                if tasks[leaving].cancel():
                    left.add(leaving)
                await asyncio.sleep(chance.choice((0, 0, 0.0001)))
            for number, task in enumerate(tasks):
                assert task.cancelled() if number in left else task.result() == number
        opened = [now - then for now, then in zip(place.received(), before, strict=True)]
        assert max(opened) <= 10
        await asyncio.gather(*(own(number, each) for number, each in enumerate(talks)))


async def test_each_caller_has_a_deadline_of_its_own(server):
    """One gives up on a server that pauses; the others wait, and get their replies."""
    async with RedisMemory.from_url(server.url) as memory:
        talks = await filled(memory, 20)
        connections = server.connections()
        server.client.client_pause(500)
        others = [asyncio.ensure_future(own(number, talks[number])) for number in range(1, 20)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await own(0, talks[0])
        assert not any(task.done() for task in others)
        assert await asyncio.gather(*others) == list(range(1, 20))
        assert server.connections() == connections


@pytest.mark.parametrize("options", [{}, {"socket_timeout": None}])
async def test_a_server_that_hangs_is_left(start_server, options):
    """All callers are told within their deadline, and nothing goes on waiting."""
    hanging = start_server()
    policy = RetryPolicy(deadline=1)
    async with RedisMemory.from_url(hanging.url, retry=policy, **options) as memory:
        talks = await filled(memory, 20)
        tasks = asyncio.all_tasks()
        hanging.process.send_signal(signal.SIGSTOP)
        results = await asyncio.gather(*(each.aread() for each in talks), return_exceptions=True)
        assert {type(result) for result in results} == {StorageUnavailable}
        if left := asyncio.all_tasks() - tasks:
            await asyncio.wait(left)
        hanging.process.send_signal(signal.SIGCONT)
        assert await asyncio.gather(*(own(n, each) for n, each in enumerate(talks)))


# Connections that break


def cut_all(node):
    """End all connections but our own, and those by which sentinels watch."""
    own = node.client_id()
    for client in node.client_list(_type="normal"):
        if int(client["id"]) != own and not client["name"].startswith("sentinel-"):
            node.client_kill_filter(_id=client["id"])


@WHERE
async def test_cut_connections_lose_and_double_nothing(place):
    """Whatever was under way on them is sent again, each request by itself."""
    async with place.memory() as memory:
        talks = await filled(memory, 20)
        nodes, ended = primaries(place), threading.Event()

        def cut():
            while not ended.wait(0.002):
                for node in nodes:
                    cut_all(node)

        async def add(number):
            for turn in range(15):
                await talks[number].aappend([HumanMessage(f"{number}.{turn}")])

        cutting = asyncio.ensure_future(asyncio.to_thread(cut))
        try:
            await asyncio.gather(*map(add, range(20)))
        finally:
            ended.set()
        await cutting
        for number, each in enumerate(talks):
            expected = [str(number), *(f"{number}.{turn}" for turn in range(15))]
            assert contents(await each.aread()) == expected


@pytest.mark.parametrize("place", ["cluster"], indirect=True)
async def test_slots_that_have_moved_are_followed(place, cluster_servers):
    """By all who did not know, and from then on they are asked for where they are."""
    source = cluster_servers.primary_of("mine:here")
    target = next(node for node in cluster_servers.nodes[:3] if node is not source)
    slot = source.client.cluster("KEYSLOT", "mine:here")

    def move(giver, taker):
        """As ``redis-cli --cluster reshard`` does, until every node knows."""
        old, new = (each.client.execute_command("CLUSTER", "MYID") for each in (giver, taker))
        taker.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", old)
        giver.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", new)
        # The taker first: only who was importing tells the others under a newer epoch.
        for each in (taker, giver):
            each.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new)
        cluster_servers.wait_until_well()

    async with place.memory() as memory:
        await asyncio.gather(*(memory.aset(f"mine:{number}", "") for number in range(50)))
        move(source, target)
        await asyncio.gather(*(memory.aset("mine:here", "moved") for _ in range(20)))
        assert target.client.exists("mine:here")
        assert await memory.aget("mine:here") == "moved"
        before = memory.round_trips
        assert await memory.aget("mine:here") == "moved"
        assert memory.round_trips - before == 1
    target.client.delete("mine:here")
    move(target, source)


# Closing


@WHERE
async def test_closing_sees_through_what_is_under_way(place):
    """Each caller gets its own messages, or is told that the memory is closed."""
    others = place.connected()
    memory = RedisMemory.from_url(place.url)
    talks = await filled(memory, 200)
    for ticks in range(6):
        tasks = [asyncio.ensure_future(own(number, each)) for number, each in enumerate(talks)]
        for _ in range(ticks):
            await asyncio.sleep(0)
        await memory.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for number, result in enumerate(results):
            assert result == number or isinstance(result, MemoryClosedError)
        with pytest.raises(MemoryClosedError):
            await talks[0].aread()
        wait_until(lambda: not place.connected() - others, "all connections are closed")
        memory = RedisMemory.from_url(place.url)
        talks = [talk(memory, number) for number in range(200)]
    await memory.aclose()


@pytest.mark.parametrize(
    "place", ["standalone", "cluster", "given", "given_cluster"], indirect=True
)
async def test_what_is_closed_is_not_opened_again(place):
    """Not by who found a cluster in doubt, and would look for its nodes."""
    async with place.memory() as memory:
        await filled(memory, 3)
        way = (await memory._connection._client_of_loop()).executor._way
    way.doubt()

    async def come_back():
        await way.ready()
        await way.send([("GET", "x")], "", None)

    with pytest.raises(MemoryClosedError):
        await come_back()


def test_a_loop_that_ends_leaves_nothing_open(server):
    """Requests under way are cancelled with it, and the next loop starts anew."""
    memory = RedisMemory.from_url(server.url)
    before = server.connections()

    async def begin():
        talks = await filled(memory, 50)
        for number, each in enumerate(talks):
            background.add(asyncio.ensure_future(own(number, each)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    for _ in range(3):
        background: set[asyncio.Task[int]] = set()
        asyncio.run(begin())
        assert all(task.done() for task in background)
    open_now = len(server.client.client_list(_type="normal"))
    assert open_now < server.connections() - before
    memory.close()
