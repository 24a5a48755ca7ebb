"""Agents for the tests: scripted chat models, and tools for them to call."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool

from langchain_redis_memory import RedisMemoryMiddleware

CONFIG = {"configurable": {"session_id": "s", "user_id": "u", "thread_id": "t"}}


class Scripted(BaseChatModel):
    """A chat model that says what is written, or what a function makes of what it is given.

    It notes what it was given. A reply that is an exception is raised.
    """

    script: Any
    given: list[Any] = []  # noqa: RUF012 - pydantic copies it

    @property
    def _llm_type(self):
        return "scripted"

    def _reply(self, messages):
        self.given.append(list(messages))
        reply = self.script(messages) if callable(self.script) else self.script.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return AIMessage(reply) if isinstance(reply, str) else reply.model_copy(deep=True)

    def _generate(self, messages, stop=None, run_manager=None, **options):
        return ChatResult(generations=[ChatGeneration(message=self._reply(messages))])

    def _stream(self, messages, stop=None, run_manager=None, **options):
        reply = self._reply(messages)
        words = reply.content.split(" ") if isinstance(reply.content, str) else []
        pieces = [word if i == 0 else f" {word}" for i, word in enumerate(words)]
        chunks = [AIMessageChunk(piece, id=reply.id) for piece in pieces if piece]
        if reply.tool_calls or not chunks:
            calls = [{**call, "type": "tool_call_chunk"} for call in reply.tool_calls]
            chunks.append(_call_chunk(reply, calls))
        for chunk in chunks:
            piece = ChatGenerationChunk(message=chunk)
            if run_manager:
                run_manager.on_llm_new_token(str(chunk.content), chunk=piece)
            yield piece

    def bind_tools(self, tools, **options):
        return self


def _call_chunk(reply, calls):
    import json

    return AIMessageChunk(
        "",
        id=reply.id,
        tool_call_chunks=[
            {
                "name": call["name"],
                "args": json.dumps(call["args"]),
                "id": call["id"],
                "index": i,
                "type": "tool_call_chunk",
            }
            for i, call in enumerate(calls)
        ],
    )


def calling(*calls, text=""):
    """Make a message that calls tools: pairs of a name and its arguments."""
    return AIMessage(
        text,
        tool_calls=[
            {"name": name, "args": args, "id": f"{name} {number}"}
            for number, (name, args) in enumerate(calls)
        ],
    )


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail(reason: str) -> str:
    """Fail."""
    raise RuntimeError(reason)


def agent_of(memory, script, *others, tools=(add, fail), first=True, middleware=None, **options):
    """Make an agent that remembers; what is no option of the middleware is one of the agent."""
    own = {
        name: options.pop(name)
        for name in (
            *("profile", "profile_tools", "keep_failed_steps", "on_save_error"),
            *("window", "ttl", "max_messages"),
        )
        if name in options
    }
    ours = middleware or RedisMemoryMiddleware(memory, agent="a", **own)
    chain = [ours, *others] if first else [*others, ours]
    model = script if isinstance(script, BaseChatModel) else Scripted(script=script)
    return create_agent(model, list(tools), middleware=chain, **options)


def saying(*texts):
    """Make an agent's input."""
    return {"messages": [HumanMessage(text) for text in texts]}


class Sync:
    """Agents that are called."""

    async def __call__(self, agent, value, config=CONFIG, **options):
        return await asyncio.to_thread(agent.invoke, value, config, **options)


class Async:
    """Agents that are awaited."""

    async def __call__(self, agent, value, config=CONFIG, **options):
        return await agent.ainvoke(value, config, **options)


class Streamed:
    """Agents that are streamed, in some mode."""

    def __init__(self, mode):
        self._mode = mode

    async def __call__(self, agent, value, config=CONFIG, **options):
        def read():
            return list(agent.stream(value, config, stream_mode=self._mode, **options))

        return await asyncio.to_thread(read)


class AsyncStreamed(Streamed):
    """The same on an event loop."""

    async def __call__(self, agent, value, config=CONFIG, **options):
        stream = agent.astream(value, config, stream_mode=self._mode, **options)
        return [piece async for piece in stream]


MODES = ("values", "updates", "messages")
WAYS = {
    "invoke": Sync(),
    "ainvoke": Async(),
    **{f"stream {mode}": Streamed(mode) for mode in MODES},
    **{f"astream {mode}": AsyncStreamed(mode) for mode in MODES},
}


def said(messages):
    """Tell messages by their kind, text and calls, without ids."""
    return [
        (message.type, message.content, [c["name"] for c in getattr(message, "tool_calls", [])])
        for message in messages
    ]


def stored(memory, user="u", session="s"):
    """Tell what is stored of a session."""
    return said(memory.conversation("a", user, session).read().messages)
