"""What models answered: exact, for `set_llm_cache` and for a model's own cache."""

from __future__ import annotations

import asyncio
import logging
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.caches import BaseCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)
from langchain_tests.integration_tests.cache import AsyncCacheTestSuite, SyncCacheTestSuite

from langchain_redis_memory import (
    ConfigurationError,
    CorruptedDataError,
    RedisLLMCache,
    RedisMemory,
    RetryPolicy,
    StorageUnavailable,
)

QUICK = RetryPolicy(attempts=1, deadline=0.5)


class TestSync(SyncCacheTestSuite):
    """LangChain's suite for caches."""

    @pytest.fixture
    def cache(self, memory):
        return memory.llm_cache("support")


class TestAsync(AsyncCacheTestSuite):
    """LangChain's suite for caches on an event loop."""

    @pytest.fixture
    async def cache(self, server):
        async with RedisMemory.from_url(server.url) as memory:
            yield memory.llm_cache("support")


@pytest.fixture
def cache(memory_here):
    """The cache of one agent."""
    return memory_here.llm_cache("support")


REPLY = AIMessage(
    [{"type": "text", "text": "Grüße 🙂\n"}, {"type": "reasoning", "reasoning": "hm", "index": 0}],
    id="run-1",
    name="bob",
    tool_calls=[{"name": "look", "args": {"x": [1, None, 2**80]}, "id": "c1"}],
    invalid_tool_calls=[{"name": "look", "args": "{", "id": "c2", "error": "no JSON"}],
    usage_metadata={
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 3,
        "input_token_details": {"cache_read": 1},
    },
    response_metadata={"model_name": "m", "logprobs": [{"logprob": -0.1}, {"logprob": -math.inf}]},
    additional_kwargs={"refusal": None},
)
with_other_text = ChatGeneration(message=AIMessage("a"))
with_other_text.text = "another"
ANSWERS = {
    "plain": [Generation(text="a"), Generation(text="b\n", generation_info={"reason": "stop"})],
    "plain chunk": [GenerationChunk(text="a", generation_info={"x": [1, {"!tuple": 1}]})],
    "none": [],
    "chat": [ChatGeneration(message=REPLY, generation_info={"finish_reason": "stop", "n": None})],
    "several": [ChatGeneration(message=REPLY), ChatGeneration(message=AIMessage(""))],
    "user's": [ChatGeneration(message=HumanMessage("hi"))],
    "other text": [with_other_text],
    "chunk": [
        ChatGenerationChunk(
            message=AIMessageChunk(
                "a",
                id="1",
                chunk_position="last",
                tool_call_chunks=[{"name": "f", "args": '{"a"', "id": "1", "index": 0}],
            ),
            generation_info={"a": math.inf},
        )
    ],
    "chunk in a whole": [ChatGeneration(message=AIMessageChunk("a"))],
    "legacy block": [ChatGeneration(message=AIMessage([{"text": "a"}, "b"]))],
    "surrogate": [Generation(text="\ud800")],
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_come_back_equal(memory_here, cache, do, name):
    """Of the same classes, in one round trip each."""
    before = memory_here.round_trips
    await do(cache, "update", "prompt", "llm", ANSWERS[name])
    found = await do(cache, "lookup", "prompt", "llm")
    assert memory_here.round_trips - before == 2
    assert found == ANSWERS[name]
    assert list(map(type, found)) == list(map(type, ANSWERS[name]))
    for one, other in zip(found, ANSWERS[name], strict=True):
        if isinstance(one, ChatGeneration):
            assert type(one.message) is type(other.message)
            assert one.message.__dict__ == other.message.__dict__


async def test_each_lookup_gives_new_objects(cache, do):
    """LangChain changes what it finds."""
    await do(cache, "update", "prompt", "llm", ANSWERS["chat"])
    first = await do(cache, "lookup", "prompt", "llm")
    first[0].message = AIMessage("changed")
    assert await do(cache, "lookup", "prompt", "llm") == ANSWERS["chat"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), unique=True, max_size=4))
def test_prompts_and_models_do_not_run_into_each_other(memory, pairs):
    """Wherever one ends and the other begins."""
    cache = memory.llm_cache("property")
    cache.clear()
    for number, (prompt, llm) in enumerate(pairs):
        cache.update(prompt, llm, [Generation(text=str(number))])
    for number, (prompt, llm) in enumerate(pairs):
        assert cache.lookup(prompt, llm) == [Generation(text=str(number))]
    assert cache.clear() == len(pairs)


async def test_agents_have_answers_of_their_own(memory_here, cache, do):
    """And the execution cache beside them keeps its own, too."""
    other, execution = memory_here.llm_cache("sales"), memory_here.cache("support")
    await do(cache, "update", "p", "l", [Generation(text="a")])
    await do(other, "update", "p", "l", [Generation(text="b")])
    execution.set("key", 1)
    assert execution.clear() == 1
    execution.set("key", 1)
    assert await do(cache, "clear") == 1
    assert await do(cache, "lookup", "p", "l") is None
    assert await do(other, "lookup", "p", "l") == [Generation(text="b")]
    assert execution.get("key") == 1


async def test_clearing_takes_no_options(cache, do):
    """Lest somebody clears all who meant one prompt."""
    await do(cache, "update", "p", "l", [Generation(text="a")])
    with pytest.raises(ConfigurationError, match="no options"):
        await do(cache, "clear", prompt="p")
    assert await do(cache, "lookup", "p", "l") is not None


