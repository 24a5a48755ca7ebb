"""Streams of a runnable with history that are abandoned: what was sent is stored, once."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
from contextlib import aclosing
from operator import itemgetter
from types import SimpleNamespace

import anyio
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableGenerator, RunnablePassthrough
from wrapped import (
    CONFIG,
    FORMS,
    HI,
    KEY,
    PIECES,
    REPLY,
    SECRET,
    Model,
    call,
    fail_at,
    spoil_key,
    stored,
)

from langchain_redis_memory import RedisMemory

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
    spoil_key(server)
    stream.close()
    async with aclosing(chat.astream(SECRET, CONFIG)) as astream:
        server.client.delete(KEY)
        await anext(astream)
        spoil_key(server)
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
