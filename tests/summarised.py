"""Conversations with a summary, of which every word is known."""

from __future__ import annotations

import re
import threading

from langchain_core.messages import AIMessage

from langchain_redis_memory import SummaryPolicy
from langchain_redis_memory.storage.keys import summary_of

IDS = ("a", "u", "s")
KEY = "agent:memory:a:u:s"
SUMMARY = summary_of(KEY)
CONFIG = {"configurable": {"session_id": "s", "user_id": "u"}}
WORD = re.compile(r"\bm\d+\b")


def told(messages):
    """A model whose summary is the words of all messages that it was given, in their order."""
    return " ".join(WORD.findall(messages[-1].content))


async def atold(messages):
    return told(messages)


def words(messages):
    return [word for message in messages for word in WORD.findall(str(message.content))]


class Answering:
    """Answers each turn with the next words, and remembers what it was given."""

    def __init__(self):
        self.number = 0
        self.given = []
        self._lock = threading.Lock()

    def word(self):
        with self._lock:
            self.number += 1
            return f"m{self.number}"

    def __call__(self, messages):
        self.given.append(messages)
        return AIMessage(self.word())


class Talk:
    """A conversation of turns with a summary, of which every word is known."""

    def __init__(self, memory, model=told, *, after=6, keep=2, ids=IDS, **options):
        self.memory = memory
        self.ids = ids
        self.answer = Answering()
        policy = {
            name: options.pop(name) for name in ("prompt", "remove_folded") if name in options
        }
        self.policy = SummaryPolicy(model, after=after, keep=keep, **policy)
        self.chat = memory.with_history(self.answer, agent=ids[0], summary=self.policy, **options)
        self.config = {"configurable": {"user_id": ids[1], "session_id": ids[2]}}

    def turn(self):
        return self.chat.invoke(self.answer.word(), self.config)

    async def aturn(self):
        return await self.chat.ainvoke(self.answer.word(), self.config)

    def turns(self, count):
        for _ in range(count):
            self.turn()
        return self

    @property
    def summary(self):
        return self.memory.summary(*self.ids)

    @property
    def history(self):
        return self.memory.history(*self.ids)

    def has_all(self):
        """Whether the last turn was given every word before its answer, once and in order."""
        return words(self.answer.given[-1]) == every(self.answer.number - 1)


def every(number):
    return [f"m{n}" for n in range(1, number + 1)]
