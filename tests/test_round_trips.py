"""A turn is two requests and no new connection, counted where they arrive."""

from __future__ import annotations

import asyncio
import operator
from operator import itemgetter

import pytest
from agents import CONFIG as AGENT_CONFIG
from agents import WAYS as AGENT_WAYS
from agents import Scripted, agent_of, calling, saying
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver

CONFIG = {"configurable": {"session_id": "s", "user_id": "u"}}
CALLS = [{"name": "add", "args": {}, "id": str(number)} for number in range(50)]
RESULTS = [ToolMessage("1", tool_call_id=call["id"]) for call in CALLS]
PROMPT = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{input}")])
FORMS = {
    "messages": (lambda answer: answer, {}, "hi"),
    "input key": (
        lambda answer: itemgetter("input") | answer,
        {"input_messages_key": "input"},
        {"input": "hi"},
    ),
    "history key": (
        lambda answer: PROMPT | answer,
        {"input_messages_key": "input", "history_messages_key": "history"},
        {"input": "hi"},
    ),
    "messages with ids": (lambda answer: answer, {}, [HumanMessage("hi", id="1")]),
}


async def _stream(chat, value):
    return list(chat.stream(value, CONFIG))


async def _astream(chat, value):
    return [piece async for piece in chat.astream(value, CONFIG)]


async def _invoke(chat, value):
    return chat.invoke(value, CONFIG)


async def _ainvoke(chat, value):
    return await chat.ainvoke(value, CONFIG)


async def _abandoned(chat, value):
    stream = chat.stream(value, CONFIG)
    next(stream)
    stream.close()


async def _aabandoned(chat, value):
    stream = chat.astream(value, CONFIG)
    await anext(stream)
    await stream.aclose()


SYNC = {"invoke": _invoke, "stream": _stream, "abandoned stream": _abandoned}
ASYNC = {"ainvoke": _ainvoke, "astream": _astream, "abandoned astream": _aabandoned}
WAYS = SYNC | ASYNC


