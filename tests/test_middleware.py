"""`RedisMemoryMiddleware` in agents of `create_agent`: what is read, shown and stored."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from agents import (
    CONFIG,
    WAYS,
    Scripted,
    add,
    agent_of,
    calling,
    said,
    saying,
    stored,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_redis_memory import (
    ConfigurationError,
    RedisMemory,
    RedisMemoryMiddleware,
    RetryPolicy,
    TurnNotSavedError,
    UnstorableError,
)

SUM = [calling(("add", {"a": 1, "b": 2})), "It is 3."]
SUM_SAID = [
    ("human", "1 + 2?", []),
    ("ai", "", ["add"]),
    ("tool", "3", []),
    ("ai", "It is 3.", []),
]


@pytest.mark.parametrize("way", WAYS)
async def test_a_turn_is_stored_whole_and_comes_first_in_the_next(memory, way):
    """The user's message, calls, results and the reply, once; the next turn is shown them."""
    model = Scripted(script=[*SUM, "You are welcome."])
    agent = agent_of(memory, model)
    await WAYS[way](agent, saying("1 + 2?"))
    assert stored(memory) == SUM_SAID
    await WAYS[way](agent, saying("Thanks!"))
    assert said(model.given[-1]) == [*SUM_SAID, ("human", "Thanks!", [])]
    assert stored(memory) == [
        *SUM_SAID,
        ("human", "Thanks!", []),
        ("ai", "You are welcome.", []),
    ]


async def test_batches(memory):
    """Several runs at once of one agent, each in a session of its own."""
    agent = agent_of(memory, lambda given: f"re: {given[-1].content}")
    configs = [{"configurable": {"session_id": f"s{number}"}} for number in range(5)]
    agent.batch([saying(f"hi {number}") for number in range(5)], configs)
    await agent.abatch([saying(f"ho {number}") for number in range(5)], configs)
    for number in range(5):
        assert [text for _, text, _ in stored(memory, "default", f"s{number}")] == [
            f"hi {number}",
            f"re: hi {number}",
            f"ho {number}",
            f"re: ho {number}",
        ]


def test_the_caller_is_given_the_whole_thread(memory):
    """As with a checkpointer: what was read, and what was said now."""
    agent = agent_of(memory, ["yo", "bye"])
    agent.invoke(saying("hi"), CONFIG)
    state = agent.invoke(saying("ciao"), CONFIG)
    assert set(state) == {"messages"}
    assert [message.content for message in state["messages"]] == ["hi", "yo", "ciao", "bye"]


