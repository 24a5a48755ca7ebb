"""Ends what takes too long on an event loop."""

from __future__ import annotations

import asyncio
import weakref
from contextvars import Context
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Deadlines:
    """Time limits of one length, on the running event loop, kept by a single timer.

    `asyncio.timeout` sets a timer for each, which costs a tenth of a whole round trip.

    Args:
        seconds: How long each may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.loop = asyncio.get_running_loop()
        self._running: dict[Deadline, None] = {}  # in the order in which they end
        self._timer: asyncio.TimerHandle | None = None

    def add(self, deadline: Deadline) -> None:
        """Keep one that has begun, until it is removed."""
        self._running[deadline] = None
        if self._timer is None:
            self._set(deadline.latest)

    def remove(self, deadline: Deadline) -> None:
        """Keep it no longer."""
        self._running.pop(deadline, None)

    def _watch(self) -> None:
        self._timer = None
        now = self.loop.time()
        while self._running:
            deadline = next(iter(self._running))
            if now < deadline.latest:
                self._set(deadline.latest)
                return
            self.remove(deadline)
            deadline.pass_by()

    def _set(self, when: float) -> None:
        # In no context: it would keep that of whoever came first, and what is in it.
        self._timer = self.loop.call_at(when, self._watch, context=Context())


class Deadline:
    """A time limit for what the running task does within a ``with`` block, as `asyncio.timeout`.

    Raises:
        TimeoutError: When the block is left after the time has passed.
    """

    __slots__ = ("_all", "_cancelling", "_task", "latest", "passed")

    def __init__(self, deadlines: Deadlines) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - what is awaited here runs in one
        self._all = deadlines
        self._task = weakref.ref(task)  # a loop that was closed under it lets it go
        self._cancelling = task.cancelling()
        self.latest = deadlines.loop.time() + deadlines.seconds
        self.passed = False

    def __enter__(self) -> Self:
        self._all.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._all.remove(self)
        task = self._task()
        if not self.passed or task is None:
            return
        # Somebody else may have cancelled the task too, who must be heard.
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def pass_by(self) -> None:
        """End what runs."""
        if (task := self._task()) is not None:
            self.passed = True
            task.cancel()
