"""Outages: when one began, and, going on without memory, when to ask Redis again and when not.

Time is passed in, so that the schedule can be tested without waiting.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from langchain_redis_memory.telemetry import events
from langchain_redis_memory.telemetry.switch import signals

if TYPE_CHECKING:
    from collections.abc import Callable


class Availability:
    """Whether Redis is there, as far as is known; shared by all threads and event loops.

    Args:
        pause: Seconds from a failure until Redis is asked again; 0 if it always is.
        deadline: Seconds that asking may take, during which nobody else asks.
    """

    def __init__(self, pause: float, deadline: float) -> None:
        self._pause = pause
        self._deadline = deadline
        self._lock = threading.Lock()
        self._ask_again: float | None = None
        self._began: float | None = None
        self._counted = 0.0
        self._is_recorded = False
        self.dropped = 0

    def copy(self) -> Availability:
        """Give another one in the same state, with a lock of its own."""
        other = Availability(self._pause, self._deadline)
        other._ask_again, other.dropped = self._ask_again, self.dropped
        other._began, other._counted = self._began, self._counted
        return other

    @property
    def available(self) -> bool:
        """Whether the last operation reached Redis, or no heed is taken of that."""
        return self._ask_again is None

    def may_ask(self, now: float) -> bool:
        """Tell whether to try; after a pause one caller may, and the others go on without."""
        with self._lock:
            if self._ask_again is None:
                return True
            if now < self._ask_again:
                return False
            self._ask_again = now + self._deadline
            return True

    def failed(self, now: float, address: str, error: Exception | None = None) -> None:
        """Note that Redis could not be reached."""
        on = signals()
        with self._lock:
            first = self._began is None
            if self._began is None:
                self._began = self._counted = now
                self._is_recorded = on is not None
            if self._pause:
                self._ask_again = now + self._pause
            passed = self._count(now)
        if first:
            events.outage_began(address, self._pause, error)
        if on:
            on.outage(address, passed, int(first))

    def succeeded(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Note that Redis answered."""
        if self._began is None:
            return
        now = clock()
        with self._lock:
            began, self._began, self._ask_again = self._began, None, None
            passed = self._count(now)
        if began is None:
            return  # another thread was first
        events.outage_ended(address, self._pause, now - began, self.dropped)
        if on := signals():
            on.outage(address, passed, -int(self._is_recorded))

    def leave(self, now: float, address: str) -> None:
        """Note that nobody asks any more: an outage that is not over is nobody's from now on."""
        with self._lock:
            if self._began is None:
                return
            self._began = None
            passed = self._count(now)
        if on := signals():
            on.outage(address, passed, -int(self._is_recorded))

    def drop(self, address: str) -> None:
        """Count a write that was dropped."""
        with self._lock:
            self.dropped += 1
        if on := signals():
            on.dropped(address)

    def _count(self, now: float) -> float:
        """Give the seconds of this outage that were not counted yet."""
        passed, self._counted = max(0.0, now - self._counted), max(now, self._counted)
        return passed
