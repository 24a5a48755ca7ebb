"""The pieces of a turn that is streamed on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from langchain_redis_memory.saving import Saver
    from langchain_redis_memory.turn import RunEnd, Turn


class AsyncPieces:
    """The pieces of a streamed turn, which is stored when they end or the reader leaves.

    No asynchronous generator: an event loop that ends closes each of those by itself and all at
    once, and would get in the way of LangChain's closing of this one.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[tuple[Turn, RunEnd, AsyncIterator[Any]]]],
        saver: Saver,
    ) -> None:
        self._begin = begin
        self._saver = saver
        self._state: tuple[Turn, RunEnd, AsyncIterator[Any]] | None = None
        self._sent: list[Any] = []
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._is_over:
            raise StopAsyncIteration
        if self._state is None:
            self._state = await self._begin()
            self._ends = self._state[0].conversation.connection.hold_open()
        turn, end, pieces = self._state
        try:
            piece = await anext(pieces)
        except StopAsyncIteration:
            await self._finish(self._saver.asave(turn, turn.streamed(end.state, self._sent)))
            raise
        except (asyncio.CancelledError, KeyboardInterrupt):
            await self.aclose()
            raise
        except BaseException:
            await self._finish(self._saver.asave_aside(turn, turn.record_failed))
            raise
        self._sent.append(piece)
        return piece

    async def aclose(self) -> None:
        """Store what was sent, if the reader leaves before the end."""
        if self._state is None or self._is_over:
            return
        turn, _, pieces = self._state
        await self._finish(self._saver.asave_aside(turn, lambda: turn.record_part(self._sent)))
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()

    async def _finish(self, saving: Awaitable[None]) -> None:
        self._is_over = True
        try:
            await saving
        finally:
            self._ends()
