"""An agent of `create_agent` is given the summary of its session, as a chain is."""

from __future__ import annotations

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from summarised import CONFIG, IDS, atold, every, told, words

from langchain_redis_memory import ConfigurationError, RedisMemoryMiddleware, SummaryPolicy

THREAD = {"configurable": {**CONFIG["configurable"], "thread_id": "t"}}


class Model(GenericFakeChatModel):
    """Remembers what it was given."""

    seen: list

    def _generate(self, messages, *args, **kwargs):
        self.seen.append(list(messages))
        return super()._generate(messages, *args, **kwargs)


@pytest.mark.parametrize("checkpointer", [None, InMemorySaver])
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agent_is_given_all_that_was_said(memory_here, is_async, checkpointer):
    """Once and in order, with a checkpointer too; two trips where nothing is folded."""
    memory = memory_here
    model = Model(messages=iter([AIMessage(f"m{2 * n}") for n in range(1, 30)]), seen=[])
    policy = SummaryPolicy(atold if is_async else told, after=6, keep=2)
    agent = create_agent(
        model,
        middleware=[RedisMemoryMiddleware(memory, agent="a", summary=policy)],
        checkpointer=checkpointer and checkpointer(),
    )
    for n in range(12):
        before = memory.round_trips
        asked = {"messages": [("user", f"m{2 * n + 1}")]}
        await agent.ainvoke(asked, THREAD) if is_async else agent.invoke(asked, THREAD)
        assert words(model.seen[-1]) == every(2 * n + 1)
    assert memory.round_trips - before == 2
    assert words(await memory.history(*IDS).aget_messages()) == every(24)
    assert (await memory.asummary(*IDS)).messages == 18


def test_limits_that_would_lose_messages_are_refused(memory):
    """As for a chain."""
    policy = SummaryPolicy(told, after=6, keep=2)
    with pytest.raises(ConfigurationError, match="window=5 is less than after=6"):
        RedisMemoryMiddleware(memory, agent="a", summary=policy, window=5)
