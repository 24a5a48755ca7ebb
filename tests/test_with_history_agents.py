"""Agents of LangChain as runnables with history."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from wrapped import CONFIG, Model, stored


class Scripted(Model):
    """Calls two tools for the first message of a turn, then replies."""

    def bind_tools(self, tools, **kwargs):
        return self

    def _sent(self, messages, kwargs):
        self.calls.append((messages, kwargs))
        turn = sum(isinstance(message, HumanMessage) for message in messages)
        if isinstance(messages[-1], HumanMessage):
            calls = [
                {"name": "double", "args": f'{{"number": {n}}}', "id": f"c{turn}{n}", "index": n}
                for n in (1, 2)
            ]
            yield ChatGenerationChunk(message=AIMessageChunk("let me see"))
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=calls))
        else:
            yield ChatGenerationChunk(message=AIMessageChunk("the results are "))
            yield ChatGenerationChunk(message=AIMessageChunk(messages[-1].content))


@tool
def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


@pytest.fixture
def agent(memory):
    """An agent of LangChain's with its memory here."""
    from langchain.agents import create_agent

    inner = Scripted()
    keys = {"input_messages_key": "messages", "output_messages_key": "messages"}
    graph = create_agent(inner, [double], system_prompt="be quick")
    return SimpleNamespace(chat=memory.with_history(graph, agent="a", **keys), model=inner)


CONTENTS = ["hi", "let me see", "2", "4", "the results are 4"]
AGENT_CALLS = {
    "invoke": lambda chat, value: chat.invoke(value, CONFIG),
    "ainvoke": lambda chat, value: chat.ainvoke(value, CONFIG),
}
MODES = [None, "values", "updates", "messages", ["updates", "messages"], "custom"]


def _assert_turns(memory, turns):
    messages = stored(memory)
    assert [message.content for message in messages] == CONTENTS * turns
    assert len({message.id for message in messages}) == len(messages)
    for turn in range(turns):
        asks, first, second = messages[5 * turn + 1 : 5 * turn + 4]
        assert [call["id"] for call in asks.tool_calls] == [first.tool_call_id, second.tool_call_id]


@pytest.mark.parametrize("name", AGENT_CALLS)
async def test_an_agents_turns_are_stored_once(memory, agent, name):
    """The state that an agent returns holds everything; only what is new is stored, calls too."""
    for turn in range(1, 4):
        reply = AGENT_CALLS[name](agent.chat, {"messages": "hi"})
        reply = reply if isinstance(reply, dict) else await reply
        assert len(reply["messages"]) == 5 * turn
        _assert_turns(memory, turn)
    assert len(agent.model.calls[-1][0]) == 1 + 10 + 4


@pytest.mark.parametrize("mode", MODES)
async def test_an_agents_streams_are_stored_once(memory, agent, mode):
    """Whatever a graph streams, updates, tokens or states, the turn is stored as if invoked."""
    options = {} if mode is None else {"stream_mode": mode}
    list(agent.chat.stream({"messages": "hi"}, CONFIG, **options))
    _assert_turns(memory, 1)
    [_ async for _ in agent.chat.astream({"messages": "hi"}, CONFIG, **options)]
    _assert_turns(memory, 2)
    [_ async for _ in agent.chat.astream_events({"messages": "hi"}, CONFIG, **options)]
    _assert_turns(memory, 3)


@pytest.mark.parametrize("keys", [{}, {"output_messages_key": "messages"}])
async def test_an_agents_streams_behind_another_step_are_stored_once(memory, keys):
    """Of the graph's pieces LangChain keeps the last; the turn is stored as if invoked."""
    from langchain.agents import create_agent

    step = RunnableLambda(lambda value: {"messages": value["messages"]})
    chain = step | create_agent(Scripted(), [double])
    chat = memory.with_history(chain, agent="a", input_messages_key="messages", **keys)
    chat.invoke({"messages": "hi"}, CONFIG)
    _assert_turns(memory, 1)
    list(chat.stream({"messages": "hi"}, CONFIG))
    _assert_turns(memory, 2)
    [_ async for _ in chat.astream({"messages": "hi"}, CONFIG)]
    _assert_turns(memory, 3)


def test_an_agents_stream_that_is_abandoned(memory, agent):
    """What the nodes had sent is kept: calls with all their results, but no call without."""
    for pieces, kept in ((1, 2), (2, 2), (3, 4), (4, 5)):
        memory.history("a", "u", "s").clear()
        stream = agent.chat.stream({"messages": "hi"}, CONFIG)
        for _ in range(pieces):
            next(stream)
        stream.close()
        messages = stored(memory)
        kinds = [HumanMessage, AIMessage, ToolMessage, ToolMessage, AIMessage]
        assert list(map(type, messages)) == kinds[:kept]
        asked = {call["id"] for message in messages[1:2] for call in message.tool_calls}
        assert asked == {message.tool_call_id for message in messages[2:4]}
        marked = [m for m in messages if m.response_metadata.get("interrupted")]
        assert marked == [m for m in messages if isinstance(m, AIMessage)][-1:]


def test_an_agents_dict_messages(memory, agent):
    """Messages in OpenAI's form are stored as messages."""
    agent.chat.invoke({"messages": [{"role": "user", "content": "hi"}]}, CONFIG)
    _assert_turns(memory, 1)


@pytest.mark.parametrize("mode", ["messages", ["messages", "updates"], ["messages"], "values"])
def test_an_agents_stream_that_is_abandoned_keeps_what_was_sent(agent, memory, mode):
    """Whatever LangGraph puts around the pieces."""
    stream = agent.chat.stream({"messages": [HumanMessage("add")]}, CONFIG, stream_mode=mode)
    seen = 0
    for piece in stream:
        seen += "AIMessage" in repr(piece)
        if seen >= 2:
            break
    stream.close()
    kept = stored(memory)
    assert isinstance(kept[0], HumanMessage)
    assert len(kept) > 1, kept
