"""Recorded conversations come back equal through every input and output shape.

The file holds 150 conversations with tool calls, see its README. It is no part of the package:
where it is missing, a developer is told so, and CI fails.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    convert_to_openai_messages,
)
from langchain_core.runnables import RunnableGenerator, RunnableLambda

from conftest import IN_CI, SHARED_DATA
from langchain_redis_memory.samples import load_conversations, split_turn, split_turns

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope="module")
def conversations():
    """All recorded conversations, by name."""
    if not SHARED_DATA.exists():
        assert not IN_CI, f"{SHARED_DATA} is missing"
        pytest.skip(f"{SHARED_DATA} is missing: the recorded conversations are not tested")
    return load_conversations(SHARED_DATA)


def by_turn(messages):
    """Part a conversation into what was said to the agent and all that it did then."""
    system, turns = split_turns(messages)
    steps = [split_turn(turn) for turn in turns]
    return [(system + steps[0][0], steps[0][1]), *steps[1:]]


def by_reply(messages):
    """Part a conversation at each message of the agent, as an agent's own loop calls a model."""
    steps, asked = [], []
    for message in messages:
        if isinstance(message, AIMessage):
            steps.append((asked, [message]))
            asked = []
        else:
            asked.append(message)
    return [*steps, *([(asked, [])] if asked else [])]


# Inputs: messages to what the caller passes; one that is for a single message takes no others.


def _one(messages):
    return messages[0] if len(messages) == 1 else messages


def _text(messages):
    plain = len(messages) == 1 and messages[0] == HumanMessage(messages[0].content)
    return messages[0].content if plain else messages


def _pairs(messages):
    return [(m.type, m.content) if isinstance(m, HumanMessage) else m for m in messages]


INPUTS = {
    "a string": (_text, {}),
    "a message": (_one, {}),
    "a list": (list, {}),
    "a tuple": (tuple, {}),
    "a list in a list": (lambda messages: [list(messages)], {}),
    "OpenAI's dicts": (convert_to_openai_messages, {}),
    "pairs": (_pairs, {}),
    "a dict with one key": (lambda messages: {"any": _text(messages)}, {}),
    "a dict with the usual key": (lambda messages: {"input": _one(messages), "other": 1}, {}),
    "a dict with a key": (
        lambda messages: {"question": _text(messages), "other": 1},
        {"input_messages_key": "question"},
    ),
    "a dict with a key for the history": (
        lambda messages: {"question": _text(messages), "other": 1},
        {"input_messages_key": "question", "history_messages_key": "past"},
    ),
}


# Outputs: how to part a conversation, what was given and replied to what the runnable returns.


def _reply_text(_, reply):
    return reply[0].content if reply and reply == [AIMessage(reply[0].content)] else _one(reply)


def _thirds(reply):
    text = reply[0].content
    return [text[: len(text) // 3], text[len(text) // 3 :]]


def _strings(_, reply):
    return _thirds(reply) if reply and not reply[0].tool_calls else reply


def _chunks(_, reply):
    if not reply:
        return []
    calls = [AIMessageChunk("", tool_calls=[call]) for call in reply[0].tool_calls]
    return [*map(AIMessageChunk, _thirds(reply)), *calls]


OUTPUTS = {
    "a string": (by_reply, _reply_text, {}),
    "a message": (by_reply, lambda _, reply: _one(reply), {}),
    "a list": (by_turn, lambda _, reply: reply, {}),
    "a dict with one key": (by_turn, lambda _, reply: {"any": reply}, {}),
    "a dict with the usual key": (by_turn, lambda _, reply: {"output": reply, "other": 1}, {}),
    "a dict with a key": (
        by_turn,
        lambda _, reply: {"answer": _one(reply), "other": 1},
        {"output_messages_key": "answer"},
    ),
    "a state": (
        by_turn,
        lambda given, reply: {"messages": given + reply, "other": 1},
        {"output_messages_key": "messages"},
    ),
}
STREAMS = {
    "strings": (by_reply, _strings, {}),
    "chunks": (by_reply, _chunks, {}),
    "whole messages": (by_turn, lambda _, reply: reply, {}),
}


class Script:
    """A runnable that replies in each session what was recorded, to what was recorded."""

    def __init__(self, output):
        self._output = output
        self._steps = {}
        self._whole = {}

    def expect(self, session, messages, steps):
        said = itertools.accumulate([len(asked) + len(reply) for asked, reply in steps])
        self._steps[session] = zip(said, (reply for _, reply in steps), strict=True)
        self._whole[session] = messages

    def answer(self, value, config):
        session = config["configurable"]["session_id"]
        said, reply = next(self._steps[session])
        given = _given(value)
        assert given == self._whole[session][: said - len(reply)]
        return self._output(given, reply)

    async def aanswer(self, value, config):
        return self.answer(value, config)

    def pieces(self, values, config):
        for value in values:
            yield from self.answer(value, config)

    async def apieces(self, values, config):
        async for value in values:
            for piece in self.answer(value, config):
                yield piece


def _given(value):
    if isinstance(value, dict) and "past" in value:
        new = value["question"]
        return value["past"] + ([HumanMessage(new)] if isinstance(new, str) else new)
    return value["question"] if isinstance(value, dict) else value


def _config(session):
    return {"configurable": {"session_id": session}}


class Replay:
    """Takes conversations through `with_history` in one shape of input and one of output."""

    def __init__(self, memory, given, returned):
        self._input, keys = INPUTS[given]
        self._split, output, more = (OUTPUTS | STREAMS)[returned]
        self._script = Script(output)
        self._streams = returned in STREAMS
        inner = (
            RunnableGenerator(self._script.pieces, self._script.apieces)
            if self._streams
            else RunnableLambda(self._script.answer, self._script.aanswer)
        )
        self._chat = memory.with_history(inner, agent="a", **keys, **more)

    def _values(self, name, messages):
        steps = self._split(messages)
        assert [m for asked, reply in steps for m in asked + reply] == messages
        self._script.expect(name, messages, steps)
        return [self._input(asked) for asked, _ in steps]

    def run(self, name, messages):
        for value in self._values(name, messages):
            if self._streams:
                list(self._chat.stream(value, _config(name)))
            else:
                self._chat.invoke(value, _config(name))

    async def arun(self, name, messages):
        for value in self._values(name, messages):
            if self._streams:
                async for _ in self._chat.astream(value, _config(name)):
                    pass
            else:
                await self._chat.ainvoke(value, _config(name))


# Every input and every output, each with all conversations; a history key also with an agent's
# state, which holds copies of what it was given, and with a model's chunks.
SHAPES = [
    *zip(INPUTS, itertools.cycle(OUTPUTS | STREAMS), strict=False),
    ("a dict with a key for the history", "a state"),
    ("a dict with a key for the history", "chunks"),
]


@pytest.mark.parametrize(("given", "returned"), SHAPES)
def test_every_conversation_comes_back_equal(memory, conversations, given, returned):
    """Turn by turn the runnable is given what was said so far, and in the end all is there."""
    replay = Replay(memory, given, returned)
    for name, messages in conversations.items():
        replay.run(name, messages)
        assert memory.history("a", "default", name).messages == messages


@pytest.mark.parametrize(("given", "returned"), SHAPES)
async def test_every_conversation_comes_back_equal_async(memory, conversations, given, returned):
    """The same on an event loop, all conversations at once."""
    replay = Replay(memory, given, returned)
    await asyncio.gather(*itertools.starmap(replay.arun, conversations.items()))
    for name, messages in conversations.items():
        assert await memory.history("a", "default", name).aget_messages() == messages
