"""What of an agent's turn is stored when it fails, is cancelled or tried again."""

from __future__ import annotations

import asyncio

import pytest
from agents import (
    CONFIG,
    WAYS,
    Scripted,
    add,
    agent_of,
    calling,
    saying,
    stored,
)
from langchain.agents.middleware import (
    AgentMiddleware,
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_redis_memory import TurnNotSavedError

ADD = calling(("add", {"a": 1, "b": 2}))
FAIL = calling(("fail", {"reason": "no"}))
STEP = [("human", "1 + 2?", []), ("ai", "", ["add"]), ("tool", "3", [])]
WHOLE = [*STEP, ("ai", "It is 3.", [])]

FAILURES = {
    "the model at once": ([RuntimeError("no")], STEP[:1]),
    "the model, after a step": ([ADD, RuntimeError("no")], STEP),
    "a tool at once": ([FAIL], STEP[:1]),
    "a tool, after a step": ([ADD, FAIL], STEP),
    "one of two tools": (
        [ADD, calling(("add", {"a": 3, "b": 4}), ("fail", {"reason": "no"}))],
        STEP,
    ),
}
CALLS = ("invoke", "ainvoke", "stream messages", "astream updates")


@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize("failure", FAILURES)
async def test_nothing_is_stored_of_a_turn_that_fails(memory, failure, way):
    """As nothing of it was answered; the error is the agent's own."""
    script, _ = FAILURES[failure]
    with pytest.raises(RuntimeError, match="no"):
        await WAYS[way](agent_of(memory, list(script)), saying("1 + 2?"))
    assert stored(memory) == []


@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize("failure", FAILURES)
async def test_complete_steps_can_be_kept(memory, failure, way):
    """Up to the last of whose calls all have a result; the next turn is shown them."""
    script, kept = FAILURES[failure]
    agent = agent_of(memory, list(script), keep_failed_steps=True)
    with pytest.raises(RuntimeError, match="no"):
        await WAYS[way](agent, saying("1 + 2?"))
    assert stored(memory) == kept
    agent_of(memory, ["yo"]).invoke(saying("Never mind."), CONFIG)
    assert stored(memory) == [*kept, ("human", "Never mind.", []), ("ai", "yo", [])]


@pytest.mark.parametrize("where", ["model", "tool"])
@pytest.mark.parametrize("keep", [False, True])
async def test_a_cancelled_turn(memory, where, keep):
    """Is one that fails: its complete steps are kept, or nothing."""
    began = asyncio.Event()

    async def wait():
        began.set()
        await asyncio.Event().wait()

    class Waiting(Scripted):
        async def _agenerate(self, messages, stop=None, run_manager=None, **options):
            if not self.script:
                await wait()
            return self._generate(messages)

    @tool
    async def fail(reason: str) -> str:
        """Never return."""
        await wait()

    script = [ADD] if where == "model" else [ADD, FAIL]
    agent = agent_of(memory, Waiting(script=script), tools=[add, fail], keep_failed_steps=keep)
    task = asyncio.create_task(agent.ainvoke(saying("1 + 2?"), CONFIG))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stored(memory) == (STEP if keep else [])


@pytest.mark.parametrize("keep", [False, True])
async def test_an_abandoned_stream(memory, keep):
    """A reader who leaves while the model speaks cancels the turn."""
    agent = agent_of(memory, [ADD, "It is 3, I should say."], keep_failed_steps=keep)
    stream = agent.astream(saying("1 + 2?"), CONFIG, stream_mode="messages")
    async for message, _ in stream:
        if message.content == "It":
            break
    await stream.aclose()
    left = stored(memory)
    # Whether the model was still speaking is a matter of the moment.
    assert left in ([[], STEP] if keep else [[]])


# Others that try again


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("way", CALLS)
async def test_a_model_that_is_asked_again(memory, first, keep, way):
    """The turn goes on, and is stored once and whole."""
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)
    script = [RuntimeError("no"), ADD, RuntimeError("no"), RuntimeError("no"), "It is 3."]
    agent = agent_of(memory, script, retry, first=first, keep_failed_steps=keep)
    await WAYS[way](agent, saying("1 + 2?"))
    assert stored(memory) == WHOLE


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("way", CALLS)
async def test_a_tool_that_is_called_again(memory, first, keep, way):
    """The same."""
    failures = [RuntimeError("no"), RuntimeError("no")]

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers, the third time."""
        if failures:
            raise failures.pop()
        return a + b

    retry = ToolRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)
    script = [ADD, "It is 3."]
    agent = agent_of(memory, script, retry, tools=[add], first=first, keep_failed_steps=keep)
    await WAYS[way](agent, saying("1 + 2?"))
    assert stored(memory) == WHOLE


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("keep", [False, True])
def test_a_failure_that_others_turn_into_a_reply(memory, first, keep):
    """What they say instead is what was said."""
    retry = ModelRetryMiddleware(max_retries=0, on_failure=lambda _: "Sorry.", initial_delay=0)
    script = [ADD, RuntimeError("no")]
    agent = agent_of(memory, script, retry, first=first, keep_failed_steps=keep)
    agent.invoke(saying("1 + 2?"), CONFIG)
    assert stored(memory) == [*STEP, ("ai", "Sorry.", [])]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("how", ["end", "error"])
def test_a_limit_of_model_calls(memory, first, how):
    """That ends the turn, or fails it."""
    limit = ModelCallLimitMiddleware(run_limit=1, exit_behavior=how)
    agent = agent_of(memory, [ADD, ADD], limit, first=first, keep_failed_steps=True)
    if how == "error":
        with pytest.raises(Exception, match="limit"):
            agent.invoke(saying("1 + 2?"), CONFIG)
        return
    agent.invoke(saying("1 + 2?"), CONFIG)
    *before, (kind, text, _) = stored(memory)
    assert before == STEP
    assert kind == "ai"
    assert "limit" in text


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("how", ["continue", "end"])
def test_a_limit_of_tool_calls(memory, first, how):
    """Each call has a result, be it that there was none."""
    limit = ToolCallLimitMiddleware(run_limit=1, exit_behavior=how)
    agent = agent_of(memory, [ADD, ADD, "Well."], limit, first=first)
    state = agent.invoke(saying("1 + 2?"), CONFIG)
    messages = memory.conversation("a", "u", "s").read().messages
    assert messages == state["messages"]
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai", "tool", "ai"]


class Guard(AgentMiddleware):
    """Ends the run before the agent is asked."""

    from langchain.agents.middleware import hook_config

    @hook_config(can_jump_to=["end"])
    def before_agent(self, state, runtime):
        if "bomb" not in state["messages"][-1].content:
            return None
        return {"messages": [AIMessage("No.")], "jump_to": "end"}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("saver", [None, InMemorySaver])
@pytest.mark.parametrize("way", CALLS)
async def test_a_run_that_is_ended_before_it_began(memory, first, saver, way):
    """The question and the refusal are a turn, whoever of the two comes first."""
    agent = agent_of(memory, ["yo"], Guard(), first=first, checkpointer=saver and saver())
    await WAYS[way](agent, saying("hi"))
    await WAYS[way](agent, saying("a bomb?"))
    assert [text for _, text, _ in stored(memory)] == ["hi", "yo", "a bomb?", "No."]


# A turn that could not be saved


@pytest.fixture
def refused(memory, monkeypatch):
    """Give a switch that makes appends fail."""
    from langchain_redis_memory import StorageUnavailable
    from langchain_redis_memory.conversation import Conversation

    state = {"refused": True}
    append = Conversation.append

    def refusing(self, *args, **options):
        if state["refused"]:
            raise StorageUnavailable("nobody there")
        return append(self, *args, **options)

    monkeypatch.setattr(Conversation, "append", refusing)
    return state


def test_a_turn_that_was_not_saved_can_be_saved(memory, refused):
    """By its token, as often as wanted."""
    with pytest.raises(TurnNotSavedError) as caught:
        agent_of(memory, [ADD, "It is 3."]).invoke(saying("1 + 2?"), CONFIG)
    refused["refused"] = False
    history = memory.history("a", "u", "s")
    for _ in range(2):
        history.add_messages(caught.value.messages, token=caught.value.token)
    assert stored(memory) == WHOLE


def test_a_checkpointed_run_can_be_saved_by_going_on(memory, refused):
    """Only the saving is done again, and the agent is not asked."""
    model = Scripted(script=[ADD, "It is 3."])
    agent = agent_of(memory, model, checkpointer=InMemorySaver())
    with pytest.raises(TurnNotSavedError):
        agent.invoke(saying("1 + 2?"), CONFIG)
    refused["refused"] = False
    agent.invoke(None, CONFIG)
    assert stored(memory) == WHOLE
    assert len(model.given) == 2


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("flavour", ["invoke", "ainvoke"])
async def test_a_checkpointed_run_that_failed_goes_on(memory, keep, flavour):
    """The turn is stored whole and once, also if its first steps were stored already."""
    script = [ADD, RuntimeError("no"), "It is 3."]
    agent = agent_of(memory, script, keep_failed_steps=keep, checkpointer=InMemorySaver())
    with pytest.raises(RuntimeError):
        await WAYS[flavour](agent, saying("1 + 2?"))
    assert stored(memory) == (STEP if keep else [])
    await WAYS[flavour](agent, None)
    assert stored(memory) == WHOLE
    await WAYS[flavour](agent_of(memory, ["yo"]), saying("Thanks!"))
    assert stored(memory) == [*WHOLE, ("human", "Thanks!", []), ("ai", "yo", [])]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("failure", ["the model at once", "the model, after a step"])
def test_a_checkpointed_run_that_failed_is_left(memory, keep, failure):
    """A new message begins a new turn; the one that failed is not stored with it."""
    script, kept = FAILURES[failure]
    agent = agent_of(memory, [*script, "yo"], keep_failed_steps=keep, checkpointer=InMemorySaver())
    with pytest.raises(RuntimeError):
        agent.invoke(saying("1 + 2?"), CONFIG)
    agent.invoke(saying("Never mind."), CONFIG)
    after = [("human", "Never mind.", []), ("ai", "yo", [])]
    assert stored(memory) == [*(kept if keep else []), *after]


def test_a_run_that_nobody_went_on_with_is_kept_by_the_next(memory):
    """When no step failed that we could see, as one of another middleware."""

    class Failing(AgentMiddleware):
        def before_model(self, state, runtime):
            if len(state["messages"]) == 3:
                raise RuntimeError("no")

    agent = agent_of(
        memory, [ADD, "yo"], Failing(), keep_failed_steps=True, checkpointer=InMemorySaver()
    )
    with pytest.raises(RuntimeError):
        agent.invoke(saying("1 + 2?"), CONFIG)
    assert stored(memory) == []
    agent.invoke(saying("Never mind."), CONFIG)
    assert stored(memory) == [*STEP, ("human", "Never mind.", []), ("ai", "yo", [])]