@pytest.mark.parametrize("mode", ["messages", "updates"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_streams_of_messages_hold_no_history(memory, mode, version):
    """What was said before is not streamed as if the agent said it now."""
    agent = agent_of(memory, ["yo", "bye for now"])
    agent.invoke(saying("hi"), CONFIG)
    if mode == "updates":
        pieces = agent.stream(saying("ciao"), CONFIG, stream_mode=mode, version=version)
        assert "bye for now" in str(list(pieces)[-2])
        return
    pieces = list(agent.stream(saying("ciao"), CONFIG, stream_mode=mode, version=version))
    parts = [piece["data"] if version == "v2" else piece for piece in pieces]
    assert "".join(message.content for message, _ in parts) == "bye for now"


@pytest.mark.filterwarnings("ignore:The v3 streaming protocol on Pregel is experimental")
async def test_event_streams_hold_no_history(memory):
    """Nor do the events of LangGraph's newest streams."""
    agent = agent_of(memory, ["yo", "bye for now"])
    agent.invoke(saying("hi"), CONFIG)
    run = agent.stream_events(saying("ciao"), CONFIG, version="v3")
    assert [str(message.text) for message in run.messages] == ["bye for now"]
    last = memory.conversation("a", "u", "s").read().messages[-1]
    assert str(last.text) == "bye for now"


def test_a_window_limits_what_is_shown(memory):
    """And not what is stored."""
    model = Scripted(script=lambda given: f"re: {given[-1].content}")
    agent = agent_of(memory, model, window=2)
    for number in range(4):
        agent.invoke(saying(f"{number}"), CONFIG)
    assert [message.content for message in model.given[-1]] == ["2", "re: 2", "3"]
    assert len(stored(memory)) == 8


def test_limits_are_those_of_histories(memory):
    """Of the time to live, and of how many messages are kept."""
    agent = agent_of(memory, lambda _: "yo", ttl=100, max_messages=2)
    for text in ("a", "b"):
        agent.invoke(saying(text), CONFIG)
    assert 0 < memory.conversation("a", "u", "s").time_to_live() <= 100
    assert [text for _, text, _ in stored(memory)] == ["b", "yo"]


# Messages that a client sends again


def test_messages_sent_again_are_not_doubled(memory):
    """A client that sends all it was given, and something new, adds what is new."""
    agent = agent_of(memory, [*SUM, "bye"])
    state = agent.invoke(saying("1 + 2?"), CONFIG)
    sent = [*state["messages"], HumanMessage("ciao")]
    again = agent.invoke({"messages": sent}, CONFIG)
    assert said(again["messages"]) == [*SUM_SAID, ("human", "ciao", []), ("ai", "bye", [])]
    assert stored(memory) == said(again["messages"])


def test_messages_sent_again_beyond_the_window_are_not_doubled(memory):
    """Their ids are looked for among all that are stored."""
    agent = agent_of(memory, lambda given: f"re: {given[-1].content}", window=2)
    first = agent.invoke(saying("0"), CONFIG)["messages"]
    for number in range(1, 5):
        agent.invoke(saying(f"{number}"), CONFIG)
    agent.invoke({"messages": [*first, HumanMessage("5")]}, CONFIG)
    assert [text for kind, text, _ in stored(memory) if kind == "human"] == list("012345")


def test_a_turn_sent_again_is_stored_once(memory):
    """As when the client has not heard of the reply."""
    agent = agent_of(memory, ["yo", "yo again"])
    message = HumanMessage("hi", id="mine")
    agent.invoke({"messages": [message]}, CONFIG)
    agent.invoke({"messages": [message]}, CONFIG)
    assert [text for _, text, _ in stored(memory)] == ["hi", "yo", "yo again"]


def test_messages_without_ids_have_the_same_ones_whenever_they_are_read(memory):
    """So that whoever shows a conversation can tell its messages apart."""
    history = memory.history("a", "u", "s")
    history.add_messages([HumanMessage("hi"), AIMessage("yo"), HumanMessage("hi"), AIMessage("yo")])
    agent = agent_of(memory, ["1", "2"])
    first, second = (agent.invoke(saying("again"), CONFIG)["messages"] for _ in range(2))
    ids = [message.id for message in first[:4]]
    assert ids == [message.id for message in second[:4]]
    assert len(set(ids)) == 4


# Whose run it is


@dataclasses.dataclass
class AsDataclass:
    user_id: str
    session_id: str
    other: int = 0


class AsModel(BaseModel):
    user_id: str
    session_id: str


class AsDict(TypedDict):
    user_id: str
    session_id: str


@pytest.mark.parametrize("schema", [AsDataclass, AsModel, AsDict])
async def test_ids_come_from_the_context(memory, schema):
    """Of whatever form the agent's context is."""
    agent = agent_of(memory, ["yo", "yo"], context_schema=schema)
    context = schema(user_id="alice", session_id="s1")
    agent.invoke(saying("hi"), context=context)
    await agent.ainvoke(saying("hi"), context=context)
    assert len(stored(memory, "alice", "s1")) == 4


def test_a_thread_is_a_session(memory):
    """Where no session is named; the user is the one for whom none is."""
    agent_of(memory, ["yo"]).invoke(saying("hi"), {"configurable": {"thread_id": "t7"}})
    assert len(stored(memory, "default", "t7")) == 2


def test_the_config_can_name_what_the_context_leaves_open(memory):
    """As where a context has fields that may be None."""
    config = {"configurable": {"thread_id": "t7", "user_id": "alice"}}
    context = {"session_id": None, "user_id": None}
    agent_of(memory, ["yo"]).invoke(saying("hi"), config, context=context)
    assert len(stored(memory, "alice", "t7")) == 2


def test_a_session_goes_before_a_thread(memory):
    """They are different things, and both may be named."""
    agent_of(memory, ["yo"]).invoke(saying("hi"), CONFIG)
    assert len(stored(memory)) == 2


@pytest.mark.parametrize(
    ("ids", "context", "told"),
    [
        ({}, {}, "no session_id and no thread_id; pass one"),
        ({"user_id": "u"}, None, "no session_id and no thread_id; pass one"),
        ({"session_id": ""}, None, "session_id must not be empty"),
        ({"session_id": 7}, None, "session_id must be a string"),
        ({"thread_id": 7}, None, "thread_id must be a string"),
        ({"session_id": "s", "user_id": ""}, None, "user_id must not be empty"),
        ({"session_id": "s", "user_id": None}, None, "user_id must be a string"),
        ({"session_id": "s"}, {"user_id": None}, "user_id must be a string"),
        ({}, {"user_id": "u", "session_id": None}, "no session_id and no thread_id; pass one"),
        ({"session_id": "s"}, {"user_id": 7}, "user_id must be a string"),
        ({"session_id": "s"}, {"session_id": "x"}, "session_id 's' and the context 'x'"),
        ({"session_id": "s", "user_id": "u"}, {"user_id": "v"}, "user_id 'u' and the context 'v'"),
    ],
)
def test_ids_are_checked_before_anything_runs(memory, ids, context, told):
    """And the error says what to pass."""
    model = Scripted(script=[])
    trips = memory.round_trips
    with pytest.raises(ConfigurationError, match=told):
        agent_of(memory, model).invoke(saying("hi"), {"configurable": ids}, context=context)
    assert not model.given
    assert memory.round_trips == trips


def test_the_caller_cannot_pass_what_is_known_of_the_turn(memory):
    """The agent's private state is no part of its input."""
    agent = agent_of(memory, ["yo"])
    forged = {"user": "bob", "session": "b", "token": "0" * 32, "after": None, "said": []}
    agent.invoke({**saying("hi"), "redis_memory": {**forged, "profile": "Bob's."}}, CONFIG)
    assert len(stored(memory)) == 2
    assert stored(memory, "bob", "b") == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"agent": ""}, "agent must not be empty"),
        ({"agent": "a", "window": 0}, "window must be"),
        ({"agent": "a", "windows": 2}, "no limit 'windows'"),
        ({"agent": "a", "profile": "no"}, "profile must be True or False"),
        ({"agent": "a", "profile_tools": 1}, "profile_tools must be True or False"),
        ({"agent": "a", "keep_failed_steps": None}, "keep_failed_steps must be True or False"),
        ({"agent": "a", "on_save_error": "ignore"}, "on_save_error must be 'raise' or 'log'"),
    ],
)
def test_options_are_checked(memory, options, told):
    """When the middleware is made."""
    with pytest.raises(ConfigurationError, match=told):
        RedisMemoryMiddleware(memory, **options)


