"""What a runnable with history does when storing or the runnable fails, or others interfere."""

from __future__ import annotations

import asyncio
import logging
import threading
from types import SimpleNamespace

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from wrapped import (
    CALLS,
    CONFIG,
    FORMS,
    HI,
    KEY,
    REPLY,
    SECRET,
    Model,
    call,
    fail_at,
    spoil_key,
    stored,
)

from langchain_redis_memory import RedisMemory, RetryPolicy
from langchain_redis_memory.errors import (
    ConfigurationError,
    CorruptedDataError,
    StorageRejected,
    StorageUnavailable,
    TurnNotSavedError,
    UnstorableError,
)

# Saves that fail


@pytest.mark.parametrize("name", ["invoke", "stream", "ainvoke", "astream"])
async def test_a_failed_save_is_told_and_can_be_repaired(memory, server, name):
    """The error holds the reply, the messages and a token, with which they are stored once."""
    spoil = SimpleNamespace(at=0)

    def before(number):
        if number == spoil.at:
            spoil_key(server)

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
    chat = memory.with_history(Model(before=lambda _: spoil_key(server)), agent="a")
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
        RunnableLambda(lambda _: spoil_key(server) or SECRET), agent="a", on_save_error="log"
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
    spoil_key(server)
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
        spoil_key(server)
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
            RunnableLambda(lambda _, output=output: output is not SECRET or spoil_key(server))
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
