"""The ways of docs/migration.md: what others wrote moves over, is equal, and goes on on both sides.

The functions that read langchain-redis's documents are those of the page. The documents are what
its class sent with JSON.SET, in `langchain_redis_documents.jsonl`, since its modules need a server
that cannot be installed here.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
from pathlib import Path

import pytest
import redis
from agents import Scripted, add, calling
from langchain.agents import create_agent
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
)
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver
from places import DOCS

from langchain_redis_memory import (
    ImportConflictError,
    OfflineChatModel,
    RedisChatMessageHistory,
    RedisMemory,
    RedisMemoryMiddleware,
    Transfer,
)
from langchain_redis_memory.samples import load_conversations

Community = RedisChatMessageHistory.__mro__[1]
WEEK = 604_800

PAGE = (DOCS / "migration.md").read_text()
GUIDE: dict[str, object] = {"AIMessage": AIMessage, "ToolMessage": ToolMessage}
for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
    if "def documents" in block:
        exec(block, GUIDE)

RECORDED = {
    line["key"]: line["document"]
    for line in map(
        json.loads,
        Path(__file__).with_name("langchain_redis_documents.jsonl").read_text().splitlines(),
    )
}

CALL = {"name": "find", "args": {"order": 7}, "id": "c1", "type": "tool_call"}
TALK = [
    SystemMessage("Be kind."),
    HumanMessage("Where is it? 🙂\u2028", id="m1", name="alice"),
    AIMessage(
        "",
        id="m2",
        tool_calls=[CALL],
        response_metadata={"model": "m"},
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    ),
    ToolMessage("found", tool_call_id="c1", name="find", artifact={"rows": [1.5]}, status="error"),
    AIMessage([{"type": "text", "text": "Here."}], additional_kwargs={"x": 1}),
]


@pytest.fixture
def community(server):
    """Makes histories of langchain-community's class."""
    made = []

    def history(session, **options):
        made.append(Community(session, server.url, **options))
        return made[-1]

    yield history
    for one in made:
        one.redis_client.close()


def by_user(rest):
    user, _, session = rest.partition("/")
    return (user, session) if session else None


# From langchain-community


async def test_changing_the_import_moves_nothing(server, community, do):
    """Both classes serve one conversation, each reads what the other wrote, and back again."""
    before, after = community("alice/s1"), RedisChatMessageHistory("alice/s1", server.url)
    before.add_messages(TALK)
    stored = server.client.lrange("message_store:alice/s1", 0, -1)
    assert await do.messages(after) == before.messages == TALK
    assert server.client.lrange("message_store:alice/s1", 0, -1) == stored
    await do(after, "add_messages", TALK)
    before.add_messages(TALK)
    assert await do.messages(after) == before.messages == TALK * 3
    assert server.client.ttl("message_store:alice/s1") == -1
    assert server.client.keys() == [b"message_store:alice/s1"]


async def test_what_validators_change_is_as_it_was_from_the_new_class_alone(server, community, do):
    """The old class reads it too, as it would have read its own."""
    raw = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    message = AIMessage("", additional_kwargs={"tool_calls": [raw]})
    message.tool_calls = []
    new = RedisChatMessageHistory("s", server.url)
    await do(new, "add_messages", [message])
    assert await do.messages(new) == [message]
    by_the_old = community("s").messages[0]
    assert [call["name"] for call in by_the_old.tool_calls] == ["find"]
    community("own").add_messages([message])
    assert community("own").messages == [by_the_old]


async def test_the_drop_in_keeps_the_time_to_live(server, community, do):
    """And puts the expiry off when it reads, which the old class does not."""
    community("s", ttl=100).add_messages(TALK)
    after = RedisChatMessageHistory("s", server.url, ttl=100)
    server.client.expire(after.key, 5)
    assert community("s", ttl=100).messages == TALK
    assert server.client.ttl(after.key) <= 5
    assert await do.messages(after) == TALK
    assert 95 < server.client.ttl(after.key) <= 100


