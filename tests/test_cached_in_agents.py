"""Tools that keep what they give, called by LangChain's agents."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from counted import Counted
from langchain.agents import create_agent
from langchain.tools import InjectedState, ToolRuntime
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool

from langchain_redis_memory import ConfigurationError, OfflineChatModel, RedisMemory

calls = Counted(lambda *args, **kwargs: None)


@pytest.fixture(autouse=True)
def none_yet():
    """Count anew."""
    calls.calls = 0


@pytest.fixture
async def cache(server):
    """The cache of one agent."""
    async with RedisMemory.from_url(server.url) as memory:
        yield memory.cache("support")


def Calling(tool_calls):  # noqa: N802 - it stands for a class
    """Make a model that calls tools once, and then is content."""

    class Model(OfflineChatModel):
        def bind_tools(self, tools, **_):
            return self

        def _generate(self, messages, *args, **kwargs):
            result = super()._generate(messages, *args, **kwargs)
            if not isinstance(messages[-1], ToolMessage):
                result.generations[0].message = AIMessage("", tool_calls=tool_calls)
            return result

        async def _agenerate(self, messages, *args, **kwargs):
            return self._generate(messages)

    return Model()


@tool
async def search(query: str) -> str:
    """Search the web."""
    calls()
    return f"results for {query}"


async def test_an_agent_calls_kept_tools(cache):
    """Through LangGraph's tool node, in parallel."""
    kept = cache.cached(search)
    model = Calling([{"name": "search", "args": {"query": "a"}, "id": f"c{i}"} for i in range(5)])
    agent = create_agent(model, [kept])
    state = await agent.ainvoke({"messages": "go"})
    found = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert [message.content for message in found] == ["results for a"] * 5
    assert calls.calls == 1


@tool
def stateful(
    query: str,
    messages: Annotated[list[Any], InjectedState("messages")],
    call: Annotated[str, InjectedToolCallId],
) -> str:
    """Search for what the state is about."""
    calls()
    return f"{query} after {len(messages)} messages"


@tool
def running(query: str, runtime: ToolRuntime) -> str:
    """Search with everything there is."""
    calls()
    return query


async def test_a_state_counts_and_a_runtime_is_refused(cache):
    """Unless they are ignored."""
    messages = [HumanMessage("go", id="m")]
    made = [{"name": name, "args": {"query": "a"}, "id": f"c-{name}"} for name in ("stateful",)]
    agent = create_agent(Calling(made), [cache.cached(stateful, ignore=("call",))])
    for _ in range(2):
        await agent.ainvoke({"messages": messages})
    assert calls.calls == 2  # the model's own message has another id each time
    made = [{"name": "running", "args": {"query": "a"}, "id": "c"}]
    with pytest.raises(ConfigurationError, match="'runtime'"):
        await create_agent(Calling(made), [cache.cached(running)]).ainvoke({"messages": "go"})
    agent = create_agent(Calling(made), [cache.cached(running, ignore=("runtime",))])
    for _ in range(2):
        await agent.ainvoke({"messages": "go"})
    assert calls.calls == 3
