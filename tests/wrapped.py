"""What tests of runnables with history share: a model, forms of its input, ways to call it."""

from __future__ import annotations

import asyncio
from operator import itemgetter

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from pydantic import Field

CONFIG = {"configurable": {"session_id": "s", "user_id": "u"}}
KEY = "agent:memory:a:u:s"
SECRET = "the-text-of-a-message"
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
PIECES = [
    AIMessageChunk("Hello", id="r1", response_metadata={"model": "m"}),
    AIMessageChunk(" there", id="r1"),
    AIMessageChunk("", id="r1", usage_metadata=USAGE, chunk_position="last"),
]
REPLY = AIMessage("Hello there", id="r1", response_metadata={"model": "m"}, usage_metadata=USAGE)


class Model(BaseChatModel):
    """Replies with the pieces; `before` is called with their number before each is sent."""

    pieces: list = PIECES
    before: object = None
    calls: list = Field(default_factory=list)

    @property
    def _llm_type(self):
        return "scripted"

    def _sent(self, messages, kwargs):
        self.calls.append((messages, kwargs))
        for number, piece in enumerate(self.pieces):
            if self.before:
                self.before(number)
            yield ChatGenerationChunk(message=piece.model_copy())

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        first, *rest = [sent.message for sent in self._sent(messages, kwargs)]
        whole = first + rest if rest else first
        fields = {"tool_calls": whole.tool_calls, "usage_metadata": whole.usage_metadata}
        metadata = whole.response_metadata
        message = AIMessage(whole.content, id=whole.id, response_metadata=metadata, **fields)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        yield from self._sent(messages, kwargs)


def fail_at(number, error=None):
    """Make the model fail before a piece."""

    def before(at):
        if at == number:
            raise error or RuntimeError(SECRET)

    return before


PROMPT = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{input}")])
FORMS = {
    "messages": (lambda inner: inner, {}, "hi"),
    "input key": (
        lambda inner: itemgetter("input") | inner,
        {"input_messages_key": "input"},
        {"input": "hi"},
    ),
    "history key": (
        lambda inner: PROMPT | inner,
        {"input_messages_key": "input", "history_messages_key": "history"},
        {"input": "hi"},
    ),
}
HI = HumanMessage("hi")


def _batch(chat, value):
    return chat.batch([value], CONFIG)[0]


def _stream(chat, value):
    return sum_of(list(chat.stream(value, CONFIG)))


async def _abatch(chat, value):
    return (await chat.abatch([value], [CONFIG]))[0]


async def _astream(chat, value):
    return sum_of([piece async for piece in chat.astream(value, CONFIG)])


async def _events(chat, value):
    events = [event async for event in chat.astream_events(value, CONFIG, version="v2")]
    return events[-1]["data"]["output"]


def sum_of(pieces):
    """Join what was streamed."""
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole + piece
    return whole


SYNC = {
    "invoke": lambda chat, value: chat.invoke(value, CONFIG),
    "batch": _batch,
    "stream": _stream,
}
ASYNC = {
    "ainvoke": lambda chat, value: chat.ainvoke(value, CONFIG),
    "abatch": _abatch,
    "astream": _astream,
    "astream_events": _events,
}
CALLS = SYNC | ASYNC


async def call(name, chat, value):
    """Call in the named way; the synchronous ones in a thread of their own."""
    if name in SYNC:
        return await asyncio.to_thread(SYNC[name], chat, value)
    return await ASYNC[name](chat, value)


def stored(memory):
    """Read the conversation."""
    return memory.history("a", "u", "s").messages


def spoil_key(server):
    """Put something else under the conversation's key."""
    server.client.delete(KEY)
    server.client.hset(KEY, "a", "b")
