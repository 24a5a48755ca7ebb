"""A runnable with history stores each turn once, whatever its form and however it is called."""

from __future__ import annotations

from operator import itemgetter

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, HumanMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory
from wrapped import CALLS, CONFIG, FORMS, HI, KEY, REPLY, SECRET, USAGE, Model, call, stored

from langchain_redis_memory import RunnableWithRedisHistory
from langchain_redis_memory.errors import ConfigurationError, UnstorableError

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


def test_a_history_of_another_kind_is_refused():
    """The wrapper needs a history of this package."""
    chat = RunnableWithRedisHistory(lambda _: "yo", lambda session_id, user_id: object())
    with pytest.raises(ConfigurationError, match="RedisChatMessageHistory"):
        chat.invoke("hi", CONFIG)


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


# What is stored


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
