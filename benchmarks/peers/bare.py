"""redis-py by itself: what the wire costs, of bytes or with LangChain's own JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

import redis
import redis.asyncio
from langchain_core.messages import (
    BaseMessage,
    convert_to_messages,
    message_to_dict,
    messages_from_dict,
)

from benchmarks.peers.peer import TTL, Peer, trim_newest_first

if TYPE_CHECKING:
    from benchmarks.conversations import Record


class Bare(Peer):
    """One pipeline a turn, LPUSH and PEXPIRE, of elements that are bytes already."""

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
        """Make elements in LangChain's form of a message."""
        return list(map(_encoded, convert_to_messages(records)))

    def add(self, session: str, messages: list[Any]) -> None:
        """Push, and put off the expiry."""
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.lpush(session, *messages)
            pipeline.pexpire(session, TTL * 1000)
            pipeline.execute()

    async def aadd(self, session: str, messages: list[Any]) -> None:
        """Push, and put off the expiry."""
        async with self._async_client.pipeline(transaction=False) as pipeline:
            pipeline.lpush(session, *messages)
            pipeline.pexpire(session, TTL * 1000)
            await pipeline.execute()

    def read(self, session: str) -> list[Any]:
        """Fetch all elements."""
        return self._client.lrange(session, 0, -1)

    async def aread(self, session: str) -> list[Any]:
        """Fetch all elements."""
        return await self._async_client.lrange(session, 0, -1)

    def last(self, session: str, count: int) -> list[Any]:
        """Fetch the newest elements."""
        return self._client.lrange(session, 0, count - 1)

    async def alast(self, session: str, count: int) -> list[Any]:
        """Fetch the newest elements."""
        return await self._async_client.lrange(session, 0, count - 1)

    def trim(self, session: str, size: int) -> None:
        """Remove what was added."""
        trim_newest_first(self._client, session, size)


class Encoding(Bare):
    """The same for messages, as somebody would write it in a few lines."""

    packages: ClassVar[tuple[str, ...]] = (*Bare.packages, "langchain-core")

    def messages(self, records: list[Record]) -> list[BaseMessage]:
        """Make messages."""
        return convert_to_messages(records)

    def add(self, session: str, messages: list[BaseMessage]) -> None:
        """Encode and push."""
        super().add(session, list(map(_encoded, messages)))

    def read(self, session: str) -> list[BaseMessage]:
        """Fetch and decode."""
        return messages_from_dict([json.loads(element) for element in super().read(session)[::-1]])


def _encoded(message: BaseMessage) -> bytes:
    return json.dumps(message_to_dict(message)).encode()
