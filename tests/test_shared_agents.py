"""Recorded conversations, spoken by real agents: what is stored equals what a chain stores.

See `test_shared_conversations` for the file.
"""

from __future__ import annotations

import asyncio

import pytest
from agents import Scripted
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from test_shared_conversations import (
    by_turn,
    conversations,  # noqa: F401 - a fixture
)

from langchain_redis_memory import RedisMemoryMiddleware

pytestmark = pytest.mark.shared_data


def answered(messages):
    """Give the turns of a conversation that the agent answered."""
    steps = by_turn(messages)
    return steps if steps[-1][1] and isinstance(messages[-1], AIMessage) else steps[:-1]


def flat(steps):
    return [message for asked, reply in steps for message in (*asked, *reply)]


def plain(messages):
    """Leave out the ids, which LangGraph makes up."""
    return [message.model_copy(update={"id": None}) for message in messages]


def agent_for(memory, steps):
    """Make an agent that says what was said, and whose tools give what they gave."""
    said = [m for m in flat(steps) if isinstance(m, AIMessage)]
    results = [m.content for m in flat(steps) if isinstance(m, ToolMessage)]
    names = {call["name"] for message in said for call in message.tool_calls}

    def give(**arguments):
        return results.pop(0)

    async def agive(**arguments):
        return results.pop(0)

    def tool(name):
        schema = {"title": name, "type": "object", "properties": {}}
        return StructuredTool(
            name=name, description=name, args_schema=schema, func=give, coroutine=agive
        )

    middleware = [RedisMemoryMiddleware(memory, agent="a")]
    return create_agent(Scripted(script=said), list(map(tool, names)), middleware=middleware)


def chain_for(memory, steps):
    """Make a chain with a history that says what was said, and a list of what it was given."""
    replies, given = [reply for _, reply in steps], []

    def reply(messages):
        given.append(list(messages))
        return list(replies.pop(0))

    return memory.with_history(RunnableLambda(reply), agent="a"), given


def config_of(session):
    return {"configurable": {"session_id": session}}


def read(memory, session):
    return memory.conversation("a", "default", session).read().messages


def copies(messages):
    return [message.model_copy() for message in messages]


def test_agents_store_what_chains_store(memory, conversations):  # noqa: F811
    """Message by message, of all conversations."""
    for name, messages in conversations.items():
        steps = answered(messages)
        agent, (chain, _) = agent_for(memory, steps), chain_for(memory, steps)
        for asked, _ in steps:
            agent.invoke({"messages": copies(asked)}, config_of(f"{name} agent"))
            chain.invoke(copies(asked), config_of(f"{name} chain"))
        kept = plain(read(memory, f"{name} agent"))
        assert kept == plain(read(memory, f"{name} chain")) == flat(steps)


async def test_agents_store_what_chains_store_async(memory, conversations):  # noqa: F811
    """The same on an event loop, all conversations at once."""

    async def speak(name, steps):
        agent = agent_for(memory, steps)
        for asked, _ in steps:
            await agent.ainvoke({"messages": copies(asked)}, config_of(name))

    every = {name: answered(messages) for name, messages in conversations.items()}
    await asyncio.gather(*(speak(name, steps) for name, steps in every.items()))
    for name, steps in every.items():
        assert plain(read(memory, name)) == flat(steps)


@pytest.mark.parametrize("begins", ["agent", "chain"])
def test_agents_and_chains_go_on_with_each_others_sessions(memory, conversations, begins):  # noqa: F811
    """Taking turns, each is given all that was said before, by whomever."""
    for name, messages in conversations.items():
        steps = answered(messages)
        by_agent = 0 if begins == "agent" else 1
        agent = agent_for(memory, steps[by_agent::2])
        chain, given = chain_for(memory, steps[1 - by_agent :: 2])
        for number, (asked, _) in enumerate(steps):
            if number % 2 == by_agent:
                state = agent.invoke({"messages": copies(asked)}, config_of(name))
                assert plain(state["messages"]) == flat(steps[: number + 1])
            else:
                chain.invoke(copies(asked), config_of(name))
                assert plain(given[-1]) == [*flat(steps[:number]), *asked]
        assert plain(read(memory, name)) == flat(steps)
