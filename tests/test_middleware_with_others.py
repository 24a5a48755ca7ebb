"""`RedisMemoryMiddleware` beside LangChain's own middleware, and with a checkpointer."""

from __future__ import annotations

import pytest
from agents import CONFIG, WAYS, Scripted, agent_of, calling, said, saying, stored
from langchain.agents.middleware import (
    AgentMiddleware,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    HumanInTheLoopMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    before_model,
    wrap_model_call,
)
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command, interrupt

from langchain_redis_memory import ConfigurationError, RedisMemory

CALLS = ("invoke", "ainvoke", "stream updates", "astream messages")


def adding(*numbers):
    """Make calls of the tool, one after the other, and a reply."""
    return [*(calling(("add", {"a": number, "b": 1})) for number in numbers), "Done."]


def added(*numbers):
    """Tell what is said then."""
    steps = [(("ai", "", ["add"]), ("tool", str(number + 1), [])) for number in numbers]
    return [*(message for step in steps for message in step), ("ai", "Done.", [])]


# Summaries and trimming: they take messages out of the state, not out of what was said


def summarising(keep=1):
    return SummarizationMiddleware(
        Scripted(script=lambda _: "A summary."), trigger=("messages", 4), keep=("messages", keep)
    )


@before_model
def trimming(state, runtime):
    """Keep the last two messages, as LangChain's documentation shows it."""
    if len(state["messages"]) < 4:
        return None
    kept = state["messages"][-2:]
    return {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage("Before."), *kept]}


OTHERS = {
    "summaries": lambda: [summarising()],
    "summaries that keep more": lambda: [summarising(keep=3)],
    "trimming": lambda: [trimming],
    "both": lambda: [summarising(), trimming],
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("saver", [None, InMemorySaver])
@pytest.mark.parametrize("way", CALLS)
async def test_what_was_said_is_stored_in_full(memory, first, others, saver, way):
    """Turn after turn, also what was taken out of the state within the turn, and no summary."""
    model = Scripted(script=[*adding(1, 2, 3), *adding(4), *adding(5, 6)])
    agent = agent_of(memory, model, *OTHERS[others](), first=first, checkpointer=saver and saver())
    for text in ("one", "two", "three"):
        await WAYS[way](agent, saying(text))
    assert stored(memory) == [
        *(("human", "one", []), *added(1, 2, 3)),
        *(("human", "two", []), *added(4)),
        *(("human", "three", []), *added(5, 6)),
    ]
    assert len(model.given[-1]) < 8  # what the model is shown is what the other left


@pytest.mark.parametrize("first", [True, False])
def test_edits_of_what_a_model_is_shown(memory, first):
    """They change the request alone; what is stored is what the tools gave."""
    model = Scripted(script=adding(1, 2, 3))
    editing = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=1)])
    agent_of(memory, model, editing, first=first).invoke(saying("one"), CONFIG)
    assert stored(memory) == [("human", "one", []), *added(1, 2, 3)]
    assert "[cleared]" in [message.content for message in model.given[-1]]


@pytest.mark.parametrize("first", [True, False])
def test_what_was_hidden_from_the_model_is_not_stored(memory, first):
    """An address that was taken out of a message is not in Redis either."""
    agent = agent_of(memory, ["yo"], PIIMiddleware("email"), first=first)
    agent.invoke(saying("I am a@example.com"), CONFIG)
    assert stored(memory) == [("human", "I am [REDACTED_EMAIL]", []), ("ai", "yo", [])]


@pytest.mark.parametrize("first", [True, False])
def test_replies_that_others_write_anew(memory, first):
    """What reached the caller is stored, under whatever id."""

    @wrap_model_call
    def shouting(request, handler):
        reply = handler(request).result[0]
        return AIMessage(str(reply.content).upper(), tool_calls=reply.tool_calls)

    agent = agent_of(memory, adding(1, 2), shouting, first=first)
    agent.invoke(saying("one"), CONFIG)
    assert [text for _, text, _ in stored(memory)] == ["one", "", "2", "", "3", "DONE."]


@pytest.mark.parametrize("first", [True, False])
def test_a_reply_that_is_taken_back(memory, first):
    """Its calls were never made; what comes instead is what was said."""

    class Strict(AgentMiddleware):
        from langchain.agents.middleware import hook_config

        @hook_config(can_jump_to=["model"])
        def after_model(self, state, runtime):
            last = state["messages"][-1]
            if not last.tool_calls or last.tool_calls[0]["args"]["a"] != 13:
                return None
            return {"messages": [RemoveMessage(id=last.id)], "jump_to": "model"}

    agent = agent_of(memory, adding(1, 13, 2), Strict(), first=first)
    agent.invoke(saying("one"), CONFIG)
    assert stored(memory) == [("human", "one", []), *added(1, 2)]


