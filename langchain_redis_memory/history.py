"""`RedisChatMessageHistory`: a `Conversation` behind langchain-community's class.

The only file that touches langchain-community, which is no longer maintained. Importing that
package gives a `DeprecationWarning`; it is silenced here, since nobody who uses this class asked
for that package. Python imports a package once, so a later import of your own is silent as well.
"""

from __future__ import annotations

import re
import threading
import warnings
from typing import TYPE_CHECKING, Any, Self

from langchain_redis_memory.conversation import Conversation
from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.limits import Limits
from langchain_redis_memory.storage.connection import Connection
from langchain_redis_memory.storage.retry import RetryPolicy
from langchain_redis_memory.storage.topologies import server_at

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "`langchain-community` is being sunset", DeprecationWarning)
    from langchain_community.chat_message_histories.redis import (
        RedisChatMessageHistory as _CommunityHistory,
    )

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis
    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.display.cards import Card


class RedisChatMessageHistory(_CommunityHistory, Shown):  # type: ignore[misc]  # untyped there
    """The messages of one session in Redis.

    A drop-in for ``langchain_community.chat_message_histories.RedisChatMessageHistory``: the same
    arguments, the same keys, and each reads what the other wrote. Histories with the same URL
    share one pool of connections. A `RedisMemory` hands out histories too, with keys that hold
    agent, user and session.

    Args:
        session_id: Which conversation; the key is `key_prefix` followed by it, as it stands.
        url: Where Redis is; see `RedisMemory.from_url`.
        key_prefix: What the key starts with.
        ttl: Seconds after the last read or write until the conversation expires; None for never,
            which is langchain-community's default too.
        window: What `messages` gives: so many messages, or a `Window`; None for all.
        max_messages: How many messages are kept; None for all.

    Raises:
        ConfigurationError: An argument cannot be used. Nothing connects before it is used.
    """

    def __init__(
        self,
        session_id: str,
        url: str = "redis://localhost:6379/0",
        key_prefix: str = "message_store:",
        ttl: float | None = None,
        *,
        window: Any = None,
        max_messages: int | None = None,
    ) -> None:
        _check_id("session_id", session_id)
        if key_prefix != "":
            _check_id("key_prefix", key_prefix)
        limits = Limits(ttl=ttl, window=window, max_messages=max_messages)
        conversation = Conversation(_shared(url), key_prefix + session_id, limits)
        self._take(conversation, session_id, key_prefix)

    @classmethod
    def of(cls, conversation: Conversation, session_id: str) -> Self:
        """Make the history of a conversation that a `RedisMemory` knows."""
        history = cls.__new__(cls)
        prefix = conversation.key.rpartition(":")[0] + ":"  # an encoded id has no colon
        history._take(conversation, session_id, prefix)  # noqa: SLF001 - a second constructor
        return history

    def _take(self, conversation: Conversation, session_id: str, key_prefix: str) -> None:
        self.conversation = conversation
        self.session_id = session_id
        self.key_prefix = key_prefix
        self.ttl = conversation.limits.ttl

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"

    def _card(self) -> Card:
        return self.conversation._card()  # noqa: SLF001 - they are shown alike

    @property
    def key(self) -> str:
        """The key of the list that holds the messages."""
        return self.conversation.key

    @property
    def redis_client(self) -> redis.Redis | redis.RedisCluster:
        """The redis-py client, as langchain-community's class has it."""
        return self.conversation.connection.client

    @property
    def messages(self) -> list[BaseMessage]:
        """The messages of the window, oldest first; reading them puts off the expiry.

        Raises:
            CorruptedDataError: An element in Redis is no message.
        """
        return self.conversation.read().messages

    @messages.setter
    def messages(self, messages: list[BaseMessage]) -> None:
        del messages
        raise NotImplementedError("messages cannot be assigned; use add_messages, or clear first")

    async def aget_messages(self) -> list[BaseMessage]:
        """See `messages`."""
        return (await self.conversation.aread()).messages

    def add_message(self, message: BaseMessage) -> None:
        """Store one message; see `add_messages`."""
        self.add_messages([message])

    def add_messages(self, messages: Sequence[BaseMessage], *, token: str | None = None) -> None:
        """Store messages after the others, all or none, exactly once.

        Args:
            messages: What to store, oldest first.
            token: The token of an earlier attempt (see `TurnNotSavedError`); what it stored is
                not stored again.

        Raises:
            UnstorableError: JSON cannot hold one of them; none is stored.
        """
        self.conversation.append(messages, token, repeat=token is not None)

    async def aadd_messages(
        self, messages: Sequence[BaseMessage], *, token: str | None = None
    ) -> None:
        """See `add_messages`."""
        await self.conversation.aappend(messages, token, repeat=token is not None)

    def count(self) -> int:
        """Tell how many messages are stored, within the window or not."""
        return self.conversation.count()

    async def acount(self) -> int:
        """See `count`."""
        return await self.conversation.acount()

    def time_to_live(self) -> float | None:
        """Tell the seconds until the conversation expires; None if it does not, or is not there."""
        return self.conversation.time_to_live()

    async def atime_to_live(self) -> float | None:
        """See `time_to_live`."""
        return await self.conversation.atime_to_live()

    def clear(self) -> None:
        """Remove all messages of the session."""
        self.conversation.clear()

    async def aclear(self) -> None:
        """See `clear`."""
        await self.conversation.aclear()


_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _check_id(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} must be a string that is not empty, not {value!r:.80}")
    if _LONE_SURROGATE.search(value):
        raise ConfigurationError(f"{name} {value!r:.80} is not text that UTF-8 can hold")


_connections: dict[str, Connection] = {}
_connections_lock = threading.Lock()


def _shared(url: str) -> Connection:
    """Give the one connection of this process for a URL.

    It is kept, since a web application makes a history for every request.
    """
    with _connections_lock:
        connection = _connections.get(url) if isinstance(url, str) else None
        if connection is None:
            policy = RetryPolicy()
            connection = _connections[url] = Connection(server_at(url, policy, {}), policy)
        return connection
