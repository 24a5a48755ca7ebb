"""Functions for the tests of what is cached: sync and async, and counting their calls."""

from __future__ import annotations

import asyncio
import functools
import threading


class Sync:
    """Functions that are called."""

    def of(self, body):
        return body

    async def __call__(self, function, *args, **kwargs):
        return await asyncio.to_thread(function, *args, **kwargs)


class Async:
    """Functions that are awaited."""

    def of(self, body):
        @functools.wraps(body)
        async def awaited(*args, **kwargs):
            result = await asyncio.to_thread(body, *args, **kwargs)
            await asyncio.sleep(0)
            return result

        return awaited

    async def __call__(self, function, *args, **kwargs):
        return await function(*args, **kwargs)


class Counted:
    """What a function does, and how often it was done."""

    def __init__(self, result=lambda *args, **kwargs: [list(args), kwargs]):
        self.calls = 0
        self._result = result
        self._lock = threading.Lock()

    def __call__(self, *args, **kwargs):
        with self._lock:
            self.calls += 1
        return self._result(*args, **kwargs)


def signed(like, counted):
    """Give the counted function the signature of another one, and its name."""
    # Not a closure, which would have no name of its own.
    module = {"__name__": __name__, "counted": counted}
    exec("def function(*args, **kwargs): return counted(*args, **kwargs)", module)
    return functools.update_wrapper(module["function"], like)


def claims(server):
    """Name the keys that hold a claim."""
    names = server.client.scan_iter()
    return [name for name in names if (server.client.get(name) or b"").startswith(b"@")]


def weather(city, unit="C", *, days=1):
    """Tell the weather."""


def everything(first, /, *args, key=None, **others):
    """Take arguments of every kind."""
