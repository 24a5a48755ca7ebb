"""A case that is ready to run, and how one call of it is timed."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

Figures = dict[str, float]
"""What a run gave: ``seconds`` of one call on average, and what else the case tells."""


class Job(Protocol):
    """A case that is ready to run."""

    def run(self, seconds: float) -> Figures:
        """Run for about so long."""

    def once(self) -> None:
        """Make one call alone, for who counts what it sends; what it stored stays."""


class Calls:
    """One call after the other.

    Args:
        runner: The event loop, for calls that are awaited.
        call: What is timed, synchronous or asynchronous.
        reset: What undoes a call; not timed.
    """

    def __init__(
        self,
        runner: asyncio.Runner,
        call: Callable[[], Any],
        reset: Callable[[], None] = lambda: None,
    ) -> None:
        self._runner = runner
        self._call = call
        self._reset = reset
        self._is_async = inspect.iscoroutinefunction(call)

    def run(self, seconds: float) -> Figures:
        """Call again and again; garbage is collected as in any program."""
        self._reset()
        if self._is_async:
            return self._runner.run(self._arun(seconds))
        taken, calls, end = 0.0, 0, time.perf_counter() + seconds
        while not calls or time.perf_counter() < end:
            began = time.perf_counter()
            self._call()
            taken += time.perf_counter() - began
            calls += 1
            self._reset()
        return {"seconds": taken / calls, "calls": calls}

    async def _arun(self, seconds: float) -> Figures:
        taken, calls, end = 0.0, 0, time.perf_counter() + seconds
        while not calls or time.perf_counter() < end:
            began = time.perf_counter()
            await self._call()
            taken += time.perf_counter() - began
            calls += 1
            self._reset()
        return {"seconds": taken / calls, "calls": calls}

    def once(self) -> None:
        """Call once."""
        if self._is_async:
            self._runner.run(self._once())
        else:
            self._call()

    async def _once(self) -> None:
        call: Callable[[], Awaitable[Any]] = self._call
        await call()
