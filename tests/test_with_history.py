"""A runnable with history stores each turn once, whatever its form, its end and its reader."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from contextlib import aclosing
from operator import itemgetter
from types import SimpleNamespace

import anyio
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    ToolMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import (
    Runnable,
    RunnableGenerator,
    RunnableLambda,
    RunnablePassthrough,
)
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from pydantic import Field

from langchain_redis_memory import RedisMemory, RetryPolicy, RunnableWithRedisHistory
from langchain_redis_memory.errors import (
    ConfigurationError,
    CorruptedDataError,
    StorageRejected,
    StorageUnavailable,
    TurnNotSavedError,
    UnstorableError,
)

CONFIG = {"configurable": {"session_id": "s", "user_id": "u"}}
KEY = "agent:memory:a:u:s"
SECRET = "the-text-of-a-message"
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
PIECES = [
    AIMessageChunk("Hello", id="r1", response_metadata={"model": "m"}),
    AIMessageChunk(" there", id="r1"),
    AIMessageChunk("", id="r1", usage_metadata=USAGE, chunk_position="last"),
]
REPLY = AIMessage("Hello there", id="r1", response_metadata={"model": "m"}, usage_metadata=USAGE)


class Model(BaseChatModel):
    """Replies with the pieces; `before` is called with their number before each is sent."""

    pieces: list = PIECES
    before: object = None
    calls: list = Field(default_factory=list)

    @property
    def _llm_type(self):
        return "scripted"

    def _sent(self, messages, kwargs):
        self.calls.append((messages, kwargs))
        for number, piece in enumerate(self.pieces):
            if self.before:
                self.before(number)
            yield ChatGenerationChunk(message=piece.model_copy())

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        first, *rest = [sent.message for sent in self._sent(messages, kwargs)]
        whole = first + rest if rest else first
        fields = {"tool_calls": whole.tool_calls, "usage_metadata": whole.usage_metadata}
        metadata = whole.response_metadata
        message = AIMessage(whole.content, id=whole.id, response_metadata=metadata, **fields)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        yield from self._sent(messages, kwargs)


def fail_at(number, error=None):
    """Make the model fail before a piece."""

    def before(at):
        if at == number:
            raise error or RuntimeError(SECRET)

    return before


PROMPT = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{input}")])
FORMS = {
    "messages": (lambda inner: inner, {}, "hi"),
    "input key": (
        lambda inner: itemgetter("input") | inner,
        {"input_messages_key": "input"},
        {"input": "hi"},
    ),
    "history key": (
        lambda inner: PROMPT | inner,
        {"input_messages_key": "input", "history_messages_key": "history"},
        {"input": "hi"},
    ),
}
HI = HumanMessage("hi")


def _batch(chat, value):
    return chat.batch([value], CONFIG)[0]


def _stream(chat, value):
    return sum_of(list(chat.stream(value, CONFIG)))


async def _abatch(chat, value):
    return (await chat.abatch([value], [CONFIG]))[0]


async def _astream(chat, value):
    return sum_of([piece async for piece in chat.astream(value, CONFIG)])


async def _events(chat, value):
    events = [event async for event in chat.astream_events(value, CONFIG, version="v2")]
    return events[-1]["data"]["output"]


def sum_of(pieces):
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole + piece
    return whole


SYNC = {
    "invoke": lambda chat, value: chat.invoke(value, CONFIG),
    "batch": _batch,
    "stream": _stream,
}
ASYNC = {
    "ainvoke": lambda chat, value: chat.ainvoke(value, CONFIG),
    "abatch": _abatch,
    "astream": _astream,
    "astream_events": _events,
}
CALLS = SYNC | ASYNC


async def call(name, chat, value):
    """Call in the named way; the synchronous ones in a thread of their own."""
    if name in SYNC:
        return await asyncio.to_thread(SYNC[name], chat, value)
    return await ASYNC[name](chat, value)


def stored(memory):
    return memory.history("a", "u", "s").messages


# Forms and ways to call


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("form", FORMS)
async def test_every_form_called_in_every_way(memory, form, name):
    """The runnable is given what was said before, and the turn is stored as it was."""
    wrap, keys, value = FORMS[form]
    inner = Model()
    chat = memory.with_history(wrap(inner), agent="a", **keys)
    for _ in range(2):
        reply = await call(name, chat, value)
        assert (reply.content, reply.id) == (REPLY.content, REPLY.id)
    assert stored(memory) == [HI, REPLY, HI, REPLY]
    assert [messages for messages, _ in inner.calls] == [[HI], [HI, REPLY, HI]]
    assert {type(message) for message in stored(memory)} == {HumanMessage, AIMessage}


@pytest.mark.parametrize("name", ["invoke", "stream", "ainvoke", "astream"])
async def test_what_is_streamed_is_stored_as_what_is_invoked(memory, name):
    """Tool calls in chunks, content blocks and usage make the message that `invoke` makes."""
    call_start = {"name": "add", "args": '{"a": ', "id": "c1", "index": 0}
    call_end = {"name": None, "args": "1}", "id": None, "index": 0}
    pieces = [
        AIMessageChunk([{"type": "text", "text": "let", "index": 0}], id="r1"),
        AIMessageChunk([{"type": "text", "text": " me", "index": 0}], id="r1"),
        AIMessageChunk([], id="r1", tool_call_chunks=[call_start]),
        AIMessageChunk([], id="r1", tool_call_chunks=[call_end]),
        AIMessageChunk([], id="r1", usage_metadata=USAGE, chunk_position="last"),
    ]
    chat = memory.with_history(Model(pieces=pieces), agent="a")
    await call(name, chat, "hi")
    assert stored(memory)[1] == AIMessage(
        [{"type": "text", "text": "let me", "index": 0}],
        id="r1",
        tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}],
        usage_metadata=USAGE,
    )
    assert type(stored(memory)[1]) is AIMessage


@pytest.mark.parametrize("name", CALLS)
async def test_a_dict_output(memory, name):
    """The reply is taken from the named key; the caller gets the whole dict."""
    chain = RunnablePassthrough.assign(answer=itemgetter("input") | Model() | StrOutputParser())
    chat = memory.with_history(
        chain, agent="a", input_messages_key="input", output_messages_key="answer"
    )
    output = await call(name, chat, {"input": "hi"})
    assert output["answer"] == "Hello there"
    assert stored(memory) == [HI, AIMessage("Hello there")]


@pytest.mark.parametrize("name", CALLS)
async def test_in_a_larger_chain(memory, name):
    """The wrapped runnable is one among others: what follows it does not change what is stored."""
    chat = memory.with_history(Model(), agent="a") | StrOutputParser()
    assert await call(name, chat, "hi") == "Hello there"
    assert stored(memory) == [HI, REPLY]


@pytest.mark.parametrize("name", CALLS)
async def test_a_plain_function_is_a_runnable(memory, name):
    """A function that takes the messages and gives a string can be wrapped."""
    chat = memory.with_history(lambda messages: f"{len(messages)} messages", agent="a")
    assert await call(name, chat, "hi") == "1 messages"
    assert await call(name, chat, "hi") == "3 messages"
    assert stored(memory)[-1] == AIMessage("3 messages")


async def test_an_async_function_is_a_runnable(memory):
    """So can a coroutine function."""

    async def answer(messages):
        return [AIMessage(str(len(messages)))]

    chat = memory.with_history(RunnableLambda(answer), agent="a")
    assert await chat.ainvoke("hi", CONFIG) == [AIMessage("1")]
    assert stored(memory) == [HI, AIMessage("1")]


@pytest.mark.parametrize("name", CALLS)
async def test_arguments_reach_the_runnable(memory, name):
    """What is bound or passed on call goes to the wrapped runnable, the call's last."""
    inner = Model()
    chat = memory.with_history(inner, agent="a")
    await call(name, chat.bind(stop=["x"], temperature=1), "hi")
    assert inner.calls[-1][1] == {"temperature": 1}
    if name == "invoke":
        chat.bind(temperature=1).invoke("hi", CONFIG, temperature=2)
        assert inner.calls[-1][1] == {"temperature": 2}


