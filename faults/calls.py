"""One call after another, in either flavour."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from langchain_redis_memory import RedisMemoryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_redis_memory import RedisMemory


class Calls(contextlib.AbstractContextManager["Calls"]):
    """Calls methods of a memory and of what it hands out, or their async twins on one loop.

    Args:
        memory: It is closed at the end.
        flavour: ``"sync"`` or ``"async"``.
    """

    def __init__(self, memory: RedisMemory, flavour: str) -> None:
        self.memory = memory
        self._runner = asyncio.Runner() if flavour == "async" else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self(self.memory, "close")
        if self._runner is not None:
            self._runner.close()

    def __call__(self, target: Any, method: str, *arguments: Any) -> Any:
        """Call a method, or its twin."""
        if self._runner is None:
            return getattr(target, method)(*arguments)
        return self._runner.run(getattr(target, f"a{method}")(*arguments))

    def timed(self, target: Any, method: str, *arguments: Any) -> tuple[float, Any]:
        """Call a method, and tell how long it took and what came of it, be it an error."""
        began = time.monotonic()
        try:
            result = self(target, method, *arguments)
        except RedisMemoryError as error:
            result = error
        return time.monotonic() - began, result

    def timed_together(self, count: int, target: Any, method: str) -> list[float]:
        """Call a method many times at once, and tell how long each call took."""
        if self._runner is not None:
            return self._runner.run(_gathered(count, getattr(target, f"a{method}")))
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.timed(target, method)[0], range(count)))


async def _gathered(count: int, method: Callable[[], Awaitable[Any]]) -> list[float]:
    async def one() -> float:
        began = time.monotonic()
        with contextlib.suppress(RedisMemoryError):
            await method()
        return time.monotonic() - began

    return await asyncio.gather(*(one() for _ in range(count)))
