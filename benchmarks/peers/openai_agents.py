"""openai-agents' session: a list of items for each session; asynchronous only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import redis
import redis.asyncio
from agents.extensions.memory import RedisSession

from benchmarks.peers.peer import TTL, Peer, trim_oldest_first

if TYPE_CHECKING:
    from benchmarks.conversations import Record


class OpenAIAgents(Peer):
    """Sessions that share a client, each kept."""

    packages: ClassVar[tuple[str, ...]] = ("openai-agents", "redis", "hiredis")

    def open(self) -> None:
        """Begin anew, without a connection."""
        self._bare = redis.Redis.from_url(self.url)
        self._client = redis.asyncio.Redis.from_url(self.url)
        self._sessions: dict[str, RedisSession] = {}

    async def aclose(self) -> None:
        """Close both clients."""
        self._bare.close()
        await self._client.aclose()

    def messages(self, records: list[Record]) -> list[Any]:
        """Items are dicts."""
        return list(records)

    async def aadd(self, session: str, messages: list[Any]) -> None:
        """Store a turn."""
        await self._session(session).add_items(messages)

    async def aread(self, session: str) -> list[Any]:
        """Read all items."""
        return await self._session(session).get_items()

    async def alast(self, session: str, count: int) -> list[Any]:
        """Read the newest items."""
        return await self._session(session).get_items(limit=count)

    def trim(self, session: str, size: int) -> None:
        """Remove what was added."""
        trim_oldest_first(self._bare, f"agents:session:{session}:messages", size)

    def _session(self, name: str) -> RedisSession:
        if name not in self._sessions:
            self._sessions[name] = RedisSession(name, redis_client=self._client, ttl=TTL)
        return self._sessions[name]