async def test_arguments_of_a_stream_replace_bound_ones(memory):
    """An argument given twice counts as it was given last."""
    inner = Model()
    chat = memory.with_history(inner, agent="a").bind(temperature=1)
    list(chat.stream("hi", CONFIG, temperature=2))
    [_ async for _ in chat.astream("hi", CONFIG, temperature=3)]
    assert [kwargs["temperature"] for _, kwargs in inner.calls] == [2, 3]


async def test_a_batch_of_sessions(memory):
    """Each input of a batch goes to its own session, and one that fails leaves the others be."""

    def answer(messages):
        if messages[-1].content == "bad":
            raise RuntimeError(SECRET)
        return "yo"

    chat = memory.with_history(answer, agent="a")
    configs = [{"configurable": {"session_id": f"s{i}"}} for i in range(3)]
    for batch in (chat.batch, chat.abatch):
        replies = batch(["0", "bad", "2"], configs, return_exceptions=True)
        replies = replies if isinstance(replies, list) else await replies
        assert [replies[0], type(replies[1]), replies[2]] == ["yo", RuntimeError, "yo"]
    counts = [memory.history("a", "default", f"s{i}").count() for i in range(3)]
    assert counts == [4, 0, 4]


async def test_batches_as_they_are_completed(memory):
    """The other two ways to call with a batch store their turns as well."""
    chat = memory.with_history(Model(), agent="a")
    assert list(chat.batch_as_completed(["hi"], CONFIG)) == [(0, REPLY)]
    assert [pair async for pair in chat.abatch_as_completed(["hi"], [CONFIG])] == [(0, REPLY)]
    assert stored(memory) == [HI, REPLY] * 2


@pytest.mark.parametrize("form", FORMS)
def test_a_runnable_that_appends_to_what_it_was_given(memory, form):
    """An agent may go on with the list that it was given: its reply is new all the same."""
    _, keys, value = FORMS[form]

    def answer(given):
        messages = given.get("history", given["input"]) if isinstance(given, dict) else given
        if form == "history key":
            messages.append(HumanMessage(given["input"]))
        messages.append(AIMessage("yo"))
        return messages

    chat = memory.with_history(answer, agent="a", **keys)
    chat.invoke(value, CONFIG)
    chat.invoke(value, CONFIG)
    assert stored(memory) == [HI, AIMessage("yo")] * 2


# Configuration


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ({}, "session_id was given"),
        ({"session_id": ""}, "session_id was given"),
        ({"session_id": None}, "session_id was given"),
        ({"session_id": 0}, "session_id was given"),
        ({"session_id": 5}, "session_id must be a string, not int"),
        ({"session_id": ["s"]}, "session_id must be a string, not list"),
        ({"session_id": "s", "user_id": None}, "user_id must be a string, not NoneType"),
        ({"session_id": "s", "user_id": ""}, "user_id must not be empty"),
        ({"session_id": "s", "user_id": 7}, "user_id must be a string, not int"),
    ],
)
async def test_wrong_ids_are_refused(memory, server, ids, told):
    """Without a proper session and user the runnable is not called and nothing is sent."""
    inner = Model()
    chat = memory.with_history(inner, agent="a")
    config = {"configurable": ids}
    with pytest.raises(ConfigurationError, match=told):
        chat.invoke("hi", config)
    with pytest.raises(ConfigurationError, match=told):
        await chat.ainvoke("hi", config)
    with pytest.raises(ConfigurationError, match=told):
        list(chat.stream("hi", config))
    with pytest.raises(ConfigurationError, match=told):
        [_ async for _ in chat.astream("hi", config)]
    with pytest.raises(ConfigurationError, match=told):
        chat.batch(["hi"], config)
    assert inner.calls == []
    assert memory.round_trips == 0


