"""One computation at a time for an entry of the cache, across threads, tasks and processes.

Who finds no value writes a claim in its place, which expires by itself: the lease. It is renewed
while the computation lasts, so a long one is not begun twice, and a process that dies leaves its
claim for a lease at most. The others ask again after growing pauses, but not for ever: two that
compute may need each other's entries. Whose patience ends computes without a claim.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.caching import scripts
from langchain_redis_memory.errors import RedisMemoryError
from langchain_redis_memory.limits import in_milliseconds
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.storage.steps import Pause, afollow, follow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.storage.steps import Steps

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.02, 0.5, 1.6

# A computation that hangs keeps the others from theirs for so many leases, and not for ever.
_LEASES = 100

# How long a task that failed or was cancelled waits until its claim is given up, in seconds.
_PATIENCE = 1.0

# By how much a server's clock may be late, in seconds: it stands still while a batch is served.
_SLACK = 0.1

# How long a request is on its way after its caller has left, in seconds.
_STRAGGLING = 0.1

# How long who computes waits for another entry, in seconds: that may be waiting for this one.
_NESTED_PATIENCE = 1.0

_leaving: set[asyncio.Task[None]] = set()

_logger = logging.getLogger("langchain_redis_memory")


@dataclass(slots=True)
class _Request:
    """Whether a claim was asked for, and no answer has come yet: it may have been made."""

    is_under_way: bool = False


@dataclass(slots=True, eq=False)
class _Computation:
    """What a thread or task computes; the tasks that it starts know of it, also when it is over."""

    connection: Connection
    key: str
    is_active: bool = True


_computing: ContextVar[tuple[_Computation, ...]] = ContextVar("computing", default=())


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to compute an entry.

    Args:
        connection: Where the entry is.
        key: Its key.
        lease: Seconds until the claim of a process that died is free.
        token: What tells the claim from others.
        wait: Seconds to wait for another's at most.
    """

    connection: Connection = field(repr=False)
    key: str
    lease: float
    token: str = field(repr=False)
    wait: float = 30.0

    @property
    def is_held_here(self) -> bool:
        """Whether the caller is within the computation itself, which would wait for its own end."""
        return any(one.key == self.key and one.connection is self.connection for one in _active())

    def take(self) -> bytes | bool:
        """Take the claim; while another holds, wait for it to end or the value to be there.

        Returns:
            The value; or True if it is ours to compute; or False if it is to be computed without a
            claim: Redis is away, another's lasts too long, or one that was waited for was given up.
        """
        request = _Request()
        try:
            return follow(self.connection, self._ask(request, 0 if _is_on_loop() else self.wait))
        except BaseException as error:
            if request.is_under_way and not isinstance(error, Exception):
                self.leave(asked=True)
            raise

    async def atake(self) -> bytes | bool:
        """See `take`."""
        request = _Request()
        try:
            return await afollow(self.connection, self._ask(request, self.wait))
        except BaseException as error:
            if request.is_under_way and not isinstance(error, Exception):
                await self.aleave(asked=True)
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """Renew the claim while the body computes, and give it up if that fails."""
        over = threading.Event()
        with suppress(RuntimeError):  # no more threads to be had: then it lasts for one lease
            threading.Thread(target=self._renew, args=(over,), daemon=True).start()
        try:
            with self._marked():
                yield
        except BaseException:
            self.leave()
            raise
        finally:
            over.set()

    @asynccontextmanager
    async def aheld(self) -> AsyncIterator[None]:
        """See `held`."""
        renewing = asyncio.ensure_future(self._arenew())
        try:
            with self._marked():
                yield
        except BaseException:
            await self.aleave()
            raise
        finally:
            renewing.cancel()

    def store(self, value: bytes, ttl: float | None) -> None:
        """Put the value in the place of the claim, if that still holds.

        What was computed is the caller's also when it cannot be kept: a failure goes to the log.

        Args:
            value: What does not begin like a claim.
            ttl: Seconds until it expires; None for never.
        """
        try:
            self.connection.run(self._fulfil(value, ttl))
        except RedisMemoryError as error:
            self._log(error)

    async def astore(self, value: bytes, ttl: float | None) -> None:
        """See `store`."""
        try:
            await self.connection.arun(self._fulfil(value, ttl))
        except RedisMemoryError as error:
            self._log(error)

    @contextmanager
    def _marked(self) -> Iterator[None]:
        computation = _Computation(self.connection, self.key)
        mark = _computing.set((*_active(), computation))
        try:
            yield
        finally:
            computation.is_active = False
            _computing.reset(mark)

    def _ask(self, request: _Request, wait: float) -> Steps[bytes | bool]:
        pause, holder, ends = _FIRST_PAUSE, None, 0.0
        until = time.monotonic() + (min(wait, _NESTED_PATIENCE) if _active() else wait)
        ask = self._operation("claiming an entry", scripts.CLAIM, in_milliseconds(self.lease))
        while True:
            request.is_under_way = True
            asked = time.monotonic()  # before: an answer that is late tells of an earlier end
            found = yield ask
            request.is_under_way = False
            if found == 0:
                return True
            if not isinstance(found, list):
                return found if found is not None else False
            left, now = found[0] / 1000, time.monotonic()
            # A claim that ended before its time was given up: whoever waited for it is not to wait
            # for the next one, which may fail as well, and so on.
            was_given_up = holder not in (None, found[1]) and now < ends - _SLACK
            if was_given_up or now >= until:
                return False
            holder, ends = found[1], asked + left
            # By chance, so that those who came together do not ask together.
            chance = random.uniform(0.5, 1)  # noqa: S311 - no secret
            yield Pause(min(min(pause, left) * chance, until - now))
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def _keep(self, lease: int) -> Operation[Any]:
        return self._operation("keeping a claim", scripts.KEEP_CLAIM, lease)

    def _fulfil(self, value: bytes, ttl: float | None) -> Operation[Any]:
        lasts = 0 if ttl is None else in_milliseconds(ttl)
        return self._operation("storing a result", scripts.FULFIL_CLAIM, value, lasts, writes=True)

    def _operation(
        self, name: str, script: Any, *arguments: bytes | int, writes: bool = False
    ) -> Operation[Any]:
        return Operation(
            name,
            (script.on(self.key, f"@{self.token}", *arguments),),
            lambda replies: replies[0],
            self.key,
            absent=lambda: None,
            writes=writes,
        )

    def _renew(self, over: threading.Event) -> None:
        for _ in range(3 * _LEASES):
            if over.wait(self.lease / 3):
                return
            with suppress(RedisMemoryError):
                self.connection.run(self._keep(in_milliseconds(self.lease)))

    async def _arenew(self) -> None:
        for _ in range(3 * _LEASES):
            await asyncio.sleep(self.lease / 3)
            with suppress(RedisMemoryError):
                await self.connection.arun(self._keep(in_milliseconds(self.lease)))

    def _give_up(self, *, asked: bool) -> Steps[None]:
        if not (yield self._keep(0)) and asked:
            # The request whose caller has left may arrive after this one.
            yield Pause(_STRAGGLING)
            yield self._keep(0)

    def leave(self, *, asked: bool = False) -> None:
        """Give the claim up; it may still be on its way if it was asked for."""
        with suppress(RedisMemoryError):  # another exception is on its way; the lease will end
            follow(self.connection, self._give_up(asked=asked))

    async def aleave(self, *, asked: bool = False) -> None:
        """See `leave`."""

        async def leave() -> None:
            with suppress(RedisMemoryError):
                await afollow(self.connection, self._give_up(asked=asked))

        # A task of its own, since the caller may be cancelled, even again and again.
        task = asyncio.ensure_future(leave())
        ends = self.connection.hold_open()
        _leaving.add(task)
        task.add_done_callback(_leaving.discard)
        task.add_done_callback(lambda _: ends())
        await asyncio.wait([task], timeout=_PATIENCE)

    def _log(self, error: RedisMemoryError) -> None:
        _logger.warning("what was computed for %s was not stored: %s", self.key, error)


def _active() -> tuple[_Computation, ...]:
    return tuple(one for one in _computing.get() if one.is_active)


def _is_on_loop() -> bool:
    """Tell whether a loop runs in this thread: waiting here would stop whoever computes on it."""
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False
