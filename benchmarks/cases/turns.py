"""A full turn with a runnable that remembers: read, answer, store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage

from benchmarks.cases.job import Calls
from benchmarks.cases.storing import fill
from benchmarks.peers.langchain import MESSAGES

if TYPE_CHECKING:
    import asyncio

    from benchmarks.conversations import Conversations
    from benchmarks.peers.langchain import LangChainPeer


def turn(
    peer: LangChainPeer,
    said: Conversations,
    runner: asyncio.Runner,
    session: str,
    *,
    form: str,
    size: int,
    way: str,
    window: int | None = None,
) -> Calls:
    """Take a turn, in one of the forms, on a history of some size."""
    fill(peer, runner, session, said.history(size))
    chat = peer.chat(form, said.reply["content"], window)
    config = peer.config(session)

    def call() -> None:
        chat.invoke(given(form, said), config)

    async def acall() -> None:
        await chat.ainvoke(given(form, said), config)

    def reset() -> None:
        peer.trim(session, size)

    # LangChain's in-memory history has no session before it is asked for.
    peer.history(session)
    return Calls(runner, acall if way == "async" else call, reset)


def given(form: str, said: Conversations) -> Any:
    """Make the input of a turn."""
    text = said.asked["content"]
    if form == MESSAGES:
        return [HumanMessage(text)]
    return {"input": text}