def test_no_config_at_all_is_refused(memory):
    """The error shows what a config looks like."""
    with pytest.raises(ConfigurationError, match=r"configurable.*session_id"):
        memory.with_history(Model(), agent="a").invoke("hi")


def test_the_user_has_a_default(memory):
    """A session for which no user was named belongs to the user "default"."""
    memory.with_history(Model(), agent="a").invoke("hi", {"configurable": {"session_id": "s"}})
    assert memory.history("a", "default", "s").count() == 2
    assert memory.history_factory("a")("s").count() == 2


def test_ids_bound_with_with_config(memory):
    """Ids may be bound ahead, and a call may name others."""
    chat = memory.with_history(Model(), agent="a")
    bound = chat.with_config(configurable={"session_id": "s", "user_id": "u"})
    bound.invoke("hi")
    bound.invoke("hi", {"configurable": {"session_id": "t"}})
    assert memory.history("a", "u", "s").count() == memory.history("a", "u", "t").count() == 2


def test_the_config_of_the_caller_does_not_change(memory):
    """A config can be used again: nothing is put into it."""
    config = {"configurable": {"session_id": "s", "user_id": "u"}}
    chat = memory.with_history(Model(), agent="a")
    chat.invoke("hi", config)
    list(chat.stream("hi", config))
    assert config == CONFIG


@pytest.mark.parametrize("name", CALLS)
async def test_the_history_is_visible_inside(memory, name):
    """The wrapped runnable finds the session's history in its config, as in LangChain's own."""
    seen = []

    def answer(messages, config):
        seen.append(config["configurable"]["message_history"])
        return "yo"

    await call(name, memory.with_history(RunnableLambda(answer), agent="a"), "hi")
    assert [history.key for history in seen] == [KEY]
    assert seen[0].messages == stored(memory)


def test_limits_are_passed_on(memory, server):
    """Window, size and time to live of `with_history` are those of its sessions."""
    inner = Model()
    chat = memory.with_history(inner, agent="a", window=2, max_messages=4, ttl=50)
    for _ in range(4):
        chat.invoke("hi", CONFIG)
    assert memory.history("a", "u", "s").count() == 4
    assert len(inner.calls[-1][0]) == 3
    assert 0 < server.client.ttl(KEY) <= 50


@pytest.mark.parametrize(
    "options",
    [{"agent": ""}, {"agent": 5}, {"ttl": 0}, {"window": 0}, {"no_limit": 1}, {"on_save_error": 1}],
)
def test_wrong_options_are_refused_at_once(memory, options):
    """A mistake shows when the runnable is wrapped, not when it is first called."""
    with pytest.raises(ConfigurationError):
        memory.with_history(Model(), **{"agent": "a"} | options)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_langchains_own_class(memory, form):
    """It is a RunnableWithMessageHistory with all that belongs to a runnable, and no warning."""
    wrap, keys, _ = FORMS[form]
    chat = memory.with_history(wrap(Model()), agent="a", **keys)
    assert isinstance(chat, RunnableWithMessageHistory)
    with pytest.warns(DeprecationWarning, match="RunnableWithMessageHistory is deprecated"):
        theirs = RunnableWithMessageHistory(
            wrap(Model()),
            memory.history_factory("a"),
            history_factory_config=memory.history_config,
            **keys,
        )
    assert chat.get_input_schema().model_json_schema() == (
        theirs.get_input_schema().model_json_schema()
    )
    assert {spec.id for spec in chat.config_specs} == {"session_id", "user_id"}
    assert {spec.id for spec in theirs.config_specs} == {"session_id", "user_id"}
    assert chat.get_output_schema().model_json_schema()
    assert chat.input_schema.model_json_schema()
    assert chat.config_schema().model_json_schema()
    assert chat.get_graph().nodes
    assert "Model" in chat.get_graph().draw_mermaid()
    assert chat.get_name()
    assert repr(chat)


def test_langchains_own_wrapper_takes_our_factory(memory):
    """`history_factory` and `history_config` are what LangChain's class asks for."""
    with pytest.warns(DeprecationWarning, match="RunnableWithMessageHistory is deprecated"):
        theirs = RunnableWithMessageHistory(
            Model(), memory.history_factory("a"), history_factory_config=memory.history_config
        )
    assert theirs.invoke("hi", CONFIG) == REPLY
    ours = memory.with_history(Model(), agent="a")
    ours.invoke("hi", CONFIG)
    assert theirs.invoke("hi", CONFIG) == REPLY
    assert stored(memory) == [HI, REPLY] * 3


def test_a_factory_gives_each_caller_a_history_of_its_own(memory):
    """What one of them assigns to it is nobody else's."""
    make = memory.history_factory("a")
    first, second = make("s", "u"), make("s", "u")
    assert first.conversation == second.conversation
    first.conversation = make("other", "u").conversation
    assert second.key == make("s", "u").key == "agent:memory:a:u:s"


async def test_langchains_own_wrapper_works_async(memory):
    """The same with the factory's histories on an event loop."""
    with pytest.warns(DeprecationWarning, match="RunnableWithMessageHistory is deprecated"):
        theirs = RunnableWithMessageHistory(
            Model(), memory.history_factory("a"), history_factory_config=memory.history_config
        )
    await theirs.ainvoke("hi", CONFIG)
    assert [message.content for message in stored(memory)] == ["hi", "Hello there"]