@pytest.mark.parametrize("first", [True, False])
def test_middleware_with_tools_and_instructions(memory, first):
    """Each adds its own to the same instructions."""
    memory.profile("u").update({"language": "Python"})
    model = Scripted(script=[calling(("write_todos", {"todos": []})), "Done."])
    agent = agent_of(memory, model, TodoListMiddleware(), first=first, system_prompt="Be kind.")
    agent.invoke(saying("one"), CONFIG)
    instructions = str(model.given[-1][0].text)
    assert instructions.startswith("Be kind.")
    assert "write_todos" in instructions
    assert "- language: Python" in instructions
    assert [kind for kind, _, _ in stored(memory)] == ["human", "ai", "tool", "ai"]


# Human in the loop


def asking():
    return HumanInTheLoopMiddleware(interrupt_on={"add": True})


DECISIONS = {
    "approve": ({"type": "approve"}, "2"),
    "reject": ({"type": "reject", "message": "Do not."}, "Do not."),
    "edit": (
        {"type": "edit", "edited_action": {"name": "add", "args": {"a": 8, "b": 1}}},
        "9",
    ),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("way", CALLS)
async def test_a_turn_that_waits_for_a_human(memory, first, decision, keep, way):
    """Is stored once and whole when it ends, also if another process goes on with it."""
    answer, result = DECISIONS[decision]
    model = Scripted(script=["Hello.", *adding(1), "Bye."])
    saver = InMemorySaver()

    def agent():
        return agent_of(
            memory, model, asking(), first=first, keep_failed_steps=keep, checkpointer=saver
        )

    await WAYS[way](agent(), saying("hi"))
    before = stored(memory)
    await WAYS[way](agent(), saying("one"))
    assert stored(memory) == before
    await WAYS[way](agent(), Command(resume={"decisions": [answer]}))
    turn = stored(memory)[len(before) :]
    assert stored(memory) == [*before, *turn]
    assert [(kind, calls) for kind, _, calls in turn] == [
        *(("human", []), ("ai", ["add"]), ("tool", []), ("ai", [])),
    ]
    assert result in turn[2][1]
    await WAYS[way](agent(), saying("ciao"))
    assert stored(memory) == [*before, *turn, ("human", "ciao", []), ("ai", "Bye.", [])]
    assert said(model.given[-1]) == stored(memory)[:-1]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("first", [True, False])
def test_a_turn_that_waits_and_is_summarised(memory, order, first):
    """What was said before the wait is stored, though the state has lost it."""
    saver = InMemorySaver()

    def agent():
        others = [asking(), summarising()]
        chain = [others[i] for i in order]
        return agent_of(memory, model, *chain, first=first, checkpointer=saver)

    model = Scripted(script=adding(1, 2, 3))
    agent().invoke(saying("one"), CONFIG)
    for _ in range(3):
        agent().invoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)
    assert stored(memory) == [("human", "one", []), *added(1, 2, 3)]


def test_a_run_that_is_resumed_belongs_to_who_began_it(memory):
    """The resuming config need not name the ids again."""
    saver = InMemorySaver()
    agent = agent_of(memory, adding(1), asking(), checkpointer=saver)
    agent.invoke(saying("one"), CONFIG)
    resume = Command(resume={"decisions": [{"type": "approve"}]})
    agent.invoke(resume, {"configurable": {"thread_id": "t"}})
    assert len(stored(memory)) == 4


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("way", CALLS)
async def test_a_tool_that_asks_a_human(memory, keep, way):
    """Its interrupt is no failure, though it is raised as one."""

    @tool
    def add(a: int, b: int) -> str:
        """Ask for the sum."""
        return interrupt(f"{a} + {b}?")

    model = Scripted(script=adding(1, 2))
    agent = agent_of(
        memory, model, tools=[add], keep_failed_steps=keep, checkpointer=InMemorySaver()
    )
    await WAYS[way](agent, saying("one"))
    for answer in ("2", "3"):
        assert stored(memory) == []
        await WAYS[way](agent, Command(resume=answer))
    assert stored(memory) == [("human", "one", []), *added(1, 2)]


def test_a_human_who_never_answers(memory):
    """A new message begins a new turn."""
    agent = agent_of(memory, [*adding(1)[:1], "Hello."], asking(), checkpointer=InMemorySaver())
    agent.invoke(saying("one"), CONFIG)
    agent.invoke(saying("hi"), CONFIG)
    assert stored(memory) == [("human", "hi", []), ("ai", "Hello.", [])]


# A checkpointer


@pytest.mark.parametrize("way", WAYS)
async def test_a_thread_is_not_doubled(memory, way):
    """Neither where the checkpointer keeps it, nor in Redis."""
    model = Scripted(script=[*adding(1), *adding(2), *adding(3)])
    agent = agent_of(memory, model, checkpointer=InMemorySaver())
    expected = []
    for number, text in enumerate(("one", "two", "three"), 1):
        await WAYS[way](agent, saying(text))
        expected += [("human", text, []), *added(number)]
        assert stored(memory) == expected
        assert said(agent.get_state(CONFIG).values["messages"]) == expected