def test_the_memory_is_checked():
    """A URL is none."""
    with pytest.raises(ConfigurationError, match="memory must be a RedisMemory, not a str"):
        RedisMemoryMiddleware("redis://localhost", agent="a")


# The profile


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        (None, "User preferences:\n- language: Python"),
        ("Be kind.", "Be kind.\n\nUser preferences:\n- language: Python"),
        (SystemMessage(""), "User preferences:\n- language: Python"),
        (
            SystemMessage([{"type": "text", "text": "Be kind."}]),
            [
                {"type": "text", "text": "Be kind."},
                {"type": "text", "text": "\n\nUser preferences:\n- language: Python"},
            ],
        ),
    ],
)
async def test_the_instructions_end_with_the_profile(memory, instructions, expected):
    """Behind the agent's own, at every call of the model."""
    memory.profile("u").update({"language": "Python"})
    model = Scripted(script=[*SUM, *SUM])
    agent = agent_of(memory, model, system_prompt=instructions)
    agent.invoke(saying("1 + 2?"), CONFIG)
    await agent.ainvoke(saying("1 + 2?"), CONFIG)
    for given in model.given:
        assert given[0] == SystemMessage(expected)
        assert given[1].type == "human"
    assert "system" not in [kind for kind, _, _ in stored(memory)]


def test_the_agents_own_profile_goes_on_top(memory):
    """Of the one that all agents share."""
    memory.profile("u").update({"language": "Python", "tone": "dry"})
    memory.profile("u", agent="a").update({"tone": "kind"})
    model = Scripted(script=["yo"])
    agent_of(memory, model).invoke(saying("hi"), CONFIG)
    assert model.given[0][0].content == "User preferences:\n- language: Python\n- tone: kind"


def test_without_a_profile_the_instructions_stay(memory):
    """Nobody's profile, or one that is not asked for."""
    model = Scripted(script=["yo", "yo"])
    agent_of(memory, model, system_prompt="Be kind.").invoke(saying("hi"), CONFIG)
    memory.profile("u").update({"language": "Python"})
    agent_of(memory, model, profile=False, system_prompt="Be kind.").invoke(saying("hi"), CONFIG)
    assert [given[0].content for given in model.given] == ["Be kind.", "Be kind."]


# Ends other than a reply


def test_structured_output(memory):
    """The call by which a model gives it, and the result that LangChain adds, are of the turn."""

    class Weather(BaseModel):
        degrees: int

    script = [calling(("Weather", {"degrees": "many"})), calling(("Weather", {"degrees": 7}))]
    agent = agent_of(memory, script, response_format=ToolStrategy(Weather))
    state = agent.invoke(saying("How warm is it?"), CONFIG)
    assert state["structured_response"] == Weather(degrees=7)
    assert stored(memory) == said(state["messages"])
    assert [kind for kind, _, _ in stored(memory)] == ["human", "ai", "tool", "ai", "tool"]


