"""This package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import redis

from benchmarks.peers.langchain import LangChainPeer, answering, keys
from benchmarks.peers.peer import TTL, trim_newest_first
from langchain_redis_memory import RedisMemory

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_redis_memory import RedisChatMessageHistory


class Ours(LangChainPeer):
    """Histories and the wrapper of one `RedisMemory`."""

    packages: ClassVar[tuple[str, ...]] = (
        *("langchain-redis-memory", "redis", "hiredis", "orjson"),
        *LangChainPeer.packages,
    )

    def open(self) -> None:
        """Begin anew, without a connection."""
        self.memory = RedisMemory.from_url(self.url, ttl=TTL)
        self._bare = redis.Redis.from_url(self.url)
        self._histories: dict[tuple[str, int | None], RedisChatMessageHistory] = {}

    async def aclose(self) -> None:
        """Close all."""
        await self.memory.aclose()
        self._bare.close()

    def history(self, session: str, window: int | None = None) -> RedisChatMessageHistory:
        """Give the history of a session, which is kept."""
        known = (session, window)
        if known not in self._histories:
            self._histories[known] = self.memory.history("bench", "alice", session, window=window)
        return self._histories[known]

    async def aadd(self, session: str, messages: list[BaseMessage]) -> None:
        """Store a turn."""
        await self.history(session).aadd_messages(messages)

    async def aread(self, session: str) -> list[BaseMessage]:
        """Read all messages."""
        return await self.history(session).aget_messages()

    def last(self, session: str, count: int) -> list[BaseMessage]:
        """Read a window."""
        return self.history(session, window=count).messages

    async def alast(self, session: str, count: int) -> list[BaseMessage]:
        """Read a window."""
        return await self.history(session, window=count).aget_messages()

    def chat(self, form: str, reply: str, window: int | None = None) -> Runnable[Any, Any]:
        """Put our wrapper around what answers."""
        limits: dict[str, Any] = {} if window is None else {"window": window}
        return self.memory.with_history(
            answering(form, reply), agent="bench", **keys(form), **limits
        )

    def config(self, session: str) -> RunnableConfig:
        """Name a session."""
        return {"configurable": {"user_id": "alice", "session_id": session}}

    def trim(self, session: str, size: int) -> None:
        """Remove what was added."""
        trim_newest_first(self._bare, self.history(session).key, size)