def test_a_new_thread_begins_with_what_is_stored(memory):
    """As when the checkpointer has forgotten the old one; then it goes on by itself."""
    agent_of(memory, ["yo"]).invoke(saying("hi"), CONFIG)
    agent = agent_of(memory, ["1", "2"], checkpointer=InMemorySaver())
    agent.invoke(saying("one"), CONFIG)
    state = agent.invoke(saying("two"), CONFIG)
    assert said(state["messages"]) == stored(memory)
    assert [text for _, text, _ in stored(memory)] == ["hi", "yo", "one", "1", "two", "2"]


def test_a_thread_is_told_what_others_said_meanwhile(memory):
    """In its place, and once."""
    agent = agent_of(memory, ["1", "3"], checkpointer=InMemorySaver())
    agent.invoke(saying("one"), CONFIG)
    agent_of(memory, ["2"]).invoke(saying("two"), CONFIG)
    chat = memory.with_history(RunnableLambda(lambda _: "two and a half"), agent="a")
    chat.invoke("?", CONFIG)
    state = agent.invoke(saying("three"), CONFIG)
    assert said(state["messages"]) == stored(memory)
    texts = [text for _, text, _ in stored(memory)]
    assert texts == ["one", "1", "two", "2", "?", "two and a half", "three", "3"]


def test_a_thread_is_longer_than_the_window(memory):
    """The window is what is read from Redis; the thread is the checkpointer's."""
    model = Scripted(script=lambda given: f"re: {given[-1].content}")
    agent = agent_of(memory, model, window=2, checkpointer=InMemorySaver())
    for number in range(5):
        agent.invoke(saying(f"{number}"), CONFIG)
    assert len(model.given[-1]) == 9
    assert len(stored(memory)) == 10


def test_a_thread_that_was_there_before(memory):
    """Is stored with the first turn that has the middleware, once."""
    saver = InMemorySaver()
    without = agent_of(memory, ["yo"], middleware=before_model(lambda state, runtime: None),
                       checkpointer=saver)  # fmt: skip
    without.invoke(saying("hi"), CONFIG)
    agent = agent_of(memory, ["1", "2"], checkpointer=saver)
    agent.invoke(saying("one"), CONFIG)
    agent.invoke(saying("two"), CONFIG)
    assert [text for _, text, _ in stored(memory)] == ["hi", "yo", "one", "1", "two", "2"]


def test_a_cleared_session_is_not_written_back(memory):
    """What was removed from Redis stays removed, though the thread still has it."""
    agent = agent_of(memory, ["yo", "1"], checkpointer=InMemorySaver())
    agent.invoke(saying("hi"), CONFIG)
    memory.clear_session("a", "u", "s")
    agent.invoke(saying("one"), CONFIG)
    assert stored(memory) == [("human", "one", []), ("ai", "1", [])]


@pytest.mark.parametrize("other", [{"session_id": "x"}, {"user_id": "bob"}])
def test_a_thread_is_of_one_session(memory, other):
    """Else what one user said would be shown to another."""
    agent = agent_of(memory, ["yo", "yo"], checkpointer=InMemorySaver())
    agent.invoke(saying("hi"), CONFIG)
    with pytest.raises(ConfigurationError, match="a session has a thread_id of its own"):
        agent.invoke(saying("hi"), {"configurable": {**CONFIG["configurable"], **other}})


def test_the_state_is_plain(memory):
    """A checkpointer that takes only what it knows keeps it."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    saver = InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=None))
    agent = agent_of(memory, adding(1), asking(), checkpointer=saver)
    agent.invoke(saying("one"), CONFIG)
    agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)
    assert len(stored(memory)) == 4
    assert "redis_memory_run" not in agent.get_state(CONFIG).values


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_a_conversation_has_one_memory(memory, server, way):
    """With with_history around it each turn would be stored twice: it is refused at once."""
    agent = agent_of(memory, model := Scripted(script=["yo"]))
    keys = {"input_messages_key": "messages", "output_messages_key": "messages"}
    async with RedisMemory.from_url(server.url) as other:
        for around in (memory, other):
            chat = around.with_history(agent, agent="a", **keys)
            with pytest.raises(ConfigurationError, match="an agent without RedisMemoryMiddleware"):
                await WAYS[way](chat, saying("hi"))
        assert stored(memory) == []
        assert model.given == []
        chat = other.with_history(agent, agent="planner", **keys)
        await WAYS[way](chat, saying("hi"))
    assert stored(memory) == [("human", "hi", []), ("ai", "yo", [])]