class Counted:
    """What reached the server, and what the memory says it sent, since the last look."""

    def __init__(self, server, memory):
        self._server = server
        self._memory = memory
        self.look()

    def look(self):
        self._before = self._now()

    def since(self):
        # Looking is two requests itself, of which two lie between one look and the next.
        trips, connections, told = map(operator.sub, self._now(), self._before)
        return trips - 2, connections, told

    def _now(self):
        return self._server.trips(), self._server.connections(), self._memory.round_trips


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
async def test_a_warm_turn_is_two_round_trips(server, memory, form, way):
    """One to read and one to write, whatever the form and the way to call."""
    wrap, keys, value = FORMS[form]
    chat = memory.with_history(wrap(RunnableLambda(lambda _: "yo")), agent="a", **keys)
    await WAYS[way](chat, value)
    counted = Counted(server, memory)
    for _ in range(3):
        counted.look()
        await WAYS[way](chat, value)
        assert counted.since() == (2, 0, 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
async def test_fifty_tool_messages_are_two_round_trips(server, memory, form, way):
    """The length of a turn costs no round trip."""
    wrap, keys, value = FORMS[form]
    reply = [AIMessage("", tool_calls=CALLS), *RESULTS, AIMessage("50 results")]
    chat = memory.with_history(wrap(RunnableLambda(lambda _: list(reply))), agent="a", **keys)
    await WAYS[way](chat, value)
    counted = Counted(server, memory)
    for _ in range(3):
        counted.look()
        await WAYS[way](chat, value)
        pieces, connections, told = counted.since()
        assert (connections, told) == (0, 2)
        # A synchronous client sends a request of over 6,000 bytes in two pieces, and waits once.
        assert pieces in ((2,) if way in ASYNC else (2, 3))


def _assert_few(counted, most):
    """See that there were few trips, and none more but those by which a connection begins."""
    trips, connections, told = counted.since()
    assert 2 <= told <= most
    assert told <= trips <= told + 3 * connections


async def test_turns_at_once_share_round_trips(server, memory):
    """Ten turns of as many sessions read in one trip, and write in few."""
    chat = memory.with_history(RunnableLambda(lambda _: "yo"), agent="a")
    configs = [{"configurable": {"session_id": f"s{number}"}} for number in range(10)]

    async def all_at_once():
        await asyncio.gather(*(chat.ainvoke("hi", config) for config in configs))

    await all_at_once()
    counted = Counted(server, memory)
    await all_at_once()
    _assert_few(counted, 11)


@pytest.mark.parametrize("options", [{"window": 4}, {"max_messages": 6}, {"ttl": None}])
async def test_limits_cost_no_round_trip(server, memory, options):
    """A window, a size and a time to live are part of the same two requests."""
    chat = memory.with_history(RunnableLambda(lambda _: "yo"), agent="a", **options)
    for _ in range(5):
        chat.invoke("hi", CONFIG)
    counted = Counted(server, memory)
    chat.invoke("hi", CONFIG)
    assert counted.since() == (2, 0, 2)


def test_failing_runnables_cost_one_round_trip(server, memory):
    """There is nothing to write for them."""

    def fail(_messages):
        raise RuntimeError

    chat = memory.with_history(fail, agent="a")
    memory.ping()
    counted = Counted(server, memory)
    with pytest.raises(RuntimeError):
        chat.invoke("hi", CONFIG)
    assert counted.since() == (1, 0, 1)


# Agents


AGENT_TURNS = {
    "without tools": lambda: ["yo"],
    "with a tool": lambda: [calling(("add", {"a": 1, "b": 2})), "3."],
    "with fifty calls": lambda: [calling(*([("add", {"a": 1, "b": 2})] * 50)), "3."],
    "with ten steps": lambda: [*([calling(("add", {"a": 1, "b": 2}))] * 10), "3."],
}


@pytest.mark.parametrize("options", [{}, {"window": 4}, {"profile": False}, {"max_messages": 9}])
@pytest.mark.parametrize("turn", AGENT_TURNS)
@pytest.mark.parametrize("way", ["invoke", "astream messages"])
async def test_an_agents_turn_is_two_round_trips(server, memory, turn, options, way):
    """One for the window and the profile, one for all that was said."""
    memory.profile("u").update({"tone": "dry"})
    model = Scripted(script=[reply for _ in range(4) for reply in AGENT_TURNS[turn]()])
    agent = agent_of(memory, model, **options)
    await AGENT_WAYS[way](agent, saying("hi"))
    counted = Counted(server, memory)
    for _ in range(3):
        counted.look()
        await AGENT_WAYS[way](agent, saying("hi"))
        pieces, connections, told = counted.since()
        assert (connections, told) == (0, 2)
        # A synchronous client sends a request of over 6,000 bytes in two pieces, and waits once.
        # Of larger ones the server sees more pieces.
        assert pieces in (2, 3) or "fifty" in turn


async def test_agents_at_once_share_round_trips(server, memory):
    """Ten turns of as many sessions, with a checkpointer: two trips each at most."""
    agent = agent_of(memory, lambda _: "yo", checkpointer=InMemorySaver())
    configs = [{"configurable": {"thread_id": f"s{number}"}} for number in range(10)]

    async def all_at_once():
        await asyncio.gather(*(agent.ainvoke(saying("hi"), config) for config in configs))

    await all_at_once()
    counted = Counted(server, memory)
    await all_at_once()
    _assert_few(counted, 20)


@pytest.mark.parametrize("keep", [False, True])
def test_a_failing_agent(server, memory, keep):
    """Costs one round trip, and another where its steps are kept."""
    script = ["yo", calling(("add", {"a": 1, "b": 2})), RuntimeError()]
    agent = agent_of(memory, script, keep_failed_steps=keep)
    agent.invoke(saying("hi"), AGENT_CONFIG)
    counted = Counted(server, memory)
    with pytest.raises(RuntimeError):
        agent.invoke(saying("hi"), AGENT_CONFIG)
    assert counted.since() == ((2, 0, 2) if keep else (1, 0, 1))
