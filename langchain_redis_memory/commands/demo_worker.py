"""What the processes of the command ``demo`` do, before they are killed.

``python -m langchain_redis_memory.commands.demo_worker DIRECTORY TASK [TEXT...]`` does a task,
reports its turns or its error as one line of JSON, and then waits for its end. The turns are
reported when the library has acknowledged the last of them, so whoever reads that may kill the
process.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import RedisMemoryError
from langchain_redis_memory.memory import RedisMemory
from langchain_redis_memory.samples import load_conversations, split_turn, split_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

CHAT_AGENT = "demo"
REPLAY_AGENT = "demo-replay"
USER = "alice"
SESSION = "s1"


def say(memory: RedisMemory, *texts: str) -> list[dict[str, Any]]:
    """Let the offline model answer what the user says, one turn after the other."""
    # Not above: other commands load this module, and what follows takes a second.
    from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder  # noqa: PLC0415

    from langchain_redis_memory.offline_model import OfflineChatModel  # noqa: PLC0415

    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "You are a friendly assistant."),
            MessagesPlaceholder("history"),
            ("human", "{input}"),
        ]
    )
    chat = memory.with_history(
        prompt | OfflineChatModel(),
        agent=CHAT_AGENT,
        input_messages_key="input",
        history_messages_key="history",
    )
    turns = []
    for text in texts:
        before = memory.round_trips
        reply = chat.invoke({"input": text}, config=_config(SESSION))
        turns.append({"reply": reply.text, "trips": memory.round_trips - before})
    return turns


def start(memory: RedisMemory, *texts: str) -> list[dict[str, Any]]:
    """Do the same in a session that is empty, whatever an earlier demo left there."""
    memory.history(CHAT_AGENT, USER, SESSION).clear()
    return say(memory, *texts)


def replay_first_half(memory: RedisMemory) -> list[dict[str, Any]]:
    """Replay the first half of every sample conversation, from the start."""
    for name in load_conversations():
        memory.history(REPLAY_AGENT, USER, name).clear()
    return _replay(memory, lambda turns: turns[: len(turns) // 2])


def replay_second_half(memory: RedisMemory) -> list[dict[str, Any]]:
    """Replay what the first half left."""
    return _replay(memory, lambda turns: turns[len(turns) // 2 :])


def recorded_turns(messages: Sequence[BaseMessage]) -> list[tuple[list[BaseMessage], Any]]:
    """Give each turn of a conversation as an agent gets it and as it was answered.

    The prompt that leads the conversation is part of what the first turn brings.
    """
    system, turns = split_turns(messages)
    parted = [split_turn(turn) for turn in turns]
    return [(system * (not number) + said, done) for number, (said, done) in enumerate(parted)]


def _replay(memory: RedisMemory, choose: Callable[[list[Any]], list[Any]]) -> list[dict[str, Any]]:
    replayed = []
    for name, messages in load_conversations().items():
        for said, done in choose(recorded_turns(messages)):
            _turn(memory, name, said, done)
            replayed.append({"conversation": name})
    return replayed


def _turn(memory: RedisMemory, session: str, said: list[BaseMessage], done: Any) -> None:
    from langchain_core.runnables import RunnableLambda  # noqa: PLC0415 - as in `say`

    agent = RunnableLambda(lambda _messages: done)
    memory.with_history(agent, agent=REPLAY_AGENT).invoke(said, config=_config(session))


def _config(session: str) -> RunnableConfig:
    return {"configurable": {"user_id": USER, "session_id": session}}


_TASKS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "start": start,
    "say": say,
    "replay-first-half": replay_first_half,
    "replay-second-half": replay_second_half,
}


def main(directory: str, task: str, *texts: str) -> None:
    """Do a task, report it, and wait to be killed, or to be let go by the end of the input."""
    try:
        with RedisMemory.embedded(directory) as memory:
            _report(turns=_TASKS[task](memory, *texts))
            sys.stdin.read()
    except RedisMemoryError as error:
        _report(error=str(error))
        sys.exit(1)


def _report(**content: Any) -> None:
    with suppress(BrokenPipeError):  # the demo was stopped with Ctrl-C
        os.write(sys.stdout.fileno(), f"{json.dumps(content)}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
