"""Measures calls beside each other: in turns, so that a noisy machine is noisy for all."""

from __future__ import annotations

import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def medians(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Give the median seconds of each call; each round makes every one once."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def peak_memory(call: Callable[[], object]) -> int:
    """Give the bytes that Python allocated at most while it was called."""
    call()  # once before, so that what is loaded or connected at first use is not counted
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak
