"""redis-py by itself: what the wire costs, with elements that are bytes already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import redis
import redis.asyncio

from benchmarks.peers.peer import TTL, Peer, trim_newest_first

if TYPE_CHECKING:
    from benchmarks.conversations import Record


class Bare(Peer):
    """One pipeline a turn: LPUSH and PEXPIRE."""

    packages: ClassVar[tuple[str, ...]] = ("redis", "hiredis")

    def open(self) -> None:
        """Begin anew, without a connection."""
        self._client = redis.Redis.from_url(self.url)
        self._async_client = redis.asyncio.Redis.from_url(self.url)

    async def aclose(self) -> None:
        """Close both clients."""
        self._client.close()
        await self._async_client.aclose()

    def messages(self, records: list[Record]) -> list[Any]:
        """Make elements of about the size that LangChain's form of a message has."""
        from langchain_core.messages import convert_to_messages, message_to_dict

        return [json.dumps(message_to_dict(m)).encode() for m in convert_to_messages(records)]

    def add(self, session: str, messages: list[bytes]) -> None:
        """Push, and put off the expiry."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.lpush(session, *messages)
            pipeline.pexpire(session, TTL * 1000)
            pipeline.execute()

    async def aadd(self, session: str, messages: list[bytes]) -> None:
        """Push, and put off the expiry."""
        async with self._async_client.pipeline(transaction=False) as pipeline:
            pipeline.lpush(session, *messages)
            pipeline.pexpire(session, TTL * 1000)
            await pipeline.execute()

    def read(self, session: str) -> list[bytes]:
        """Fetch all elements."""
        return self._client.lrange(session, 0, -1)

    async def aread(self, session: str) -> list[bytes]:
        """Fetch all elements."""
        return await self._async_client.lrange(session, 0, -1)

    def last(self, session: str, count: int) -> list[bytes]:
        """Fetch the newest elements."""
        return self._client.lrange(session, 0, count - 1)

    async def alast(self, session: str, count: int) -> list[bytes]:
        """Fetch the newest elements."""
        return await self._async_client.lrange(session, 0, count - 1)

    def trim(self, session: str, size: int) -> None:
        """Remove what was added."""
        trim_newest_first(self._client, session, size)
