"""The messages of one session: read a window of them (see `reading`), append, count, clear.

What is sent and how the answer is read are the functions at the end of this file, which do no
I/O; `Conversation` sends them. All of a turn's commands are on one key, so they are atomic on a
cluster too; the index of a user's sessions is another key, touched in the same trip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from langchain_redis_memory import scripts
from langchain_redis_memory.companions import SessionEntry, touch
from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.limits import Limits
from langchain_redis_memory.reading import Reading, read
from langchain_redis_memory.storage import codec
from langchain_redis_memory.storage.keys import summary_of
from langchain_redis_memory.storage.operation import Command, Operation, ScriptCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.storage.connection import Connection

_TOKEN = re.compile("[0-9a-f]{32}")

# Where an append looks for itself (see `scripts.APPEND`). The first attempt can only meet a repeat
# that overtook it, moments ago, so that few others were stored meanwhile: to search 500 makes half
# of what the server does. A later one may follow anything; a caller's may be from any time.
_APPENDED_MEANWHILE, _ANYWHERE, _BY_TOKEN = 256, 0, -1


def new_token() -> str:
    """Make the token of an append: a UUID of version 7, in hex."""
    return uuid7().hex


@dataclass(frozen=True, slots=True)
class Conversation(Shown):
    """The messages of one session.

    Args:
        connection: Where they are.
        key: The key of their list.
        limits: Time to live, window and size.
        entry: Where the session stands in its user's index; None if nowhere.
    """

    connection: Connection = field(repr=False)
    key: str
    limits: Limits = field(default_factory=Limits)
    entry: SessionEntry | None = None

    def read(self, *, ids: Sequence[str] = ()) -> Reading:
        """Give the window, and put off the expiry; one round trip.

        For a window in tokens it may be two, when the messages hold few for their size.

        Args:
            ids: Tell the last of these ids that any stored message has.

        Raises:
            CorruptedDataError: An element that the window needs is no message.
        """
        reading = self.connection.run(self._read(ids, bounded=True))
        return self.connection.run(self._read(ids)) if reading.is_cut else reading

    async def aread(self, *, ids: Sequence[str] = ()) -> Reading:
        """See `read`."""
        reading = await self.connection.arun(self._read(ids, bounded=True))
        return await self.connection.arun(self._read(ids)) if reading.is_cut else reading

    def append(
        self, messages: Sequence[BaseMessage], token: str | None = None, *, repeat: bool = False
    ) -> bool:
        """Store messages after the others, all or none, exactly once; one round trip.

        Args:
            messages: What to store, oldest first.
            token: What the append is known by; see `new_token`.
            repeat: Whether the token is that of an earlier append of the same messages whose
                outcome is unknown. What that one stored is not stored again.

        Returns:
            Whether they were stored by this call, and not before.

        Raises:
            UnstorableError: JSON cannot hold one of them; none is stored.
        """
        if not messages:
            return False
        return self.connection.run(self._append(messages, token, repeat=repeat))

    async def aappend(
        self, messages: Sequence[BaseMessage], token: str | None = None, *, repeat: bool = False
    ) -> bool:
        """See `append`."""
        if not messages:
            return False
        return await self.connection.arun(self._append(messages, token, repeat=repeat))

    def count(self) -> int:
        """Tell how many messages are stored."""
        return self.connection.run(count(self.key))

    async def acount(self) -> int:
        """See `count`."""
        return await self.connection.arun(count(self.key))

    def time_to_live(self) -> float | None:
        """Tell the seconds until the conversation expires; None if it does not, or is not there."""
        return self.connection.run(time_to_live(self.key))

    async def atime_to_live(self) -> float | None:
        """See `time_to_live`."""
        return await self.connection.arun(time_to_live(self.key))

    def clear(self) -> None:
        """Remove all messages and their summary, and the session from its user's index."""
        self.connection.run(clear(self.key, self.entry))

    async def aclear(self) -> None:
        """See `clear`."""
        await self.connection.arun(clear(self.key, self.entry))

    def _card(self) -> Card:
        from langchain_redis_memory.display.conversations import conversation_card  # noqa: PLC0415 - see `Shown`

        return conversation_card(self)

    def _read(self, ids: Sequence[str], *, bounded: bool = False) -> Operation[Reading]:
        return read(self.key, self.limits, self.entry, ids=ids, bounded=bounded)

    def _append(
        self, messages: Sequence[BaseMessage], token: str | None, *, repeat: bool
    ) -> Operation[bool]:
        return append(self.key, messages, self.limits, self.entry, token=token, repeat=repeat)


def append(
    key: str,
    messages: Sequence[BaseMessage],
    limits: Limits,
    entry: SessionEntry | None = None,
    *,
    token: str | None = None,
    repeat: bool = False,
) -> Operation[bool]:
    """Append unless the token is there already, trim, set the expiry, touch the index."""
    if token is not None and not _TOKEN.fullmatch(token):
        raise ConfigurationError("token must be one that a TurnNotSavedError holds")
    if not isinstance(messages, list | tuple):
        raise ConfigurationError(f"pass a list of messages, not {type(messages).__name__}")
    token = token or new_token()
    elements = codec.encode_messages(messages, token)
    ttl = limits.ttl_ms
    settings = (limits.max_messages or 0, int(limits.keeps_system), ttl)
    others = touch(key, ttl, entry)

    def commands(depth: int) -> tuple[Command | ScriptCall, ...]:
        return scripts.APPEND.on(key, depth, *settings, *elements), *others

    return Operation(
        "saving a turn",
        commands(_BY_TOKEN if repeat else _APPENDED_MEANWHILE),
        lambda replies: replies[0] == 1,
        key,
        again=lambda: commands(_BY_TOKEN if repeat else _ANYWHERE),
        absent=lambda: False,
        writes=True,
        messages=len(messages),
    )


def count(key: str) -> Operation[int]:
    """Count the stored messages."""
    return Operation(
        "counting messages",
        (("LLEN", key),),
        lambda replies: int(replies[0]),
        key,
        absent=lambda: 0,
    )


def time_to_live(key: str) -> Operation[float | None]:
    """Ask for the time to live, in seconds."""
    return Operation(
        "asking for the time to live", (("PTTL", key),), _seconds, key, absent=lambda: None
    )


def clear(key: str, entry: SessionEntry | None = None) -> Operation[None]:
    """Remove the list, then its summary, and the session from the index."""
    commands: tuple[Command, ...] = (("UNLINK", key),)
    if entry is not None:
        # First out of the index: who writes meanwhile enters it again, and an entry too many is
        # seen. The summary last: none is written for a list that is gone.
        commands = (("ZREM", entry.key, entry.member), *commands, ("UNLINK", summary_of(key)))
    return Operation("clearing a conversation", commands, lambda _: None, key)


def _seconds(replies: Sequence[Any]) -> float | None:
    return replies[0] / 1000 if replies[0] >= 0 else None