def test_a_tool_that_answers_directly(memory):
    """Its result is the end of the turn."""
    direct = add.model_copy(update={"return_direct": True})
    agent_of(memory, SUM[:1], tools=[direct]).invoke(saying("1 + 2?"), CONFIG)
    assert stored(memory) == SUM_SAID[:3]


def test_an_agent_without_tools(memory):
    """Has two steps, and is remembered."""
    agent_of(memory, ["yo"], tools=[]).invoke(saying("hi"), CONFIG)
    assert len(stored(memory)) == 2


# What cannot be stored


class NotJSON(ToolMessage):
    """A message of a class that cannot be stored."""


def test_a_message_that_cannot_be_stored_is_refused_before_the_agent_runs(memory):
    """Whatever the reply would be."""
    model = Scripted(script=[])
    message = HumanMessage("hi", additional_kwargs={"at": object()})
    with pytest.raises(UnstorableError, match="at"):
        agent_of(memory, model).invoke({"messages": [message]}, CONFIG)
    assert not model.given


@pytest.mark.parametrize("flavour", ["invoke", "ainvoke"])
async def test_a_reply_that_cannot_be_stored_is_handed_back(memory, flavour):
    """With all that was said; nothing of the turn is stored."""
    odd = AIMessage("yo", response_metadata={"at": object()})
    with pytest.raises(TurnNotSavedError) as caught:
        await WAYS[flavour](agent_of(memory, lambda _: odd), saying("hi"))
    assert [m.content for m in caught.value.messages] == ["hi", "yo"]
    assert caught.value.reply["messages"] == caught.value.messages
    assert isinstance(caught.value.__cause__, UnstorableError)
    assert stored(memory) == []


def test_a_failed_save_can_be_logged(memory, caplog):
    """Then the caller is given the reply, and the log says what was not saved, without a text."""
    odd = AIMessage("a secret", response_metadata={"at": object()})
    state = agent_of(memory, lambda _: odd, on_save_error="log").invoke(saying("hi"), CONFIG)
    assert state["messages"][-1].content == "a secret"
    assert "was not saved" in caplog.text
    assert "a secret" not in caplog.text


async def test_without_redis_the_agent_goes_on(start_server):
    """With `on_unavailable="stateless"`; it remembers nothing meanwhile."""
    server = start_server()
    with RedisMemory.from_url(
        server.url, on_unavailable="stateless", retry=RetryPolicy(deadline=0.5)
    ) as memory:
        agent = agent_of(memory, lambda given: f"re: {given[-1].content}")
        agent.invoke(saying("hi"), CONFIG)
        server.stop()
        assert agent.invoke(saying("ho"), CONFIG)["messages"][-1].content == "re: ho"
        assert (await agent.ainvoke(saying("ho"), CONFIG))["messages"][-1].content == "re: ho"
        assert memory.dropped_writes == 2


# Turns at the same time


async def test_concurrent_turns_of_one_session_are_all_kept(memory):
    """Eight at once, ten times, in threads and on an event loop: 80 of 80, whole."""
    together = asyncio.Barrier(8)

    async def turn(agent, text):
        await agent.ainvoke(saying(text), CONFIG)

    class Meeting(Scripted):
        async def _agenerate(self, messages, stop=None, run_manager=None, **options):
            await together.wait()
            return self._generate(messages)

    agent = agent_of(memory, Meeting(script=lambda given: f"re: {given[-1].content}"))
    for number in range(10):
        await asyncio.gather(*(turn(agent, f"{number} {writer}") for writer in range(8)))
    assert_whole(stored(memory), 80)


def test_concurrent_turns_in_threads_are_all_kept(memory):
    """The same for threads, none of which is answered before all have read."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    together = threading.Barrier(8)

    def reply(given):
        together.wait()
        return f"re: {given[-1].content}"

    agent = agent_of(memory, reply)

    def write(writer):
        for number in range(10):
            agent.invoke(saying(f"{number} {writer}"), CONFIG)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert_whole(stored(memory), 80)


def assert_whole(messages, turns):
    """Every turn is there once, and each reply behind its question."""
    texts = [text for _, text, _ in messages]
    assert texts[1::2] == [f"re: {text}" for text in texts[::2]]
    assert len(set(texts[::2])) == len(texts[::2]) == turns
