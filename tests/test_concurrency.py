"""Turns of one session at the same time: ours keeps all of them, LangChain's own does not."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_redis_memory import RedisMemory

CONFIG = {"configurable": {"session_id": "s", "user_id": "u"}}
WRITERS, ROUNDS = 8, 10


def question(writer, number):
    return f"question {number} of {writer}"


def reply_to(messages):
    """Reply to what was asked last, in a way that tells what it replies to."""
    return AIMessage(messages[-1].content.replace("question", "reply"))


class Together:
    """Lets no turn be answered before all of its round have read the history."""

    def __init__(self):
        self.threads = threading.Barrier(WRITERS)
        self.tasks = asyncio.Barrier(WRITERS)

    def answer(self, messages):
        self.threads.wait()
        return reply_to(messages)

    async def aanswer(self, messages):
        await self.tasks.wait()
        return reply_to(messages)

    def runnable(self):
        return RunnableLambda(self.answer, self.aanswer)


def in_threads(chat):
    """Take all turns, each writer in a thread of its own."""

    def write(writer):
        for number in range(ROUNDS):
            chat.invoke(question(writer, number), CONFIG)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))


async def in_tasks(chat):
    """Take all turns, each writer in a task of its own."""

    async def write(writer):
        for number in range(ROUNDS):
            await chat.ainvoke(question(writer, number), CONFIG)

    await asyncio.gather(*map(write, range(WRITERS)))


def assert_all_kept(messages):
    """Nothing is missing or doubled, turns are whole, and each writer's are in order."""
    asked, replies = messages[::2], messages[1::2]
    assert all(isinstance(message, HumanMessage) for message in asked)
    assert [reply_to([message]) for message in asked] == replies
    assert len(asked) == WRITERS * ROUNDS
    for writer in range(WRITERS):
        own = [message.content for message in asked if message.content.endswith(f"of {writer}")]
        assert own == [question(writer, number) for number in range(ROUNDS)]


def test_concurrent_turns_in_threads_are_all_kept(memory):
    """Eight threads, ten turns each, on one session: 80 of 80 messages and replies."""
    chat = memory.with_history(Together().runnable(), agent="a")
    in_threads(chat)
    assert_all_kept(memory.history("a", "u", "s").messages)


async def test_concurrent_turns_on_an_event_loop_are_all_kept(memory):
    """The same for eight tasks."""
    chat = memory.with_history(Together().runnable(), agent="a")
    await in_tasks(chat)
    assert_all_kept(await memory.history("a", "u", "s").aget_messages())


async def test_threads_and_tasks_together(memory):
    """The same for threads and tasks at once, on one memory."""
    chat = memory.with_history(RunnableLambda(reply_to), agent="a")
    await asyncio.gather(asyncio.to_thread(in_threads, chat), in_tasks(chat))
    messages = memory.history("a", "u", "s").messages
    asked, replies = messages[::2], messages[1::2]
    assert [reply_to([message]) for message in asked] == replies
    assert sorted(message.content for message in asked) == sorted(
        2 * [question(writer, number) for writer in range(WRITERS) for number in range(ROUNDS)]
    )


class TheirHistory(InMemoryChatMessageHistory):
    """A history in memory, with a lock, that tells when a turn was added."""

    def __init__(self):
        super().__init__()
        self._lock = threading.Lock()
        self._added = threading.Condition(self._lock)

    def add_messages(self, messages):
        with self._added:
            self.messages.extend(messages)
            self._added.notify_all()

    def wait_for(self, count):
        """Wait until so many messages are there."""
        with self._added:
            self._added.wait_for(lambda: len(self.messages) >= count)

    async def aadd_messages(self, messages):
        self.add_messages(messages)


class Overtaken(Together):
    """One turn of each round is saved while the model is still at work on the other seven."""

    def __init__(self, history):
        super().__init__()
        self._history = history

    def answer(self, messages):
        before = len(self._history.messages)
        if self.threads.wait():
            self._history.wait_for(before + 1)
        return reply_to(messages)

    async def aanswer(self, messages):
        before = len(self._history.messages)
        if await self.tasks.wait():
            await asyncio.to_thread(self._history.wait_for, before + 1)
        return reply_to(messages)


@pytest.mark.parametrize("way", ["threads", "tasks"])
async def test_langchains_own_wrapper_loses_messages(way):
    """It finds what is new by counting, so a turn that is overtaken loses the user's message."""
    history = TheirHistory()
    with pytest.warns(DeprecationWarning, match="RunnableWithMessageHistory is deprecated"):
        chat = RunnableWithMessageHistory(Overtaken(history).runnable(), lambda session_id: history)
    await (asyncio.to_thread(in_threads, chat) if way == "threads" else in_tasks(chat))
    kept = [message for message in history.messages if isinstance(message, HumanMessage)]
    assert len(kept) <= ROUNDS  # one of eight in each round, at best
    assert len(history.messages) - len(kept) == WRITERS * ROUNDS


@pytest.mark.parametrize("way", ["threads", "tasks"])
async def test_ours_keeps_them_when_overtaken(memory, way):
    """The same order of events costs ours nothing."""
    history = memory.history("a", "u", "s")

    class Ours:
        """Shows our history to the test's model."""

        @property
        def messages(self):
            return history.messages

        def wait_for(self, count):
            while history.count() < count:
                pass

    chat = memory.with_history(Overtaken(Ours()).runnable(), agent="a")
    await (asyncio.to_thread(in_threads, chat) if way == "threads" else in_tasks(chat))
    assert_all_kept(history.messages)


async def test_a_task_that_is_cancelled_ends(server):
    """Whenever it is: Python 3.11's `asyncio.wait_for` drops a cancellation that comes late."""
    async with RedisMemory.from_url(server.url) as memory:
        await memory.aping()

        async def go_on():
            while True:
                await memory.aping()

        for number in range(200):
            task = asyncio.ensure_future(go_on())
            await asyncio.sleep(number / 100_000)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=5)
            assert done
            assert task.cancelled()
