"""Many sessions at once: on one event loop, and by threads."""

from __future__ import annotations

import asyncio
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from benchmarks.cases.job import figures_of
from benchmarks.cases.storing import fill
from benchmarks.cases.turns import given

if TYPE_CHECKING:
    from benchmarks.cases.job import Figures
    from benchmarks.conversations import Conversations
    from benchmarks.peers.langchain import LangChainPeer

TICK = 0.001
"""Seconds between two looks of the ticker."""
_TURNS = 4
"""How many turns a thread takes in a wave, so that starting it does not count."""
_WAVES = 5
"""How many waves there are at least: in some of them the garbage collector looks at everything."""


class _Crowd:
    """Sessions that each take a turn at the same time, in one wave after the other.

    Args:
        peer: Who remembers.
        said: What is said.
        runner: The event loop for what prepares the sessions.
        session: What their names begin with.
        sessions: How many.
        form: The form of the turns.
        size: The length of each history, at the beginning of each wave.
    """

    def __init__(
        self,
        peer: LangChainPeer,
        said: Conversations,
        runner: asyncio.Runner,
        session: str,
        *,
        sessions: int,
        form: str,
        size: int,
    ) -> None:
        self._peer = peer
        self._said = said
        self._form = form
        self._size = size
        self._names = [f"{session}-{number}" for number in range(sessions)]
        for name in self._names:
            fill(peer, runner, name, said.history(size))

    def _begin(self) -> None:
        self._chat = self._peer.chat(self._form, self._said.reply["content"])

    def _reset(self) -> None:
        for name in self._names:
            self._peer.trim(name, self._size)

    def once(self) -> None:
        """One wave."""
        self.run(0)

    def run(self, seconds: float) -> Figures:
        """Waves for about so long."""
        raise NotImplementedError


class Sessions(_Crowd):
    """On one event loop, which is a new one in each run, with new connections."""

    def run(self, seconds: float) -> Figures:
        """Waves for about so long; the first one connects and is not timed."""
        return asyncio.run(self._run(seconds))

    async def _run(self, seconds: float) -> Figures:
        self._peer.disconnect()
        self._begin()
        await self._wave()
        self._reset()
        stalls: list[float] = []
        taken: list[float] = []
        end = time.perf_counter() + seconds
        while not _is_enough(taken, end):
            with Ticker() as ticker:
                await asyncio.sleep(2 * TICK)
                taken.append(await self._wave())
                await asyncio.sleep(2 * TICK)
            stalls.append(ticker.longest)
            self._reset()
        figures = figures_of(taken, len(self._names))
        return {**figures, "stall": statistics.median(stalls)}

    async def _wave(self) -> float:
        began = time.perf_counter()
        await asyncio.gather(*map(self._turn, self._names))
        return time.perf_counter() - began

    async def _turn(self, name: str) -> None:
        await self._chat.ainvoke(given(self._form, self._said), self._peer.config(name))


class Threads(_Crowd):
    """Each in a thread of its own."""

    def run(self, seconds: float) -> Figures:
        """Waves for about so long; the first one connects and is not timed."""
        self._begin()
        with ThreadPoolExecutor(len(self._names)) as pool:
            self._wave(pool)
            taken: list[float] = []
            end = time.perf_counter() + seconds
            while not _is_enough(taken, end):
                taken.append(self._wave(pool))
        return figures_of(taken, len(self._names) * _TURNS)

    def _wave(self, pool: ThreadPoolExecutor) -> float:
        began = time.perf_counter()
        list(pool.map(self._turns, self._names))
        taken = time.perf_counter() - began
        self._reset()
        return taken

    def _turns(self, name: str) -> None:
        for _ in range(_TURNS):
            self._chat.invoke(given(self._form, self._said), self._peer.config(name))


def _is_enough(taken: list[float], end: float) -> bool:
    return len(taken) >= _WAVES and time.perf_counter() >= end


class Ticker:
    """Looks at the clock every millisecond: what it comes late by, the event loop stood still."""

    longest = 0.0
    """Seconds."""

    def __enter__(self) -> Self:
        self._task = asyncio.create_task(self._tick())
        return self

    def __exit__(self, *_error: object) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            self.longest = max(self.longest, now - before - TICK)
            before = now
