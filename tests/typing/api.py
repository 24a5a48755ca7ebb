"""What a type checker must make of the public names; it is checked, and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_redis_memory import (
    RedisChatMessageHistory,
    RedisMemory,
    RetryPolicy,
    RunnableWithRedisHistory,
    Transfer,
    TurnNotSavedError,
    Window,
)

if TYPE_CHECKING:
    from langchain_core.runnables.history import RunnableWithMessageHistory


def made_in_each_way() -> None:
    assert_type(RedisMemory.from_url("redis://localhost"), RedisMemory)
    assert_type(RedisMemory.embedded("./memory", retry=RetryPolicy(deadline=1.5)), RedisMemory)
    assert_type(RedisMemory(namespace="acme", ttl=None, window=Window(messages=20)), RedisMemory)
    with RedisMemory.from_url("redis://localhost", max_connections=20) as memory:
        assert_type(memory.ping(), bool)


async def histories(memory: RedisMemory) -> None:
    history = memory.history("support", "alice", "s1", window=20)
    assert_type(history, RedisChatMessageHistory)
    assert_type(history.messages, list[BaseMessage])
    assert_type(await history.aget_messages(), list[BaseMessage])
    assert_type(history.count(), int)
    assert_type(history.time_to_live(), float | None)
    history.add_messages([HumanMessage("hi")])
    await history.aadd_messages([HumanMessage("hi")])


def wrapped(memory: RedisMemory) -> None:
    chat = memory.with_history(RunnableLambda(len), agent="support", on_save_error="log")
    assert_type(chat, RunnableWithRedisHistory)
    original: RunnableWithMessageHistory = chat
    del original
    memory.with_history(RunnableLambda(len), agent="support", on_save_error="no")  # type: ignore[arg-type]


async def moved(memory: RedisMemory) -> None:
    assert_type(memory.export("memory.jsonl.gz", "support", user="alice"), Transfer)
    assert_type(await memory.aimport_("memory.jsonl.gz", on_conflict="skip"), Transfer)
    memory.import_("memory.jsonl.gz", on_conflict="merge")  # type: ignore[arg-type]
    memory.adopt([HumanMessage("hi"), {"role": "user"}], agent="support", session="s1")
    await memory.aadopt("llama-index", agent="support", prefix="chat:", ids=lambda key: ("a", key))
    memory.adopt("langchain", agent="support")  # type: ignore[arg-type]
    memory.adopt("llama-index", agent="support", prefx="")  # type: ignore[call-arg]


def errors(error: TurnNotSavedError) -> None:
    assert_type(error.messages, list[BaseMessage])
    assert_type(error.token, str | None)
