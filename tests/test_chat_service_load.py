"""Many at once on one process of the chat service."""

from __future__ import annotations

import asyncio
import http.client
import time

import httpx
import pytest
from chat_services import ChatService, events, threads_of, turn

USERS, TURNS = 20, 10


@pytest.fixture
def service(server, tmp_path):
    """A service with no conversations yet."""
    service = ChatService(tmp_path, "--url", server.url, "--delay", "0.001")
    yield service
    service.stop()


async def at_once(calls):
    """Give the results of all; the first that fails ends the others, which would leave sockets."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(call) for call in calls]
    return [task.result() for task in running]


async def reply_of(client, path, body):
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    if path == "/run":
        return response.json()["reply"], response.json()["memory"]
    *tokens, (_, end) = events(response.text.splitlines())
    return "".join(data["text"] for _, data in tokens), end["memory"]


@pytest.mark.parametrize("path", ["/run", "/run/stream"])
async def test_200_turns_at_once_are_neither_lost_nor_mixed_up(service, path):
    """Ten of each of 20 users at once: each thread has its own ten, each with its own reply."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=service.url, timeout=120, limits=limits) as client:

        async def say(user, number):
            text = f"My number {number} of user{user}x is {user * 1000 + number}."
            return await reply_of(client, path, turn(text, f"user{user}x"))

        pairs = [(user, number) for number in range(TURNS) for user in range(USERS)]
        replies = await at_once(say(*pair) for pair in pairs)
        for (user, number), (reply, memory) in zip(pairs, replies, strict=True):
            assert reply == f"Noted: your {noted(user, number)}."
            assert memory
        for user in range(USERS):
            found = (await client.get(f"{threads_of(f'user{user}x')}/t1")).json()["messages"]
            texts = [message["text"] for message in found]
            turns = list(zip(texts[::2], texts[1::2], strict=True))
            expected = [
                (f"My {noted(user, n)}.", f"Noted: your {noted(user, n)}.") for n in range(TURNS)
            ]
            assert sorted(turns) == sorted(expected)


def noted(user, number):
    return f"number {number} of user{user}x is {user * 1000 + number}"


async def test_conversations_at_once_go_on_in_order(service):
    """200 users tell a name, and each is called by it; each thread is in order."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=service.url, timeout=120, limits=limits) as client:

        async def converse(user):
            path = "/run/stream" if user % 2 else "/run"
            prompts = (f"My name is N{user}.", "What is my name?")
            return [await reply_of(client, path, turn(p, f"user{user}")) for p in prompts]

        for user, replies in enumerate(await at_once(map(converse, range(200)))):
            expected = [f"Nice to meet you, N{user}.", f"Your name is N{user}."]
            assert replies == [(reply, True) for reply in expected]
            found = (await client.get(f"{threads_of(f'user{user}')}/t1")).json()["messages"]
            assert [message["text"] for message in found] == [
                *(f"My name is N{user}.", expected[0]),
                *("What is my name?", expected[1]),
            ]


def test_a_connection_stays_open_while_clients_may_use_it_again(service):
    """Httpx and uvicorn both end one that was idle for 5 s, and a request may fall in between."""
    client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    for pause in (0, 5.5):
        time.sleep(pause)
        client.request("GET", "/openapi.json")
        assert client.getresponse().read()
    client.close()