@pytest.mark.parametrize(("options", "expected"), [({}, -1), ({"ttl": 100}, 100_000)])
async def test_answers_live_as_long_as_was_said(memory_here, server, do, options, expected):
    """For ever unless the cache has a time to live."""
    await do(memory_here.llm_cache("support", **options), "update", "p", "l", [])
    left = server.client.pttl(server.client.keys()[0])
    assert left == expected or expected - 400 < left <= expected


class Unknown(Generation):
    """A generation that nobody could read back."""


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ([Generation(text="a secret", generation_info={"x": b"y"})], r"generation_info\['x'\]"),
        ([ChatGeneration(message=AIMessage("a secret", additional_kwargs={"x": {1}}))], "message"),
        ([Unknown(text="a secret")], r"generations\[0\]"),
        (["a secret", object()], r"generations\[1\]"),
    ],
)
async def test_an_answer_that_cannot_be_stored_is_logged(cache, do, caplog, answer, place):
    """It was paid for; the log names the place, and quotes nothing."""
    await do(cache, "update", "a secret prompt", "llm", answer)
    assert await do(cache, "lookup", "a secret prompt", "llm") is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "not stored" in record.getMessage()
    assert place.replace("\\", "") in record.getMessage()
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"secret", b"null", b'"secret"', b'["secret"]', b'[{"!generation": {}}]', b"\xff"],
)
async def test_a_damaged_answer_is_told(cache, server, do, damage):
    """With its key; a new answer repairs it."""
    await do(cache, "update", "p", "l", [Generation(text="a")])
    [name] = server.client.keys()
    server.client.set(name, damage)
    with pytest.raises(CorruptedDataError) as caught:
        await do(cache, "lookup", "p", "l")
    assert caught.value.key == name.decode()
    assert "secret" not in str(caught.value) + repr(caught.value.__context__)
    await do(cache, "update", "p", "l", [Generation(text="a")])
    assert await do(cache, "lookup", "p", "l") == [Generation(text="a")]


async def test_while_redis_is_away_a_lookup_is_an_error_or_finds_nothing(start_server, do, caplog):
    """As the memory was told; an answer is never lost over it."""
    server = start_server()
    async with (
        RedisMemory.from_url(server.url, retry=QUICK) as strict,
        RedisMemory.from_url(server.url, retry=QUICK, on_unavailable="stateless") as stateless,
    ):
        server.kill()
        with pytest.raises(StorageUnavailable):
            await do(strict.llm_cache("support"), "lookup", "p", "l")
        await do(strict.llm_cache("support"), "update", "p", "l", [])
        assert "was not stored in the cache" in caplog.text
        assert await do(stateless.llm_cache("support"), "lookup", "p", "l") is None
        await do(stateless.llm_cache("support"), "update", "p", "l", [])
        assert stateless.dropped_writes == 1
        for memory in (strict, stateless):
            with pytest.raises(StorageUnavailable):
                await do(memory.llm_cache("support"), "clear")


def chat_model(cache, answers=("first", "second")):
    """Make a model that answers otherwise each time."""
    replies = [
        AIMessage(
            text,
            tool_calls=[{"name": "look", "args": {"at": "x"}, "id": "c"}],
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        )
        for text in answers
    ]
    return GenericFakeChatModel(messages=iter(replies), cache=cache)


async def test_a_chat_model_answers_once(cache, do):
    """By its own cache; what costs is zero the second time, which is LangChain's doing."""
    model = chat_model(cache)
    first = await do(model, "invoke", "hi")
    for _ in range(2):
        again = await do(model, "invoke", "hi")
        # The id names the run that computed it, and is no answer's of another run.
        assert (again.content, again.tool_calls, again.id) == ("first", first.tool_calls, None)
        assert again.usage_metadata["total_tokens"] == 3
        assert again.usage_metadata["total_cost"] == 0
    assert (await do(model, "invoke", "ho")).content == "second"


async def test_the_cache_of_all_models(cache, do):
    """As it is set for a program, for plain models and for chat models."""
    before = get_llm_cache()
    set_llm_cache(cache)
    try:
        plain, chat = FakeListLLM(responses=["one", "two"]), chat_model(None)
        assert [await do(plain, "invoke", "hi") for _ in range(2)] == ["one", "one"]
        assert [(await do(chat, "invoke", "hi")).content for _ in range(2)] == ["first", "first"]
    finally:
        set_llm_cache(before)


def test_a_cache_is_langchains_and_says_where_it_is(memory):
    """Its keys' prefix, that is."""
    cache = memory.llm_cache("a b")
    assert isinstance(cache, BaseCache)
    assert isinstance(cache, RedisLLMCache)
    assert repr(cache) == "RedisLLMCache('agent:memory:a%20b:execution_cache:llm:')"


def test_threads_and_loops_share_a_cache(memory):
    """Whatever was stored from one is found from the other."""
    cache = memory.llm_cache("support")
    cache.update("p", "l", [Generation(text="a")])
    assert asyncio.run(cache.alookup("p", "l")) == [Generation(text="a")]
    asyncio.run(cache.aupdate("p", "l", [Generation(text="b")]))
    assert cache.lookup("p", "l") == [Generation(text="b")]


async def test_an_answer_from_the_cache_is_remembered(memory, cache, do):
    """Also where its model tells no usage, and LangChain gives it one that is none."""
    model = FakeListChatModel(responses=["one", "two"], cache=cache)
    chat = memory.with_history(model, agent="support")
    for session in ("s1", "s2"):
        config = {"configurable": {"session_id": session}}
        assert (await do(chat, "invoke", "hi", config)).content == "one"
        assert memory.history("support", "default", session).messages[-1].content == "one"