async def test_a_conversation_without_expiry_gets_one_with_its_first_turn(
    memory, server, community, do
):
    """It comes without, as it was; whoever wants it to stay makes the memory with ttl=None."""
    community("alice/s1").add_messages(TALK)
    community("alice/s2", ttl=100).add_messages(TALK)
    await do(memory, "adopt", "langchain-community", agent="support", ids=by_user)
    assert server.client.ttl("agent:memory:support:alice:s1") == -1
    assert 95 < server.client.ttl("agent:memory:support:alice:s2") <= 100
    with RedisMemory.from_url(server.url, ttl=None) as lasting:
        assert lasting.history("support", "alice", "s1").messages == TALK
        assert server.client.ttl("agent:memory:support:alice:s1") == -1
    assert await do.messages(memory.history("support", "alice", "s1")) == TALK
    assert WEEK - 5 < server.client.ttl("agent:memory:support:alice:s1") <= WEEK


async def test_the_old_program_can_write_to_the_new_keys(memory, server, community, do):
    """With the key prefix of the page, side by side with the new program, and back to it."""
    community("alice/s1").add_messages(TALK)
    await do(memory, "adopt", "langchain-community", agent="support", ids=by_user)
    new = memory.history("support", "alice", "s1")
    old = community("s1", key_prefix="agent:memory:support:alice:", ttl=WEEK)
    assert old.key == new.key
    await do(new, "add_messages", [HumanMessage("new")])
    old.add_messages(TALK)
    assert await do.messages(new) == old.messages == [*TALK, HumanMessage("new"), *TALK]
    assert WEEK - 5 < server.client.ttl(new.key) <= WEEK
    assert [info.session for info in memory.sessions("support", "alice")] == ["s1"]


async def test_what_the_old_program_begins_at_new_keys_is_listed_with_its_next_turn(
    memory, community, do
):
    """As the page says: it knows of no list of sessions."""
    old = community("s2", key_prefix="agent:memory:support:alice:", ttl=WEEK)
    old.add_messages(TALK)
    new = memory.history("support", "alice", "s2")
    assert await do.messages(new) == TALK
    assert memory.count_sessions("support", "alice") == 0
    await do(new, "add_messages", [HumanMessage("more")])
    assert memory.count_sessions("support", "alice") == 1


async def test_a_conversation_that_went_on_on_both_sides_is_a_conflict(memory, community, do):
    """Nothing of it is mixed, and the others come along."""
    old = community("alice/s1")
    old.add_messages(TALK)
    await do(memory, "adopt", "langchain-community", agent="support", ids=by_user)
    old.add_messages([HumanMessage("there")])
    new = memory.history("support", "alice", "s1")
    await do(new, "add_messages", [HumanMessage("here")])
    community("alice/s2").add_messages(TALK)
    with pytest.raises(ImportConflictError):
        await do(memory, "adopt", "langchain-community", agent="support", ids=by_user)
    done = await do(
        memory, "adopt", "langchain-community", agent="support", ids=by_user, on_conflict="skip"
    )
    assert done.skipped == 1
    assert await do.messages(new) == [*TALK, HumanMessage("here")]
    assert memory.history("support", "alice", "s2").messages == TALK


@pytest.mark.parametrize("name", load_conversations())
async def test_sample_conversations_move_by_each_path(memory, server, community, do, name):
    """Written by the old class: read by the drop-in, adopted, and gone on with by the old class."""
    talk = load_conversations()[name]
    old = community(f"alice/{name}")
    old.add_messages(talk)
    assert await do.messages(RedisChatMessageHistory(f"alice/{name}", server.url)) == talk
    await do(memory, "adopt", "langchain-community", agent="support", ids=by_user, remove=True)
    assert old.messages == []
    new = memory.history("support", "alice", name)
    assert await do.messages(new) == talk
    assert community(name, key_prefix=new.key.removesuffix(name)).messages == talk
    old.add_messages(await do.messages(new))  # back, as the page fills the old keys
    assert old.messages == talk


# From langchain-redis


class Client(redis.Redis):
    """Takes strings for JSON documents, on a server whose GET is called JSON.GET.

    It leaves out what that GET does not know, the root's path.
    """

    def scan_iter(self, match=None, count=None, _type=None, **options):
        assert _type == "ReJSON-RL"
        return super().scan_iter(match, count, "string", **options)

    def execute_command(self, *command, **options):
        assert command[0] != "JSON.GET" or command[2:] == (".",)
        return (
            super().execute_command(*command[:2], **options)
            if command[0] == "JSON.GET"
            else (super().execute_command(*command, **options))
        )


@pytest.fixture
def recorded(start_server):
    """The documents as they are read out of a server, which holds other things too."""
    server = start_server("--rename-command", "GET", "JSON.GET")
    for key, document in RECORDED.items():
        server.client.set(key, document)
    server.client.set("chatter", "of another program")
    server.client.lpush("chat:list", "of another program")
    with Client(unix_socket_path=server.client.connection_pool.connection_kwargs["path"]) as client:
        return GUIDE["documents"](client)


def own_reading(found, session):
    """Read as langchain-redis's `messages` does, from the documents that its index would find."""
    documents = [d for d in found.values() if d["session_id"].lower() == session.lower()]
    documents.sort(key=lambda document: document["timestamp"])
    return messages_from_dict([{"type": d["type"], "data": d["data"]} for d in documents])


def test_documents_of_langchain_redis_become_conversations(recorded):
    """In order, each session by itself, without results whose call was not stored."""
    assert len(recorded) == len(RECORDED)
    calls = [
        {"name": "find", "args": {"order": order}, "id": f"c{order - 6}", "type": "tool_call"}
        for order in (8, 9)
    ]
    texts = "I look.", "delivered"
    blocks = [[{"type": "text", "text": text}] for text in texts]
    use = {"type": "tool_use", "id": "c3", "name": "find", "input": {"order": 9}}
    raw = {"name": "find", "arguments": '{"order": 8}'}
    assert GUIDE["conversations"](recorded) == {
        "alice/s1": [
            SystemMessage("Be kind."),
            HumanMessage("Where is my order? 🙂\u2028"),
            AIMessage([{"type": "text", "text": "It is on its way."}]),
            HumanMessage("And the other?"),
            AIMessage(
                "",
                tool_calls=calls[:1],
                additional_kwargs={
                    "tool_calls": [{"id": "c2", "type": "function", "function": raw}]
                },
            ),
            ToolMessage("not found", tool_call_id="c2", status="error"),
            AIMessage("It is not there."),
            HumanMessage("And the third?"),
            AIMessage([*blocks[0], use], tool_calls=calls[1:]),
            ToolMessage(blocks[1], tool_call_id="c3"),
            AIMessage("It was delivered."),
        ],
        "Alice/s1": [HumanMessage("Another's."), AIMessage("Yes.")],
    }


def test_nothing_else_is_left_out_of_what_langchain_redis_reads(recorded):
    """Beside its own reading lack one result and the empty message that had called it."""
    theirs = own_reading(recorded, "alice/s1")
    ours = [m for all_ in GUIDE["conversations"](recorded).values() for m in all_]
    lacking = [m for m in theirs if m.text and m.text not in {one.text for one in ours}]
    assert [m.content for m in lacking] == ["on its way"]
    assert len(theirs) == len(ours) + 2
    assert [m.text for m in theirs[:3]] == [
        "Be kind.",
        "Where is my order? 🙂\u2028",
        "",  # the call, lost there
    ]
    assert theirs[2].tool_calls == []


def test_documents_of_older_versions_are_read(recorded):
    """Before 0.2.3 they have no message_id, before 0.2.4 results do not name their call."""
    old = {}
    for key, document in recorded.items():
        data = {name: document["data"][name] for name in ("content", "additional_kwargs", "type")}
        kept = {name: document[name] for name in ("type", "session_id", "timestamp")}
        old[f"{key.decode().rpartition(':')[0]}:{document['timestamp']}"] = {**kept, "data": data}
    talk = GUIDE["conversations"](old)["alice/s1"]
    assert [message.text for message in talk] == [
        "Be kind.",
        "Where is my order? 🙂\u2028",
        "It is on its way.",
        "And the other?",
        "It is not there.",
        "And the third?",
        "It was delivered.",
    ]
    assert not any(isinstance(message, AIMessage) and message.tool_calls for message in talk)


