"""A coroutine that is awaited in a context of its own behaves as in a task with that context."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context

import pytest

from langchain_redis_memory.within import Within

mark = ContextVar("mark", default="outside")


async def in_task(context, coroutine):
    return await asyncio.create_task(coroutine, context=context)


async def within(context, coroutine):
    return await Within(context, coroutine)


@pytest.fixture(params=[in_task, within])
def awaited(request):
    return request.param


async def marking(steps):
    mark.set("within")
    await asyncio.sleep(0)
    steps.append(mark.get())
    steps.append(await asyncio.create_task(asked()))
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0.001))
    return mark.get()


async def asked():
    return mark.get()


async def failing():
    await asyncio.sleep(0)
    raise ValueError("of its own")


async def waiting(steps):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        steps.append("cancelled")
        await asyncio.sleep(0)
        steps.append("cleaned up")
        raise


async def test_what_it_sets_is_seen_in_it_alone(awaited):
    """Step after step, and by tasks that it starts."""
    steps = []
    context = copy_context()
    assert await awaited(context, marking(steps)) == "within"
    assert steps == ["within", "within"]
    assert mark.get() == "outside"
    assert context[mark] == "within"


async def test_it_sees_what_is_set_in_its_context(awaited):
    """And not what its caller sets meanwhile."""
    context = copy_context()
    context.run(mark.set, "prepared")
    assert await awaited(context, asked()) == "prepared"


async def test_its_error_reaches_the_caller(awaited):
    """As it is."""
    with pytest.raises(ValueError, match="of its own"):
        await awaited(copy_context(), failing())


async def test_a_cancellation_reaches_it(awaited):
    """It may clean up before it ends."""
    steps = []
    task = asyncio.create_task(awaited(copy_context(), waiting(steps)))
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["cancelled", "cleaned up"]


async def test_time_limits_hold_in_it(awaited):
    """Those around it, and those inside."""

    async def limited():
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await awaited(copy_context(), limited())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await awaited(copy_context(), waiting([]))


def test_closing_who_awaits_closes_it():
    """As when an event loop goes away."""
    closed = []

    async def held():
        try:
            await Endless()
        finally:
            closed.append(True)

    coroutine = within(copy_context(), held())
    coroutine.send(None)
    coroutine.close()
    assert closed == [True]


class Endless:
    def __await__(self):
        while True:
            yield
