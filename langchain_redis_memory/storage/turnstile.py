"""A semaphore for threads that is fair."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Turnstile:
    """Lets as many threads through at once as there are places, in the order in which they come.

    With `threading.Semaphore` whoever gives a place back is the first to take one again: under
    load a few threads go round and round, and the others wait until their deadlines.

    Args:
        places: How many may be through at once.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._places = places
        self._queue: deque[threading.Lock] = deque()

    def acquire(self, patience: Callable[[], float]) -> bool:
        """Take a place, and tell whether there was one in time.

        Args:
            patience: Tells for how many seconds to wait; asked if there is need to.
        """
        with self._lock:
            if self._places:
                self._places -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        called = False
        try:
            called = turn.acquire(timeout=patience())
        finally:
            if not called:
                self._leave(turn)
        return called

    def release(self) -> None:
        """Give the place to whoever has waited longest."""
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._places += 1

    def _leave(self, turn: threading.Lock) -> None:
        with self._lock:
            if turn in self._queue:
                self._queue.remove(turn)
                return
        self.release()  # called at the last moment, and gone
