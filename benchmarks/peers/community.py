"""langchain-community's class, in two ways."""

from __future__ import annotations

import warnings
from typing import ClassVar

import redis

from benchmarks.peers.langchain import LangChainPeer
from benchmarks.peers.peer import TTL, trim_newest_first

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from langchain_community.chat_message_histories.redis import RedisChatMessageHistory


class Documented(LangChainPeer):
    """A new object for each turn, as its documentation shows."""

    packages: ClassVar[tuple[str, ...]] = (
        *("langchain-community", "redis", "hiredis"),
        *LangChainPeer.packages,
    )

    def open(self) -> None:
        """Begin anew, without a connection."""
        self._bare = redis.Redis.from_url(self.url)

    async def aclose(self) -> None:
        """Close what trims; each turn has a client of its own."""
        self._bare.close()

    def history(self, session: str) -> RedisChatMessageHistory:
        """Make the history of a session."""
        return RedisChatMessageHistory(session, self.url, ttl=TTL)

    def trim(self, session: str, size: int) -> None:
        """Remove what was added."""
        trim_newest_first(self._bare, f"message_store:{session}", size)


class Reused(Documented):
    """One object for each session, which is kept."""

    def open(self) -> None:
        """Begin anew, without a connection."""
        super().open()
        self._histories: dict[str, RedisChatMessageHistory] = {}

    def disconnect(self) -> None:
        """Begin anew."""
        self._histories.clear()

    def history(self, session: str) -> RedisChatMessageHistory:
        """Give the history of a session."""
        if session not in self._histories:
            self._histories[session] = super().history(session)
        return self._histories[session]
