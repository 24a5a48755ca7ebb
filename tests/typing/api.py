"""What a type checker must make of the public names; it is checked, and never run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from langchain.agents import create_agent
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, tool
from pydantic import BaseModel

from langchain_redis_memory import (
    ContextProvider,
    ExecutionCache,
    MemoryContext,
    MemorySettings,
    Profile,
    ProfileContext,
    RedisChatMessageHistory,
    RedisLLMCache,
    RedisMemory,
    RedisMemoryMiddleware,
    RedisSettings,
    RetryPolicy,
    RunnableWithRedisHistory,
    SessionInfo,
    Summary,
    SummaryPolicy,
    ThreadContext,
    Transfer,
    TurnNotSavedError,
    Window,
)
from langchain_redis_memory.display import as_html, as_text

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables.history import RunnableWithMessageHistory


def made_in_each_way() -> None:
    assert_type(RedisMemory.from_url("redis://localhost"), RedisMemory)
    assert_type(RedisMemory.embedded("./memory", retry=RetryPolicy(deadline=1.5)), RedisMemory)
    assert_type(RedisMemory(namespace="acme", ttl=None, window=Window(messages=20)), RedisMemory)
    with RedisMemory.from_url("redis://localhost", max_connections=20) as memory:
        assert_type(memory.ping(), bool)
    assert_type(RedisMemory.from_settings(), RedisMemory)
    place, behaviour = RedisSettings(port=6380, _env_file=None), MemorySettings(window=20)
    assert_type(RedisMemory.from_settings(place, behaviour, namespace="acme"), RedisMemory)
    assert_type(place.port, int)
    assert_type(behaviour.thread_ttl_hours, float | None)
    RedisMemory.from_settings("redis://localhost")  # type: ignore[arg-type]
    RedisSettings(prot=6380)  # type: ignore[call-arg]


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


def written(messages: list[BaseMessage]) -> str:
    return str(len(messages))


async def summarised(memory: RedisMemory) -> None:
    policy = SummaryPolicy(written, after=40, keep=20, prompt="Briefly.", remove_folded=True)
    memory.with_history(RunnableLambda(len), agent="support", summary=policy)
    assert_type(memory.summary("support", "alice", "s1"), Summary | None)
    assert_type(await memory.asummary("support", "alice", "s1"), Summary | None)
    await memory.aclear_summary("support", "alice", "s1")
    SummaryPolicy("openai:gpt-5-mini")  # type: ignore[arg-type]
    memory.with_history(RunnableLambda(len), agent="support", summary=written)  # type: ignore[arg-type]


async def contexts(memory: RedisMemory) -> None:
    context = memory.context("support", user="alice", session=None, max_characters=500, window=20)
    assert_type(context, MemoryContext)
    assert_type(context.instructions("You help."), str)
    assert_type(await context.ainstructions(), str)
    context.invoked("Hi", HumanMessage("Hello"), token="")
    providers: list[ContextProvider] = [
        context,
        ThreadContext(memory.history("support", "alice", "s1"), max_tokens=500, counter=len),
        ThreadContext(memory.conversation("support", "alice", "s1")),
        ProfileContext(memory.profile("alice"), memory.profile("alice", model=Person)),
    ]
    for provider in providers:
        assert_type(await provider.ainvoking(), str)
    ThreadContext("s1")  # type: ignore[arg-type]
    memory.context("support", user=5)  # type: ignore[arg-type]
    memory.with_history(RunnableLambda(len), agent="a", profile_key="profile", auto_save=False)


class Person(BaseModel):
    age: int = 0


async def profiles(memory: RedisMemory) -> None:
    plain = memory.profile("alice", agent="support", ttl=60.0)
    assert_type(plain, Profile[dict[str, Any]])
    assert_type(plain.get(), dict[str, Any])
    assert_type(plain.update({"age": 1}), dict[str, Any])
    assert_type(plain.modify(lambda p: {**p, "age": 1}), dict[str, Any])
    assert_type(plain.modify(lambda p: p.update(age=1)), dict[str, Any])
    assert_type(await plain.aexists(), bool)
    person = memory.profile("alice", model=Person)
    assert_type(person, Profile[Person])
    assert_type(memory.profile("alice", ttl=None, model=Person), Profile[Person])
    assert_type(await person.aget(), Person)
    assert_type(await person.aupdate({"age": 1}), Person)
    assert_type(person.modify(older), Person)
    assert_type(await person.amodify(aolder), Person)
    assert_type(await person.amodify(older), Person)
    person.set(Person())
    person.set({"age": 1})  # type: ignore[arg-type]
    person.modify(aolder)  # type: ignore[arg-type]
    memory.profile("alice", model=dict)  # type: ignore[type-var]


async def owners(memory: RedisMemory) -> None:
    assert_type(list(memory.agents()), list[str])
    assert_type([user async for user in memory.ausers("support")], list[str])
    memory.users(1)  # type: ignore[arg-type]


def older(person: Person) -> Person:
    return Person(age=person.age + 1)


async def aolder(person: Person) -> None:
    person.age += 1


async def moved(memory: RedisMemory) -> None:
    assert_type(memory.export("memory.jsonl.gz", "support", user="alice"), Transfer)
    assert_type(await memory.aimport_("memory.jsonl.gz", on_conflict="skip"), Transfer)
    assert_type(memory.import_("memory.jsonl.gz", dry_run=True), Transfer)
    memory.import_("memory.jsonl.gz", on_conflict="merge")  # type: ignore[arg-type]
    memory.adopt([HumanMessage("hi"), {"role": "user"}], agent="support", session="s1")
    await memory.aadopt("llama-index", agent="support", prefix="chat:", ids=lambda key: ("a", key))
    memory.adopt("langchain", agent="support")  # type: ignore[arg-type]
    memory.adopt("llama-index", agent="support", prefx="")  # type: ignore[call-arg]


async def agents(memory: RedisMemory, model: BaseChatModel) -> None:
    middleware = RedisMemoryMiddleware(memory, agent="support", window=20, profile_tools=True)
    agent = create_agent(model, [], middleware=[middleware])
    agent.invoke({"messages": [HumanMessage("hi")]}, {"configurable": {"session_id": "s1"}})
    RedisMemoryMiddleware(memory, agent="support", on_save_error="log", keep_failed_steps=True)
    RedisMemoryMiddleware(memory)  # type: ignore[call-arg]
    RedisMemoryMiddleware(memory, agent="support", on_save_error="no")  # type: ignore[arg-type]


async def caches(memory: RedisMemory) -> None:
    cache = memory.cache("support", ttl=None)
    assert_type(cache, ExecutionCache)
    cache.set("key", {"a": [1]}, ttl=0.5)
    assert_type(await cache.aclear(), int)

    @cache.cached
    def bare(x: int, *, y: str = "") -> list[str]:
        return [y] * x

    @cache.cached(ttl=None, ignore=("y",), errors=(ValueError,))
    async def awaited(x: int, y: object = None) -> str:
        return str((x, y))

    @cache.cached(version=2)
    @tool
    def searched(query: str) -> str:
        """Search."""
        return query

    assert_type(bare(1, y="a"), list[str])
    assert_type(await awaited(1), str)
    assert_type(searched, BaseTool)
    bare("1")  # type: ignore[arg-type]
    cache.cached(bare, lifetime=5)  # type: ignore[call-overload]
    assert_type(memory.llm_cache("support"), RedisLLMCache)
    assert_type(memory.llm_cache("support").clear(), int)


def shown(memory: RedisMemory) -> None:
    page = memory.sessions("support", "alice")
    assert_type(page[0], SessionInfo)
    assert_type(len(page.to_pandas()), int)
    history, receipt = memory.history("a", "b", "c"), memory.forget_user("alice", dry_run=True)
    assert_type(as_html(memory) + as_html(history) + as_html(memory.profile("alice")), str)
    assert_type(as_text(page) + as_text(page[0]) + as_text(receipt), str)
    as_html("text")  # type: ignore[arg-type]


def errors(error: TurnNotSavedError) -> None:
    assert_type(error.messages, list[BaseMessage])
    assert_type(error.token, str | None)