# Saves that fail


def _spoil_key(server):
    server.client.delete(KEY)
    server.client.hset(KEY, "a", "b")


@pytest.mark.parametrize("name", ["invoke", "stream", "ainvoke", "astream"])
async def test_a_failed_save_is_told_and_can_be_repaired(memory, server, name):
    """The error holds the reply, the messages and a token, with which they are stored once."""
    spoil = SimpleNamespace(at=0)

    def before(number):
        if number == spoil.at:
            _spoil_key(server)

    chat = memory.with_history(Model(before=before), agent="a")
    with pytest.raises(TurnNotSavedError, match="holds another type of data") as caught:
        await call(name, chat, "hi")
    error = caught.value
    assert isinstance(error.__cause__, StorageRejected)
    assert error.reply.content == "Hello there"
    assert error.messages == [HI, REPLY]
    server.client.delete(KEY)
    history = memory.history("a", "u", "s")
    history.add_messages(error.messages, token=error.token)
    history.add_messages(error.messages, token=error.token)
    await history.aadd_messages(error.messages, token=error.token)
    assert history.messages == [HI, REPLY]
    spoil.at = None
    await call(name, chat, "hi")
    assert history.count() == 4


@pytest.mark.parametrize("name", ["batch", "abatch", "astream_events"])
async def test_a_failed_save_is_told_in_every_way_to_call(memory, server, name):
    """Batches and event streams raise it too."""
    chat = memory.with_history(Model(before=lambda _: _spoil_key(server)), agent="a")
    with pytest.raises(TurnNotSavedError):
        await call(name, chat, "hi")


@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_reply_that_cannot_be_stored(memory, name):
    """A reply that JSON cannot hold reaches the caller, and nothing of the turn is stored."""
    reply = ToolMessage(SECRET, tool_call_id="1", artifact={"rows": [object()]})
    chat = memory.with_history(RunnableLambda(lambda _: [AIMessage("a"), reply]), agent="a")
    with pytest.raises(
        TurnNotSavedError, match=r"messages\[2\]\.artifact\['rows'\]\[0\]"
    ) as caught:
        await call(name, chat, SECRET)
    assert isinstance(caught.value.__cause__, UnstorableError)
    assert caught.value.reply == [AIMessage("a"), reply]
    assert caught.value.messages == [HumanMessage(SECRET), AIMessage("a"), reply]
    assert SECRET not in str(caught.value)
    assert stored(memory) == []


@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_reply_of_no_known_shape(memory, name):
    """An output without messages is handed back with the user's message, under no token."""
    chat = memory.with_history(RunnableLambda(lambda _: {"a": SECRET, "b": 1}), agent="a")
    with pytest.raises(TurnNotSavedError, match="no key 'output'; it has 'a', 'b'") as caught:
        await call(name, chat, "hi")
    assert caught.value.reply == {"a": SECRET, "b": 1}
    assert (caught.value.messages, caught.value.token) == ([HI], None)


@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_server_that_goes_away_during_the_call(start_server, name):
    """The reply is not lost with the server, and is stored when there is one again."""
    server = start_server()
    policy = RetryPolicy(attempts=2, deadline=1)
    async with RedisMemory.from_url(server.url, retry=policy) as memory:
        chat = memory.with_history(Model(before=lambda _: server.kill()), agent="a")
        with pytest.raises(TurnNotSavedError) as caught:
            await call(name, chat, "hi")
        assert isinstance(caught.value.__cause__, StorageUnavailable)
        server.start()
        history = memory.history("a", "u", "s")
        history.add_messages(caught.value.messages, token=caught.value.token)
        assert history.messages == [HI, REPLY]


@pytest.mark.parametrize("name", CALLS)
async def test_failed_saves_in_the_log(memory, server, caplog, name):
    """For who prefers the log, the reply is returned and the log tells of it, without its text."""
    chat = memory.with_history(
        RunnableLambda(lambda _: _spoil_key(server) or SECRET), agent="a", on_save_error="log"
    )
    assert await call(name, chat, SECRET) == SECRET
    (record,) = [r for r in caplog.records if r.name == "langchain_redis_memory"]
    assert record.levelno == logging.ERROR
    assert "not saved" in record.getMessage()
    assert SECRET not in caplog.text


async def test_a_read_that_fails_is_raised(memory, server):
    """Without the history the runnable is not called."""
    inner = Model()
    chat = memory.with_history(inner, agent="a")
    _spoil_key(server)
    for name in CALLS:
        with pytest.raises(StorageRejected, match="another type"):
            await call(name, chat, "hi")
    server.client.delete(KEY)
    server.client.lpush(KEY, "{}")
    with pytest.raises(CorruptedDataError):
        chat.invoke("hi", CONFIG)
    assert inner.calls == []


# Runnables that fail


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("name", CALLS)
async def test_a_failing_runnable(memory, caplog, name, at, keep):
    """Its exception reaches the caller; nothing is stored, or the user's message if asked for."""
    chat = memory.with_history(Model(before=fail_at(at)), agent="a", keep_failed_input=keep)
    with pytest.raises(RuntimeError, match=SECRET):
        await call(name, chat, "hi")
    assert stored(memory) == ([HI] if keep else [])
    assert not [r for r in caplog.records if r.name == "langchain_redis_memory"]


@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_failing_runnable_and_a_failing_save(memory, server, caplog, name):
    """The runnable's exception is the one that is raised; the log tells of the other."""

    def before(_number):
        _spoil_key(server)
        raise RuntimeError("the model's own")

    chat = memory.with_history(Model(before=before), agent="a", keep_failed_input=True)
    with pytest.raises(RuntimeError, match="the model's own"):
        await call(name, chat, SECRET)
    assert "another type" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("name", ["ainvoke", "abatch"])
