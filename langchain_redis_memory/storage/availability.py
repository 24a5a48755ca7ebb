"""Going on without memory while Redis is away: when to ask it, and when not.

Time is passed in, so that the schedule can be tested without waiting.
"""

from __future__ import annotations

import logging
import threading

_logger = logging.getLogger("langchain_redis_memory")


class Availability:
    """Whether Redis is there, as far as is known; shared by all threads and event loops.

    Args:
        pause: Seconds from a failure until Redis is asked again.
        deadline: Seconds that asking may take, during which nobody else asks.
    """

    def __init__(self, pause: float, deadline: float) -> None:
        self._pause = pause
        self._deadline = deadline
        self._lock = threading.Lock()
        self._ask_again: float | None = None
        self.dropped = 0

    def copy(self) -> Availability:
        """Give another one in the same state, with a lock of its own."""
        other = Availability(self._pause, self._deadline)
        other._ask_again, other.dropped = self._ask_again, self.dropped
        return other

    @property
    def available(self) -> bool:
        """Whether the last operation reached Redis."""
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

    def failed(self, now: float, address: str) -> None:
        """Note that Redis could not be reached."""
        with self._lock:
            first = self._ask_again is None
            self._ask_again = now + self._pause
        if first:
            _logger.warning(
                "Redis at %s cannot be reached: going on without memory, asking again every %g s",
                address,
                self._pause,
            )

    def succeeded(self, address: str) -> None:
        """Note that Redis answered."""
        if self._ask_again is None:
            return
        with self._lock:
            back, self._ask_again = self._ask_again is not None, None
        if back:
            _logger.warning(
                "Redis at %s is back; %d writes were dropped so far", address, self.dropped
            )

    def drop(self) -> None:
        """Count a write that was dropped."""
        with self._lock:
            self.dropped += 1
