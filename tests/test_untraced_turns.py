"""A turn that no callback watches runs without LangChain's work for a run, and with its effects."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.callbacks.usage import get_usage_metadata_callback
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableLambda, ensure_config

CONFIG = {"configurable": {"session_id": "s", "user_id": "u"}, "tags": ["t"], "metadata": {"m": 1}}
mark = ContextVar("mark", default="outside")


async def ask(chat, name, config=CONFIG):
    if name == "ainvoke":
        return await chat.ainvoke("hi", config)
    return await asyncio.to_thread(chat.invoke, "hi", config)


class Plain(Runnable):
    """A runnable of somebody's own, which does nothing for its config."""

    def __init__(self, inner):
        self.inner = inner

    def invoke(self, given, config=None, **kwargs):
        mark.set("within")
        return self.inner.invoke(given)

    async def ainvoke(self, given, config=None, **kwargs):
        mark.set("within")
        return await self.inner.ainvoke(given)


class Names(BaseCallbackHandler):
    def __init__(self):
        self.runs = []

    def on_chat_model_start(self, serialized, messages, *, run_id, **kwargs):
        self.runs.append((run_id, kwargs.get("name"), kwargs["tags"], kwargs["metadata"]))


@pytest.mark.parametrize("name", ["invoke", "ainvoke"])
async def test_a_runnable_within_takes_the_config_over(memory, name):
    """Also one that is called without a config, as when LangChain watches the run."""
    found = []
    inner = RunnableLambda(lambda _: found.append(ensure_config()) or AIMessage("ok"))
    await ask(memory.with_history(Plain(inner), agent="a"), name)
    assert found[0]["configurable"]["session_id"] == "s"
    assert (found[0]["tags"], found[0]["metadata"]["m"]) == (["t"], 1)
    assert "configurable" not in ensure_config() or not ensure_config()["configurable"]


@pytest.mark.parametrize("callbacks", [[], [BaseCallbackHandler()]], ids=["nobody", "a handler"])
async def test_what_a_runnable_sets_in_its_context_stays_there(memory, do, callbacks):
    """A context variable that it changes is as it was, once it has answered, whoever watches."""
    inner = RunnableLambda(lambda _: AIMessage("ok"))
    chat = memory.with_history(Plain(inner), agent="a")
    await do(chat, "invoke", "hi", {**CONFIG, "callbacks": callbacks})
    assert mark.get() == "outside"


@pytest.mark.parametrize("name", ["invoke", "ainvoke"])
async def test_the_name_and_id_of_the_run_are_not_the_runnables(memory, name):
    """They name the turn; a handler of the model's own sees a run of the model's own."""
    names = Names()
    model = GenericFakeChatModel(messages=iter([AIMessage("ok")] * 2), callbacks=[names])
    run_id = uuid4()
    config = {**CONFIG, "run_name": "mine", "run_id": run_id}
    await ask(memory.with_history(model, agent="a"), name, config)
    ((found, called, tags, metadata),) = names.runs
    assert found != run_id
    assert called != "mine"
    assert tags == ["t"]
    assert metadata["m"] == 1


@pytest.mark.parametrize("name", ["invoke", "ainvoke"])
async def test_callbacks_by_context_still_watch(memory, name):
    """Handlers that LangChain finds in the context, such as its count of tokens, are called."""
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    said = AIMessage("ok", usage_metadata=usage, response_metadata={"model_name": "m"})
    chat = memory.with_history(GenericFakeChatModel(messages=iter([said])), agent="a")
    with get_usage_metadata_callback() as counter:
        await ask(chat, name)
    assert isinstance(counter, UsageMetadataCallbackHandler)
    assert counter.usage_metadata["m"]["total_tokens"] == 3


class Config(Runnable):
    """A runnable of somebody's own that reads its config."""

    def invoke(self, given, config=None, **kwargs):
        assert "callbacks" in config
        return AIMessage(f"{config['recursion_limit']} {config['tags']}")


AROUND = {
    "nothing": lambda chat: chat,
    "a sequence": lambda chat: RunnableLambda(lambda given: given) | chat,
    "a function": lambda chat: RunnableLambda(chat.invoke),
    "a config": lambda chat: chat.with_config(metadata={"n": 2}),
    "a factory": lambda chat: chat.model_copy(
        update={"config_factories": [lambda _: {"metadata": {"n": 2}}]}
    ),
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
async def test_a_config_is_whole_whatever_surrounds_it(memory, do, around):
    """What is as it is by default is there, and tags are in order, each once."""
    chat = around(memory.with_history(Config(), agent="a"))
    reply = await do(chat, "invoke", "hi", {**CONFIG, "tags": ["b", "a", "b"]})
    assert reply.content == "25 ['a', 'b']"


@pytest.mark.parametrize("name", ["invoke", "ainvoke"])
async def test_the_callers_config_stays_as_it_is(memory, name):
    """It may be used for the next turn as well."""
    config = {**CONFIG, "run_name": "mine", "callbacks": []}
    before = {**config, "configurable": dict(config["configurable"])}
    await ask(memory.with_history(RunnableLambda(lambda _: "ok"), agent="a"), name, config)
    assert config == before