USE = {"type": "tool_use", "id": "c1", "name": "find", "input": {"order": 7}}
STREAMED = {**USE, "input": {}, "partial_json": '{"order": 7}', "index": 1}
OTHER = {**CALL, "id": "c2"}
FOUND = ToolMessage("found", tool_call_id="c1")
FOUND_TOO = ToolMessage("found too", tool_call_id="c2")


@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        ([AIMessage([USE]), FOUND], [AIMessage([USE], tool_calls=[CALL]), FOUND]),
        ([AIMessage([STREAMED]), FOUND], [AIMessage([STREAMED], tool_calls=[CALL]), FOUND]),
        ([AIMessage([USE])], []),
        ([AIMessage("", tool_calls=[CALL, OTHER]), FOUND], []),
        (
            [AIMessage("", tool_calls=[CALL, OTHER]), FOUND, FOUND_TOO],
            [AIMessage("", tool_calls=[CALL, OTHER]), FOUND, FOUND_TOO],
        ),
        ([FOUND, AIMessage("", tool_calls=[CALL])], []),
        ([AIMessage(""), FOUND, AIMessage("There.")], [AIMessage("There.")]),
        ([HumanMessage(""), SystemMessage("")], [HumanMessage(""), SystemMessage("")]),
    ],
)
def test_calls_stay_with_their_results(messages, kept):
    """A model is shown both or none; calls that stand in the content are found there."""
    assert GUIDE["readable"](messages) == kept


async def test_conversations_of_langchain_redis_are_adopted(memory, recorded, do):
    """Equal; again without doubling, with what was added there, until they go on here."""
    newest = max(recorded, key=lambda key: recorded[key]["timestamp"])
    first = {key: document for key, document in recorded.items() if key != newest}
    for found in (first, first, recorded, recorded):
        done = Transfer()
        talks = GUIDE["conversations"](found)
        for name, messages in talks.items():
            user, session = by_user(name)
            done += await do(memory, "adopt", messages, agent="support", user=user, session=session)
        for name, messages in talks.items():
            history = memory.history("support", *by_user(name))
            assert await do.messages(history) == messages
    assert done == Transfer(unchanged=2)
    await do(history, "add_messages", [HumanMessage("here")])
    with pytest.raises(ImportConflictError):
        await do(
            memory,
            "adopt",
            [*messages, HumanMessage("there")],
            agent="support",
            user=by_user(name)[0],
            session="s1",
        )


# From RunnableWithMessageHistory to create_agent

PROMPT = ChatPromptTemplate(
    [("system", "Be kind."), ("placeholder", "{history}"), ("human", "{input}")]
)
KEYS = {"input_messages_key": "input", "history_messages_key": "history"}


