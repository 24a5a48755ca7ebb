"""Time limits on an event loop end what takes too long, as `asyncio.timeout` does."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from contextvars import ContextVar

import pytest

from langchain_redis_memory.storage.deadlines import Deadline, Deadlines

SHORT = 0.02
LONG = 60
mark = ContextVar("mark", default=None)


class Library:
    """asyncio's own."""

    def __init__(self, seconds):
        self.seconds = seconds

    async def limited(self, work):
        async with asyncio.timeout(self.seconds):
            return await work


class Ours:
    def __init__(self, seconds):
        self.deadlines = Deadlines(seconds)

    async def limited(self, work):
        with Deadline(self.deadlines):
            return await work


@pytest.fixture(params=[Library, Ours])
def limits(request):
    return request.param


async def failing():
    await asyncio.sleep(0)
    raise ValueError("of its own")


async def stubborn(steps):
    """Goes on once when it is cancelled."""
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        steps.append("cancelled")
    return "done"


async def test_what_ends_in_time_is_given(limits):
    """Its result, or its error."""
    short = limits(LONG)
    assert await short.limited(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="of its own"):
        await short.limited(failing())


async def test_what_takes_too_long_is_ended(limits):
    """The task goes on with a TimeoutError, and is not cancelled any more."""
    with pytest.raises(TimeoutError):
        await limits(SHORT).limited(asyncio.sleep(LONG))
    assert asyncio.current_task().cancelling() == 0
    await asyncio.sleep(0)


async def test_what_will_not_end_gives_what_it_has(limits):
    """It was asked to."""
    steps = []
    assert await limits(SHORT).limited(stubborn(steps)) == "done"
    assert steps == ["cancelled"]
    assert asyncio.current_task().cancelling() == 0


async def test_who_cancels_the_task_is_heard(limits):
    """In time, and also when the time passes as well."""
    for seconds in (LONG, SHORT):
        task = asyncio.create_task(limits(seconds).limited(asyncio.sleep(LONG)))
        await asyncio.sleep(0)
        if seconds == SHORT:
            time.sleep(2 * SHORT)  # noqa: ASYNC251 - the time passes before the loop can look
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_limits_within_each_other_are_kept_apart(limits):
    """The outer one ends what the inner one would let go on."""
    inner, outer = limits(LONG), limits(SHORT)
    with pytest.raises(TimeoutError):
        await outer.limited(inner.limited(asyncio.sleep(LONG)))


async def test_each_task_has_its_own_time():
    """Those that began later end later, by one timer; those that have ended are left alone."""
    set_up = []
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(5 * SHORT)
    deadlines.loop = Counting(loop, set_up)
    began = time.monotonic()

    async def run(seconds):
        try:
            with Deadline(deadlines):
                await asyncio.sleep(seconds)
        except TimeoutError:
            return time.monotonic() - began
        return None

    async def later():
        await asyncio.sleep(3 * SHORT)
        return await run(LONG)

    quick = [run(0) for _ in range(50)]
    early, late, *rest = await asyncio.gather(run(LONG), later(), *quick)
    assert early >= 5 * SHORT
    assert late >= 8 * SHORT
    assert rest == [None] * 50
    assert len(set_up) == 2


class Thing:
    pass


async def test_nobodys_context_is_kept():
    """What a context variable held in the task that came first goes with the task."""
    deadlines = Deadlines(LONG)

    async def run():
        thing = Thing()
        mark.set(thing)
        with Deadline(deadlines):
            await asyncio.sleep(0)
        return weakref.ref(thing)

    found = await asyncio.create_task(run())
    await asyncio.sleep(0)  # for the loop to let go of the step that ended
    gc.collect()
    assert found() is None


def test_a_task_of_a_loop_that_was_closed_is_let_go():
    """Though nobody ended it."""
    kept = []

    async def run():
        thing = Thing()
        kept.append((Deadlines(LONG), weakref.ref(thing)))
        with Deadline(kept[0][0]):
            await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it tells of the task that is destroyed
    task = loop.create_task(run())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del task, loop
    gc.collect()
    assert kept[0][1]() is None


class Counting:
    def __init__(self, loop, calls):
        self.loop = loop
        self.calls = calls

    def time(self):
        return self.loop.time()

    def call_at(self, when, callback, context):
        self.calls.append(when)
        return self.loop.call_at(when, callback, context=context)
