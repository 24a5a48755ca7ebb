"""Connections that are kept for the next request: which are used again, and which are not."""

from __future__ import annotations

import asyncio
import contextlib
import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from langchain_core.messages import HumanMessage

from langchain_redis_memory import (
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
)
from langchain_redis_memory.storage.pools import Pool
from langchain_redis_memory.storage.wire import Wire

ONCE = RetryPolicy(attempts=1)
MESSAGES = [HumanMessage("hello")]


def talk(memory, user="alice"):
    return memory.conversation("support", user, "s1")


async def pool_of(memory):
    return (await memory._connection._client_of_loop()).executor.client.connection_pool


def close_all(server):
    """Have the server close what others have opened."""
    server.client.client_kill_filter(_type="normal", skipme=True)


def test_a_thread_uses_its_connection_again(server):
    """And opens another one only while all are used."""
    with RedisMemory.from_url(server.url) as memory:
        talk(memory).append(MESSAGES)
        before = server.connections()
        for _ in range(5):
            talk(memory).read()
        assert server.connections() == before


def test_a_thread_uses_no_connection_that_was_closed_meanwhile(server):
    """Nor does it have to try again."""
    with RedisMemory.from_url(server.url, retry=ONCE) as memory:
        talk(memory).append(MESSAGES)
        close_all(server)
        assert talk(memory).read().messages == MESSAGES


def test_an_event_loop_uses_no_connection_that_was_closed_meanwhile(server):
    """Also when it has not looked since, and so cannot know."""
    with asyncio.Runner() as runner:
        memory = RedisMemory.from_url(server.url, retry=ONCE)
        runner.run(talk(memory).aappend(MESSAGES))
        close_all(server)
        assert runner.run(talk(memory).aread()).messages == MESSAGES
        runner.run(memory.aclose())


async def test_a_connection_whose_password_has_run_out_is_made_anew(server):
    """Redis-py notes the new token of a credential provider at connections that are in use."""
    async with RedisMemory.from_url(server.url) as memory:
        await talk(memory).aappend(MESSAGES)
        (connection,) = (await pool_of(memory))._in_use_connections
        connection.set_re_auth_token(object())
        before = server.connections()
        for _ in range(3):  # the first still by the old connection, which is given back then
            assert (await talk(memory).aread()).messages == MESSAGES
        assert server.connections() - before == 1


async def test_a_connection_on_which_something_unasked_for_comes_is_left(server):
    """As it would be taken for the reply to the next request."""
    async with RedisMemory.from_url(server.url) as memory:
        await talk(memory).aappend(MESSAGES)
        (wire,) = (await pool_of(memory))._idle
        wire.data_received(b"$5\r\nhello\r\n")
        before = server.connections()
        assert (await talk(memory).aread()).messages == MESSAGES
        assert server.connections() - before == 1


async def fill(memory, count):
    """Have a memory open that many connections, and give its pool."""
    await memory.aping()
    pool = await pool_of(memory)
    later = asyncio.get_running_loop().time() + 60
    taken = [pool.take() or await pool.open(later) for _ in range(count)]
    for wire in taken:
        pool.give_back(wire)
    return pool


async def test_connections_that_were_dropped_on_the_way_are_left_together(server):
    """When one brings nothing, the next attempt does not wait for the others in vain."""
    policy = RetryPolicy(attempts=2, deadline=60)
    options = {"max_connections": 5, "socket_timeout": 0.2}
    async with RedisMemory.from_url(server.url, retry=policy, **options) as memory:
        pool = await fill(memory, 5)
        for wire in pool._idle:
            wire._transport.pause_reading()
        assert await memory.aping()
        await fill(memory, 5)  # there is room for all again
        assert len(pool._in_use_connections) == 5


@pytest.mark.parametrize(("interval", "opened"), [(30, 1), (0, 0)])
async def test_a_connection_that_was_idle_for_long_is_made_anew(server, interval, opened):
    """A load balancer may have dropped it; an interval of 0 says that none does."""
    async with RedisMemory.from_url(server.url, health_check_interval=interval) as memory:
        await memory.aping()
        (wire,) = (await pool_of(memory))._idle
        wire._active -= 31
        before = server.connections()
        await memory.aping()
        assert server.connections() - before == opened


async def test_what_came_behind_a_reply_is_no_reply(server):
    """Not even when the reader has it already."""
    async with RedisMemory.from_url(server.url) as memory:
        await talk(memory).aappend(MESSAGES)
        (wire,) = (await pool_of(memory))._idle
        wire._reader.feed(b"+unasked\r\n")
        assert (await talk(memory).aread()).messages == MESSAGES