async def test_a_cancelled_call(memory, name):
    """A call that is cancelled before the reply stores nothing, or the user's message."""
    for keep, expected in ((False, []), (True, [HI])):
        started = asyncio.Event()

        async def answer(messages, started=started):
            started.set()
            await asyncio.Event().wait()

        chat = memory.with_history(RunnableLambda(answer), agent="a", keep_failed_input=keep)
        task = asyncio.create_task(call(name, chat, "hi"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stored(memory) == expected


# What others do meanwhile


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_history_cleared_during_the_call(memory, server, name, form):
    """Only the turn itself is there afterwards: what was cleared does not come back."""
    wrap, keys, value = FORMS[form]
    memory.history("a", "u", "s").add_messages([HumanMessage("old"), AIMessage("reply")])
    inner = Model(before=lambda number: number or server.client.delete(KEY))
    await call(name, memory.with_history(wrap(inner), agent="a", **keys), value)
    assert stored(memory) == [HI, REPLY]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_history_that_expires_during_the_call(memory, server, name, form):
    """The same for a history whose time to live ends, and the turn has all of it again."""
    wrap, keys, value = FORMS[form]
    memory.history("a", "u", "s").add_messages([HumanMessage("old"), AIMessage("reply")])

    def before(number):
        if number == 0:
            server.client.pexpire(KEY, 1)
            while server.client.exists(KEY):
                threading.Event().wait(0.001)

    await call(name, memory.with_history(wrap(Model(before=before)), agent="a", **keys), value)
    assert memory.history("a", "u", "s").time_to_live() > 600_000
    assert stored(memory) == [HI, REPLY]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
async def test_another_process_appends_during_the_call(memory, server, name, form):
    """Both turns are kept whole, one after the other."""
    wrap, keys, value = FORMS[form]
    with RedisMemory.from_url(server.url) as other:
        theirs = [HumanMessage("other"), AIMessage("reply")]
        inner = Model(
            before=lambda number: number or other.history("a", "u", "s").add_messages(theirs)
        )
        await call(name, memory.with_history(wrap(inner), agent="a", **keys), value)
    assert stored(memory) == [*theirs, HI, REPLY]


# Abandoned streams

PART = AIMessage("Hello", id="r1", response_metadata={"model": "m", "interrupted": True})


@pytest.fixture(params=["keep", "discard"])
def policy(request):
    """Both policies for abandoned streams, with what they leave of one after the first piece."""
    kept = [HI, PART] if request.param == "keep" else []
    return SimpleNamespace(options={"on_interrupted": request.param}, kept=kept)


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_that_is_closed(memory, policy, form):
    """Closing a stream stores the user's message and the part that was sent, at once."""
    wrap, keys, value = FORMS[form]
    chat = memory.with_history(wrap(Model()), agent="a", **keys, **policy.options)
    stream = chat.stream(value, CONFIG)
    assert next(stream).content == "Hello"
    stream.close()
    assert stored(memory) == policy.kept


def test_a_stream_that_is_dropped(memory, policy):
    """Leaving the loop over a stream does so too, once nothing refers to the stream."""
    chat = memory.with_history(Model(), agent="a", **policy.options)
    for piece in chat.stream("hi", CONFIG):
        assert piece.content == "Hello"
        break
    gc.collect()
    assert stored(memory) == policy.kept


def test_a_stream_that_is_closed_in_a_larger_chain(memory, policy):
    """LangChain reads to the end what follows the runnable in a chain: the turn is whole then."""
    chat = memory.with_history(Model(), agent="a", **policy.options) | StrOutputParser()
    stream = chat.stream("hi", CONFIG)
    assert next(stream) == "Hello"
    stream.close()
    assert stored(memory) == [HI, REPLY]


async def test_a_stream_that_never_began(memory):
    """A stream that is closed before its first piece asked nothing and stores nothing."""
    inner = Model()
    chat = memory.with_history(inner, agent="a")
    chat.stream("hi", CONFIG).close()
    await chat.astream("hi", CONFIG).aclose()
    assert inner.calls == []
    assert stored(memory) == []


def test_a_stream_whose_reader_is_interrupted(memory):
    """Control-C while the model is at work leaves what had been sent."""
    chat = memory.with_history(Model(before=fail_at(1, KeyboardInterrupt())), agent="a")
    stream = chat.stream("hi", CONFIG)
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    assert stored(memory) == [HI, PART]


@pytest.mark.parametrize("form", FORMS)
async def test_an_async_stream_that_is_closed(memory, policy, form):
    """The same for an asynchronous stream."""
    wrap, keys, value = FORMS[form]
    chat = memory.with_history(wrap(Model()), agent="a", **keys, **policy.options)
    async with aclosing(chat.astream(value, CONFIG)) as stream:
        assert (await anext(stream)).content == "Hello"
    assert stored(memory) == policy.kept


@pytest.mark.parametrize("chain", [False, True])
async def test_an_async_stream_that_is_dropped(memory, policy, chain):
    """Python closes a dropped asynchronous stream soon; then the part is stored."""
    chat = memory.with_history(Model(), agent="a", **policy.options)
    async for _ in (chat | StrOutputParser() if chain else chat).astream("hi", CONFIG):
        break
    gc.collect()
    await _others_done()
    assert stored(memory) == policy.kept


async def _others_done():
    """Wait until nothing else is at work on the event loop; closing may take several rounds."""
    for _ in range(20):
        await asyncio.sleep(0)
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)


def slow_chat(memory, policy, **options):
    """Give a runnable that stops after its first piece until it is cancelled."""

    async def pieces(inputs):
        async for _ in inputs:
            pass
        yield PIECES[0]
        await asyncio.Event().wait()

    return memory.with_history(RunnableGenerator(pieces), agent="a", **policy.options, **options)


async def test_a_stream_whose_task_is_cancelled(memory, policy):
    """A cancelled task has stored the part when it ends."""
    sent = asyncio.Event()

    async def read():
        async for _ in slow_chat(memory, policy).astream([HI], CONFIG):
            sent.set()

    task = asyncio.create_task(read())
    await sent.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stored(memory) == policy.kept


@pytest.mark.parametrize("times", [1, 5])
async def test_a_stream_whose_task_is_cancelled_again_and_again(memory, policy, times):
    """Cancelling a task while it stores the part does not stop it."""
    sent = asyncio.Event()

    async def read():
        async for _ in slow_chat(memory, policy).astream([HI], CONFIG):
            sent.set()

    task = asyncio.create_task(read())
    await sent.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await _others_done()
    assert stored(memory) == policy.kept


async def test_a_stream_in_a_cancelled_scope(memory, policy):
    """A cancel scope, as web frameworks have it, cancels at every await: the part is stored."""
    with anyio.CancelScope() as scope:
        async for _ in slow_chat(memory, policy).astream([HI], CONFIG):
            scope.cancel()
    await _others_done()
    assert scope.cancelled_caught
    assert stored(memory) == policy.kept


async def test_a_stream_with_a_timeout(memory, policy):
    """A time-out while the model is at work leaves the part that was sent."""

    async def read():
        async with asyncio.timeout(None) as limit:
            async for _ in slow_chat(memory, policy).astream([HI], CONFIG):
                limit.reschedule(0)

    with pytest.raises(TimeoutError):
        await read()
    assert stored(memory) == policy.kept


async def test_events_that_are_abandoned(memory, policy):
    """A reader of events who leaves leaves the part that was sent."""
    async with aclosing(slow_chat(memory, policy).astream_events([HI], CONFIG)) as events:
        async for event in events:
            if event["event"] == "on_chain_stream":
                break
    await _others_done()
    assert stored(memory) == policy.kept


async def test_a_reader_who_leaves_during_the_save(memory, server):
    """A turn whose reply was sent whole is stored whole, even if its reader is cancelled then."""
    chat = memory.with_history(Model(), agent="a")
    for ticks in range(1, 12):
        server.client.delete(KEY)
        sent, complete = [], asyncio.Event()

        async def read(sent=sent, complete=complete):
            async for piece in chat.astream("hi", CONFIG):
                sent.append(piece)
                if len(sent) == len(PIECES):
                    complete.set()

        task = asyncio.create_task(read())
        await complete.wait()
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await _others_done()
        assert stored(memory)[0] == HI
        assert [message.content for message in stored(memory)] == ["hi", "Hello there"]


@pytest.mark.parametrize("name", ["ainvoke", "astream"])
async def test_a_reader_who_leaves_while_the_save_is_tried_again(start_server, name):
    """A complete turn whose save waits for the server is not given up with its reader."""
    server = start_server()
    refused = asyncio.Event()

    class Log(logging.Handler):
        def emit(self, record):
            refused.set()

    logger, handler = logging.getLogger("langchain_redis_memory"), Log()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        async with RedisMemory.from_url(server.url) as memory:
            chat = memory.with_history(lambda _: server.kill() or "yo", agent="a")
            task = asyncio.create_task(call(name, chat, "hi"))
            await refused.wait()
            task.cancel()
            server.start()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert stored(memory) == [HI, AIMessage("yo")]
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


async def test_the_models_stream_is_closed_with_ours(memory):
    """Whoever closes the stream stops the model, before the next line runs."""
    closed = []

    async def pieces(inputs):
        try:
            async for _ in inputs:
                yield "a"
                yield "b"
        finally:
            closed.append(True)

    chat = memory.with_history(RunnableGenerator(pieces), agent="a")
    async with aclosing(chat.astream("hi", CONFIG)) as stream:
        await anext(stream)
    assert closed == [True]
    assert stored(memory) == [HI, AIMessage("a", response_metadata={"interrupted": True})]


async def test_a_part_that_cannot_be_stored(memory, server, caplog, policy):
    """When even the part cannot be stored, the log says so, and closing raises nothing."""
    chat = memory.with_history(Model(), agent="a", **policy.options)
    stream = chat.stream(SECRET, CONFIG)
    next(stream)
    _spoil_key(server)
    stream.close()
    async with aclosing(chat.astream(SECRET, CONFIG)) as astream:
        server.client.delete(KEY)
        await anext(astream)
        _spoil_key(server)
    told = [r for r in caplog.records if "not saved" in r.getMessage()]
    assert len(told) == (2 if policy.kept else 0)
    assert SECRET not in caplog.text


def test_a_stream_left_before_its_reply(memory):
    """A dict stream that is left before the reply's key keeps the user's message."""
    chain = RunnablePassthrough.assign(answer=itemgetter("input") | Model() | StrOutputParser())
    keys = {"input_messages_key": "input", "output_messages_key": "answer"}
    stream = memory.with_history(chain, agent="a", **keys).stream({"input": "hi"}, CONFIG)
    assert "answer" not in next(stream)
    stream.close()
    assert stored(memory) == [HI]


def test_an_interrupted_conversation_goes_on(memory):
    """The next turn is given the part, and what follows is stored as ever."""
    inner = Model()
    chat = memory.with_history(inner, agent="a")
    stream = chat.stream("hi", CONFIG)
    next(stream)
    stream.close()
    chat.invoke("go on", CONFIG)
    assert inner.calls[-1][0] == [HI, PART, HumanMessage("go on")]
    assert stored(memory) == [HI, PART, HumanMessage("go on"), REPLY]


# Messages that are sent again


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("form", FORMS)
async def test_clients_that_send_everything_again(memory, form, name, window):
    """Known ids are neither stored nor given twice, also when they lie before the window."""
    wrap, keys, _ = FORMS[form]
    inner = Model()
    runnable = inner if form != "history key" else _both | inner
    runnable = runnable if form != "input key" else wrap(inner)
    chat = memory.with_history(runnable, agent="a", window=window, **keys)
    sent = []
    for turn in range(4):
        sent.append(HumanMessage(f"question {turn}", id=f"q{turn}"))
        await call(name, chat, {"input": list(sent)} if keys else list(sent))
        sent.append(stored(memory)[-1])
    assert stored(memory) == sent
    assert len(stored(memory)) == 8
    given = [[message.content for message in messages] for messages, _ in inner.calls]
    assert given[-1] == [m.content for m in sent[:-1]][-3 if window else 0 :]


_both: Runnable = RunnableLambda(lambda value: value["history"] + value["input"])


def test_messages_without_ids_are_never_taken_for_known(memory):
    """Who says the same again says it again."""
    chat = memory.with_history(Model(), agent="a")
    chat.invoke([HI], CONFIG)
    chat.invoke([HI], CONFIG)
    assert stored(memory) == [HI, REPLY, HI, REPLY]


def test_a_reply_with_a_known_id_is_stored(memory):
    """A cache of replies gives the same message again, and the turn is whole nevertheless."""
    cached = AIMessage("yo", id="cached")
    chat = memory.with_history(RunnableLambda(lambda _: cached.model_copy()), agent="a")
    chat.invoke("hi", CONFIG)
    chat.invoke("hi", CONFIG)
    assert stored(memory) == [HI, cached, HI, cached]


# Agents


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


# Traces


class Recorder(BaseCallbackHandler):
    """Notes the runs that begin and end."""

    run_inline = True

    def __init__(self):
        self.runs = {}

    def _start(self, name, run_id, parent_run_id, inputs):
        self.runs[run_id] = SimpleNamespace(
            name=name, parent=parent_run_id, inputs=inputs, outputs=None, error=None
        )

    def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, **kwargs):
        self._start(kwargs.get("name"), run_id, parent_run_id, inputs)

    def on_chat_model_start(self, serialized, messages, *, run_id, parent_run_id=None, **kwargs):
        self._start("Model", run_id, parent_run_id, messages)

    def on_chain_end(self, outputs, *, run_id, **kwargs):
        self.runs[run_id].outputs = outputs

    def on_llm_end(self, response, *, run_id, **kwargs):
        self.runs[run_id].outputs = response

    def on_chain_error(self, error, *, run_id, **kwargs):
        self.runs[run_id].error = error

    on_llm_error = on_chain_error

    def tree(self):
        """Give each run with its parent's name."""
        return [(r.name, self.runs[r.parent].name if r.parent else None) for r in self.all]

    @property
    def all(self):
        return list(self.runs.values())


