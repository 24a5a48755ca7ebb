"""Adding a turn, reading all messages, reading the newest; and storing whole conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.cases.job import Calls

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from benchmarks.conversations import Conversations, Record
    from benchmarks.peers.peer import Peer

_AT_ONCE = 100
"""How many messages are stored at a time while a history is filled."""


def add(
    peer: Peer, said: Conversations, runner: asyncio.Runner, session: str, *, size: int, way: str
) -> Calls:
    """Add a user's message and its answer to a history of some size."""
    fill(peer, runner, session, said.history(size))
    turn = peer.messages(said.turn)
    method = getattr(peer, "aadd" if way == "async" else "add")
    return _calls(runner, way, lambda: method(session, turn), lambda: peer.trim(session, size))


def read(
    peer: Peer, said: Conversations, runner: asyncio.Runner, _job: str, *, size: int, way: str
) -> Calls:
    """Read a whole history."""
    session = _shared(peer, said, runner, size)
    method = getattr(peer, "aread" if way == "async" else "read")
    return _calls(runner, way, lambda: method(session))


def last(
    peer: Peer,
    said: Conversations,
    runner: asyncio.Runner,
    _job: str,
    *,
    size: int,
    count: int,
    way: str,
) -> Calls:
    """Read the newest messages of a history."""
    session = _shared(peer, said, runner, size)
    method = getattr(peer, "alast" if way == "async" else "last")
    return _calls(runner, way, lambda: method(session, count))


def exchange(
    peer: Peer, said: Conversations, runner: asyncio.Runner, session: str, *, size: int, way: str
) -> Calls:
    """Read a whole history and add a turn: what a turn costs without LangChain's runnables."""
    fill(peer, runner, session, said.history(size))
    turn = peer.messages(said.turn)

    method = peer.aexchange if way == "async" else peer.exchange
    return _calls(runner, way, lambda: method(session, turn), lambda: peer.trim(session, size))


def store(peer: Peer, said: Conversations, runner: asyncio.Runner, session: str) -> Calls:
    """Store each conversation as a session of its own, turn by turn."""

    def all_of_them() -> None:
        for number, conversation in enumerate(said.whole):
            fill(peer, runner, f"{session}-{number}", conversation, at_once=2)

    return Calls(runner, all_of_them)


def fill(
    peer: Any,
    runner: asyncio.Runner,
    session: str,
    records: list[Record],
    at_once: int = _AT_ONCE,
) -> None:
    """Store a history as the peer itself does."""
    messages = peer.messages(records)
    for start in range(0, len(messages), at_once):
        part = messages[start : start + at_once]
        if hasattr(peer, "add"):
            peer.add(session, part)
        else:
            runner.run(peer.aadd(session, part))


def _shared(peer: Peer, said: Conversations, runner: asyncio.Runner, size: int) -> str:
    # What is only read is filled once for all who read it: it takes seconds.
    session = f"of-{size}"
    if session not in peer.filled:
        fill(peer, runner, session, said.history(size))
        peer.filled.add(session)
    return session


def _calls(
    runner: asyncio.Runner,
    way: str,
    call: Callable[[], Any],
    reset: Callable[[], None] = lambda: None,
) -> Calls:
    if way == "sync":
        return Calls(runner, call, reset)

    async def awaited() -> None:
        await call()

    return Calls(runner, awaited, reset)