def test_an_interrupt_mixes_up_nothing(server, monkeypatch):
    """Though the reply that was read just then is lost, and the event loop goes on."""
    taken = []
    take = Wire._take

    def interrupted(self, reply):
        taken.append(reply)
        if len(taken) == 5:
            raise KeyboardInterrupt
        take(self, reply)

    async def own(conversation):
        return [message.content[:2] for message in (await conversation.aread()).messages]

    async def begin():
        tasks.extend(asyncio.ensure_future(own(each)) for each in talks)
        await asyncio.wait(tasks)

    with asyncio.Runner() as runner:
        memory = RedisMemory.from_url(server.url)
        talks = [talk(memory, f"user{n}") for n in range(20)]
        for number, each in enumerate(talks):
            runner.run(each.aappend([HumanMessage(f"{number:02}" + "x" * 100_000)]))
        tasks: list[asyncio.Task[list[str]]] = []
        monkeypatch.setattr(Wire, "_take", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runner.run(begin())
        runner.run(asyncio.wait_for(asyncio.gather(*tasks), 60))
        assert [task.result() for task in tasks] == [[f"{n:02}"] for n in range(20)]
        runner.run(memory.aclose())


@pytest.mark.parametrize("place", ["sentinel"], indirect=True)
async def test_connections_to_a_former_primary_are_left(place):
    """The idle ones when the sentinels name another, the others when they are given back."""
    async with place.memory(max_connections=3) as memory:
        pool = await fill(memory, 3)
        used = pool.take()
        pool.master_address = ("127.0.0.1", 1)
        await pool.get_master_address()
        assert not any(wire.is_open for wire in pool._idle)
        assert used.is_open
        pool.master_address = ("127.0.0.1", 1)
        pool.give_back(used)
        assert not used.is_open
        await fill(memory, 3)


def test_idle_connections_are_closed_under_nobody_s_hands(server):
    """A thread that begins to use one just then has it, or another one."""
    with RedisMemory.from_url(server.url, retry=ONCE) as memory:
        talk(memory).append(MESSAGES)
        pool = memory._connection.client.connection_pool
        ended = threading.Event()

        def leave():
            while not ended.is_set():
                pool.disconnect(inuse_connections=False)

        leaving = threading.Thread(target=leave)
        leaving.start()
        try:
            with ThreadPoolExecutor(8) as threads:
                found = threads.map(lambda _: talk(memory).read().messages, range(1000))
                assert all(messages == MESSAGES for messages in found)
        finally:
            ended.set()
            leaving.join()
        assert len(pool._connections) <= 10


@pytest.fixture
def stranger(request):
    """A server that is no Redis, and answers everybody in its own way."""
    answer = getattr(request, "param", b"HTTP/1.1 400 Bad Request\r\n\r\n")

    class Answering(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(ConnectionError):
                while self.request.recv(65536):
                    self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"redis://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


async def test_a_server_that_is_no_redis_is_an_error(stranger, do):
    """At once, and not when a deadline has come."""
    async with RedisMemory.from_url(stranger, retry=RetryPolicy(attempts=1, deadline=60)) as memory:
        with pytest.raises((StorageRejected, StorageUnavailable)) as raised:
            await do(talk(memory), "read")
    assert isinstance(raised.value.__cause__, redis.RedisError)


@pytest.mark.parametrize("stranger", [b"%1\r\n*1\r\n:1\r\n:2\r\n"], indirect=True)
async def test_a_reply_that_cannot_be_read_is_an_error(stranger):
    """And the memory is closed as ever: here a map whose key is a list."""
    async with RedisMemory.from_url(stranger, retry=ONCE) as memory:
        with pytest.raises((StorageRejected, StorageUnavailable)):
            await memory.aping()


async def test_a_connection_that_ended_while_it_was_set_up_is_not_waited_for(server):
    """Redis-py's stream was told of the end, and nobody is told of it twice."""
    async with RedisMemory.from_url(server.url) as memory:
        await memory.aping()
        connection = await (await pool_of(memory)).get_connection()
        close_all(server)
        assert await connection._reader.read() == b""
        assert not Wire(connection).is_open


@pytest.fixture
def pool(server):
    """Connections of threads, three of which are free."""
    kind = redis.UnixDomainSocketConnection
    pool = Pool(connection_class=kind, path=server.socket, max_connections=3, timeout=0.01)
    for connection in [pool.get_connection() for _ in range(3)]:
        pool.release(connection)
    yield pool
    pool.disconnect()


def test_connections_that_are_closed_are_taken_from_other_threads_first(pool, monkeypatch):
    """A cluster's client closes the free ones of a node that failed, while others take some."""
    taken = []

    def disconnect(connection, *args, **options):
        with contextlib.suppress(redis.ConnectionError):
            taken.append(pool.get_connection())
        close(connection, *args, **options)

    kind = redis.UnixDomainSocketConnection
    close = kind.disconnect
    monkeypatch.setattr(kind, "disconnect", disconnect)
    pool.disconnect_free_connections()
    assert [connection for connection in taken if connection._sock is None] == []


def without_socket(connection):
    connection._parser._sock = None  # the reader is taken next


def closed(connection):
    connection._sock.close()


@pytest.mark.parametrize("leave", [without_socket, closed])
def test_a_connection_that_another_thread_closes_meanwhile_is_lost(pool, leave):
    """Which is said as such, and so tried again."""
    connection = pool.get_connection()
    leave(connection)
    with pytest.raises(redis.ConnectionError):
        connection.can_read()
    connection.disconnect()
    pool.release(connection)


def without_reader(connection):
    connection._parser._reader = None


@pytest.mark.parametrize("leave", [without_reader, closed])
def test_a_connection_that_another_thread_closes_in_an_exchange_is_lost(pool, leave):
    """It may have applied what was sent, and nobody reads what comes of it."""
    connection = pool.get_connection()
    leave(connection)
    with pytest.raises(redis.ConnectionError):
        connection.exchange(b"*1\r\n$4\r\nPING\r\n", 1)
    assert connection._sock is None
    pool.release(connection)


def test_closing_that_is_interrupted_leaves_all_places(pool, monkeypatch):
    """As the stop button of a notebook does, or Ctrl-C."""

    def interrupt(connection, *args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(redis.UnixDomainSocketConnection, "disconnect", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pool.disconnect_free_connections()
    monkeypatch.undo()
    for connection in [pool.get_connection() for _ in range(3)]:
        pool.release(connection)
