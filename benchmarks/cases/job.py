"""A case that is ready to run, and how one call of it is timed."""

from __future__ import annotations

import inspect
import math
import statistics
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

Figures = dict[str, float]
"""What a run gave: ``seconds`` of one call, the median, and what else the case tells."""

_WARMING = 0.25
"""What part of a run's time calls are made that are not timed."""


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
        self._latest = math.inf

    def run(self, seconds: float) -> Figures:
        """Call again and again; garbage is collected as in any program."""
        self._reset()
        # Before, others ran: what they left in the processor's caches is first put out of them.
        warming = seconds * _WARMING
        if self._latest < warming:
            self._measure(warming)
        figures = self._measure(seconds)
        self._latest = figures["seconds"]
        return figures

    def _measure(self, seconds: float) -> Figures:
        if self._is_async:
            return self._runner.run(self._ameasure(seconds))
        taken: list[float] = []
        end = time.perf_counter() + seconds
        while not taken or time.perf_counter() < end:
            began = time.perf_counter()
            self._call()
            taken.append(time.perf_counter() - began)
            self._reset()
        return figures_of(taken)

    async def _ameasure(self, seconds: float) -> Figures:
        taken: list[float] = []
        end = time.perf_counter() + seconds
        while not taken or time.perf_counter() < end:
            began = time.perf_counter()
            await self._call()
            taken.append(time.perf_counter() - began)
            self._reset()
        return figures_of(taken)

    def once(self) -> None:
        """Call once."""
        if self._is_async:
            self._runner.run(self._once())
        else:
            self._call()

    async def _once(self) -> None:
        call: Callable[[], Awaitable[Any]] = self._call
        await call()


def figures_of(taken: list[float], turns: int = 1) -> Figures:
    """Tell what calls took.

    Args:
        taken: The seconds of each.
        turns: How many turns each of them is.
    """
    return {
        "seconds": statistics.median(taken) / turns,
        "mean": statistics.fmean(taken) / turns,
        "calls": len(taken) * turns,
    }