def wrapped(runnable, factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RunnableWithMessageHistory(runnable, factory, **KEYS)


async def test_a_conversation_goes_on_from_the_wrapper_to_the_agent(memory, server, community, do):
    """Through each step of the page: every model is given all that was said before."""
    chain = PROMPT | OfflineChatModel()
    old = community("carol/s1")
    config = {"configurable": {"session_id": "carol/s1"}}

    before = wrapped(chain, lambda _: old)
    await do(before, "invoke", {"input": "My name is Carol."}, config)
    drop_in = wrapped(chain, lambda name: RedisChatMessageHistory(name, server.url))
    reply = await do(drop_in, "invoke", {"input": "What is my name?"}, config)
    assert reply.content == "Your name is Carol."
    assert len(old.messages) == 4

    await do(memory, "adopt", "langchain-community", agent="support", ids=by_user)
    config = {"configurable": {"user_id": "carol", "session_id": "s1"}}
    chat = memory.with_history(chain, agent="support", **KEYS)
    reply = await do(chat, "invoke", {"input": "What is my name?"}, config)
    assert reply.content == "Your name is Carol."

    model = Scripted(script=[calling(("add", {"a": 1, "b": 2})), "3, Carol."])
    agent = create_agent(model, [add], middleware=[RedisMemoryMiddleware(memory, agent="support")])
    state = await do(agent, "invoke", {"messages": [HumanMessage("1 and 2?")]}, config)
    stored = await do.messages(memory.history("support", "carol", "s1"))
    assert [m.text for m in model.given[0]] == [m.text for m in stored[:7]]
    assert [m.type for m in stored] == ["human", "ai"] * 3 + ["human", "ai", "tool", "ai"]
    assert stored[-1] == state["messages"][-1]
    assert stored[7].tool_calls[0]["args"] == {"a": 1, "b": 2}

    reply = await do(chat, "invoke", {"input": "What is my name?"}, config)
    assert reply.content == "Your name is Carol."
    back = community("s1", key_prefix="agent:memory:support:carol:", ttl=WEEK)
    assert len(back.messages) == 12
    assert back.messages == await do.messages(memory.history("support", "carol", "s1"))
    again = wrapped(chain, lambda _: back)
    reply = await do(
        again, "invoke", {"input": "What is my name?"}, {"configurable": {"session_id": "-"}}
    )
    assert reply.content == "Your name is Carol."
    assert memory.history("support", "carol", "s1").count() == 14


# A checkpointer


class Waiting(InMemorySaver):
    """Lets as many runs go on as begin at once, from one checkpoint."""

    def __init__(self, parties):
        super().__init__()
        self.barrier = threading.Barrier(parties)

    def get_tuple(self, config):
        found = super().get_tuple(config)
        self.barrier.wait(60)
        return found


class WaitingModel(OfflineChatModel):
    """Answers when all who ask at once have read the conversation."""

    barrier: threading.Barrier

    def _generate(self, *arguments, **options):
        self.barrier.wait(60)
        return super()._generate(*arguments, **options)


def said_at_once(agent, config):
    said = {f"I like {number}." for number in range(8)}
    threads = [
        threading.Thread(target=agent.invoke, args=({"messages": [HumanMessage(text)]}, config))
        for text in said
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def by_users(messages):
    return [message.text for message in messages if isinstance(message, HumanMessage)]


def test_turns_at_once_on_one_conversation_are_all_kept(memory):
    """Also when all of them began before any was stored."""
    model = WaitingModel(barrier=threading.Barrier(8))
    agent = create_agent(model, middleware=[RedisMemoryMiddleware(memory, agent="support")])
    said = said_at_once(agent, {"configurable": {"user_id": "u", "session_id": "s"}})
    assert set(by_users(memory.history("support", "u", "s").messages)) == said


def test_turns_at_once_on_one_checkpointed_thread_leave_one():
    """As docs/checkpointers.md says; if LangGraph ever keeps them all, the page must change."""
    saver, config = Waiting(8), {"configurable": {"thread_id": "t"}}
    agent = create_agent(OfflineChatModel(), checkpointer=saver)
    said = said_at_once(agent, config)
    saver.barrier = threading.Barrier(1)
    kept = by_users(agent.get_state(config).values["messages"])
    assert len(kept) == 1
    assert kept[0] in said


async def test_a_thread_becomes_a_conversation_and_back(memory, do):
    """With its tool calls; the conversation fills a thread again."""
    model = Scripted(script=[calling(("add", {"a": 1, "b": 2})), "3."])
    agent = create_agent(model, [add], checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "t1"}}
    await do(agent, "invoke", {"messages": [HumanMessage("1 and 2?")]}, thread)
    messages = agent.get_state(thread).values["messages"]
    await do(memory, "adopt", messages, agent="support", user="u", session="s")
    history = memory.history("support", "u", "s")
    assert await do.messages(history) == messages
    other = {"configurable": {"thread_id": "t2"}}
    agent.update_state(other, {"messages": history.messages})
    assert agent.get_state(other).values["messages"] == messages