WRAPPER = "RunnableWithMessageHistory"


@pytest.mark.parametrize("name", CALLS)
async def test_traces_keep_their_shape(memory, name):
    """A trace shows the wrapper, in it the reading of the history and the runnable's own run."""
    recorder = Recorder()
    chat = memory.with_history(Model(), agent="a").with_config(callbacks=[recorder])
    await call(name, chat, "hi")
    assert recorder.tree() == [(WRAPPER, None), ("load_history", WRAPPER), ("Model", WRAPPER)]
    root, load, _ = recorder.all
    assert root.inputs in ("hi", {"input": ""})  # streams tell their input at the end
    assert root.outputs.content == "Hello there"
    assert (load.inputs, load.outputs) == ("hi", [])
    assert not any(run.error for run in recorder.all)


@pytest.mark.parametrize("name", CALLS)
async def test_traces_of_a_chain_in_a_chain(memory, name):
    """Runs have the right parents when the runnable is a chain and is part of one."""
    recorder = Recorder()
    wrap, keys, value = FORMS["history key"]
    chat = memory.with_history(wrap(Model()), agent="a", **keys) | StrOutputParser()
    await call(name, chat.with_config(callbacks=[recorder]), value)
    sequence = "RunnableSequence"
    assert sorted(recorder.tree(), key=str) == sorted(
        [
            (sequence, None),
            (WRAPPER, sequence),
            ("load_history", WRAPPER),
            (sequence, WRAPPER),
            ("ChatPromptTemplate", sequence),
            ("Model", sequence),
            ("StrOutputParser", sequence),
        ],
        key=str,
    )


