"""Connections that are kept for the next request: which are used again, and which are not."""

from __future__ import annotations

import asyncio
import contextlib
import socketserver
import threading

import pytest
import redis
from langchain_core.messages import HumanMessage

from langchain_redis_memory import (
    RedisMemory,
    RetryPolicy,
    StorageRejected,
    StorageUnavailable,
)

ONCE = RetryPolicy(attempts=1)
MESSAGES = [HumanMessage("hello")]


def talk(memory):
    return memory.conversation("support", "alice", "s1")


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
        executor = await memory._connection._executor_of_loop()
        (connection,) = executor.client.connection_pool._in_use_connections
        connection.set_re_auth_token(object())
        before = server.connections()
        for _ in range(3):  # the first still by the old connection, which is given back then
            assert (await talk(memory).aread()).messages == MESSAGES
        assert server.connections() - before == 1


async def test_a_connection_on_which_something_unasked_for_comes_is_left(server):
    """As it would be taken for the reply to the next request."""
    async with RedisMemory.from_url(server.url) as memory:
        await talk(memory).aappend(MESSAGES)
        executor = await memory._connection._executor_of_loop()
        (wire,) = executor.client.connection_pool._idle
        wire.data_received(b"$5\r\nhello\r\n")
        before = server.connections()
        assert (await talk(memory).aread()).messages == MESSAGES
        assert server.connections() - before == 1


@pytest.fixture
def stranger():
    """A server that is no Redis, and answers everybody in its own way."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(ConnectionError):
                while self.request.recv(65536):
                    self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

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
