"""llama-index's chat store: a list of messages for each key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import redis
from llama_index.core.llms import ChatMessage
from llama_index.storage.chat_store.redis import RedisChatStore

from benchmarks.peers.peer import TTL, Peer, trim_oldest_first

if TYPE_CHECKING:
    from benchmarks.conversations import Record


class LlamaIndex(Peer):
    """One store for all sessions."""

    packages: ClassVar[tuple[str, ...]] = (
        *("llama-index-storage-chat-store-redis", "llama-index-core", "redis", "hiredis"),
        "pydantic",
    )

    def open(self) -> None:
        """Begin anew, without a connection."""
        self._bare = redis.Redis.from_url(self.url)
        self._async_client = redis.asyncio.Redis.from_url(self.url)
        self._store = RedisChatStore(
            redis_client=redis.Redis.from_url(self.url), aredis_client=self._async_client, ttl=TTL
        )

    async def aclose(self) -> None:
        """Close what the event loop used."""
        self._bare.close()
        await self._async_client.aclose()

    def messages(self, records: list[Record]) -> list[ChatMessage]:
        """Make messages, with tool calls where its readers look for them."""
        return [_message(record) for record in records]

    def add(self, session: str, messages: list[ChatMessage]) -> None:
        """Store a turn; it takes one message at a time."""
        for message in messages:
            self._store.add_message(session, message)

    async def aadd(self, session: str, messages: list[ChatMessage]) -> None:
        """Store a turn."""
        for message in messages:
            await self._store.async_add_message(session, message)

    def read(self, session: str) -> list[ChatMessage]:
        """Read all messages."""
        return self._store.get_messages(session)

    async def aread(self, session: str) -> list[ChatMessage]:
        """Read all messages."""
        return await self._store.aget_messages(session)

    def last(self, session: str, count: int) -> list[ChatMessage]:
        """Read the newest messages; there is no other way than to read all."""
        return self.read(session)[-count:]

    async def alast(self, session: str, count: int) -> list[ChatMessage]:
        """Read the newest messages."""
        return (await self.aread(session))[-count:]

    def trim(self, session: str, size: int) -> None:
        """Remove what was added."""
        trim_oldest_first(self._bare, session, size)


def _message(record: Record) -> ChatMessage:
    more: dict[str, Any] = {
        name: value for name, value in record.items() if name not in ("role", "content")
    }
    return ChatMessage(role=record["role"], content=record["content"], additional_kwargs=more)