@pytest.mark.parametrize("name", CALLS)
async def test_traces_tell_of_errors(memory, server, name):
    """A failing runnable, read or save is on the run of the wrapper."""
    recorder = Recorder()
    config = {"callbacks": [recorder]}
    with pytest.raises(RuntimeError):
        await call(
            name,
            memory.with_history(Model(before=fail_at(0)), agent="a").with_config(config),
            "hi",
        )
    spoils = memory.with_history(Model(before=lambda _: _spoil_key(server)), agent="a")
    with pytest.raises(TurnNotSavedError):
        await call(name, spoils.with_config(config), "hi")
    with pytest.raises(StorageRejected):
        await call(name, spoils.with_config(config), "hi")
    roots = [run.error for run in recorder.all if run.parent is None]
    assert [type(error) for error in roots] == [RuntimeError, TurnNotSavedError, StorageRejected]
    loads = [run.error for run in recorder.all if run.name == "load_history"]
    assert [type(error) for error in loads] == [type(None), type(None), StorageRejected]


async def test_events_name_the_runs(memory):
    """The stream of events shows the wrapper first and last, and the model's pieces in it."""
    chat = memory.with_history(Model(), agent="a")
    events = [event async for event in chat.astream_events("hi", CONFIG, version="v2")]
    named = [(event["event"], event["name"]) for event in events]
    assert named[:3] == [
        ("on_chain_start", WRAPPER),
        ("on_chain_start", "load_history"),
        ("on_chain_end", "load_history"),
    ]
    assert named[-1] == ("on_chain_end", WRAPPER)
    pieces = [e["data"]["chunk"].content for e in events if e["event"] == "on_chat_model_stream"]
    assert pieces == [piece.content for piece in PIECES]
    assert {tuple(event["parent_ids"]) for event in events if event["name"] == "Model"} == {
        (events[0]["run_id"],)
    }


def test_a_run_can_be_named(memory):
    """The caller's name for the run is used for the wrapper alone."""
    recorder = Recorder()
    memory.with_history(Model(), agent="a").invoke(
        "hi", {**CONFIG, "callbacks": [recorder], "run_name": "mine"}
    )
    assert [run.name for run in recorder.all] == ["mine", "load_history", "Model"]


# Texts


@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream", "astream"])
async def test_no_error_or_log_of_ours_quotes_a_message(memory, server, caplog, name):
    """Whatever goes wrong, messages stay out of exceptions, of their causes and of the log."""
    caplog.set_level(logging.DEBUG, "langchain_redis_memory")
    reply = AIMessage(SECRET, additional_kwargs={"x": b"bytes"})
    outputs = [{"a": SECRET, "b": SECRET}, [SECRET], reply, SECRET]
    for output in outputs:
        server.client.delete(KEY)
        chat = memory.with_history(
            RunnableLambda(lambda _, output=output: output is not SECRET or _spoil_key(server))
            | RunnableLambda(lambda _, output=output: output),
            agent="a",
        )
        with pytest.raises(TurnNotSavedError) as caught:
            await call(name, chat, SECRET)
        for error in _chain(caught.value):
            assert SECRET not in str(error)
    with pytest.raises(ConfigurationError) as caught:
        await call(name, chat, [{"role": SECRET, "content": SECRET}])
    assert not [error for error in _chain(caught.value) if SECRET in str(error)]
    records = [r.getMessage() for r in caplog.records if r.name == "langchain_redis_memory"]
    assert not [text for text in records if SECRET in text]


def _chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_resend_does_not_bring_back_what_was_let_go(memory):
    """A client that sends everything again meets a conversation that keeps four messages."""
    chat = memory.with_history(
        lambda messages: AIMessage(f"a{messages[-1].content[1:]}", id=f"a{messages[-1].id}"),
        agent="a",
        max_messages=4,
    )
    sent = []
    for number in range(1, 6):
        sent.append(HumanMessage(f"h{number}", id=str(number)))
        sent.append(chat.invoke(sent, CONFIG))
    kept = stored(memory)
    assert [message.content for message in kept] == ["h4", "a4", "h5", "a5"]


def test_one_message_object_may_be_used_twice(memory):
    """What a runnable does to the messages that it is given does not reach the caller's."""

    def marks(messages):
        for message in messages:
            message.id = message.id or f"set-{len(messages)}"
        return AIMessage("yo")

    chat = memory.with_history(marks, agent="a")
    again = HumanMessage("go on")
    chat.invoke(again, CONFIG)
    chat.invoke([again], CONFIG)
    assert again.id is None
    kept = stored(memory)
    assert [message.content for message in kept] == ["go on", "yo", "go on", "yo"]


def test_a_message_that_cannot_be_stored_is_refused_before_the_runnable_is_called(memory):
    """Nobody pays for a reply to a turn that cannot be kept."""
    called = []
    chat = memory.with_history(called.append, agent="a")
    with pytest.raises(UnstorableError, match=r"messages\[0\]\.additional_kwargs"):
        chat.invoke(HumanMessage("hi", additional_kwargs={"picture": b"..."}), CONFIG)
    assert called == []


def test_a_chunk_in_the_input_is_stored_as_a_message(memory):
    """As one in the reply is."""
    chat = memory.with_history(lambda _: "yo", agent="a")
    chat.invoke(HumanMessageChunk("hi"), CONFIG)
    assert stored(memory) == [HumanMessage("hi"), AIMessage("yo")]


def test_an_agents_messages_are_found_among_its_other_keys(memory):
    """A dict with "messages" needs no output_messages_key."""
    chat = memory.with_history(
        lambda _: {"messages": [AIMessage("yo")], "structured_response": {"a": 1}}, agent="a"
    )
    chat.invoke("hi", CONFIG)
    assert stored(memory) == [HumanMessage("hi"), AIMessage("yo")]


def test_a_history_of_another_kind_is_refused():
    """The wrapper needs a history of this package."""
    chat = RunnableWithRedisHistory(lambda _: "yo", lambda session_id, user_id: object())
    with pytest.raises(ConfigurationError, match="RedisChatMessageHistory"):
        chat.invoke("hi", CONFIG)


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


BREAKS = """
import asyncio, sys
from langchain_redis_memory import OfflineChatModel, RedisMemory

async def main():
    memory = RedisMemory.from_url(sys.argv[1])
    chat = memory.with_history(OfflineChatModel(), agent="a")
    config = {"configurable": {"session_id": "s", "user_id": "u"}}
    async for _ in chat.astream("Tell me about Lisbon.", config):
        break

asyncio.run(main())
"""


def test_leaving_a_stream_as_the_event_loop_ends_stores_the_part(start_server):
    """On a server that knows no script yet, so that storing takes two trips; nothing is printed."""
    import subprocess
    import sys

    server = start_server()
    for _ in range(3):
        server.client.flushall()
        server.client.script_flush()
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", BREAKS, server.url],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        with RedisMemory.from_url(server.url) as memory:
            asked, part = stored(memory)
        assert asked.content == "Tell me about Lisbon."
        assert part.response_metadata["interrupted"]
