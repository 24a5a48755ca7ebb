"""What can go wrong, as one tree.

::

    RedisMemoryError
    ├── ConfigurationError       a wrong id, option or URL; also a ValueError
    ├── UnstorableError          a value that JSON cannot hold; also a ValueError
    ├── StorageUnavailable       no server, no answer in time, a failover that does not end
    ├── StorageRejected          the server said no: password, permission, memory, wrong type
    ├── CorruptedDataError       what is in Redis is not what was stored there
    ├── ImportConflictError      what is to be restored differs from what is there
    ├── TurnNotSavedError        the agent answered, and the turn could not be stored
    ├── CachedError              a cached call failed before, and that was to be kept
    └── MemoryClosedError        used after close()

No message of an error holds a password, a URL with one, or the text of a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage


class RedisMemoryError(Exception):
    """The root of every error that this package raises by itself."""


class ConfigurationError(RedisMemoryError, ValueError):
    """An id, an option or a URL that cannot be used; nothing was sent to Redis."""


class UnstorableError(RedisMemoryError, ValueError):
    """A value that cannot be stored exactly; nothing of what it belongs to was written.

    Attributes:
        field: Where the value stands, such as ``messages[2].artifact['rows'][0]``.
        reason: Why it cannot be stored.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} cannot be stored: {reason}")
        self.field = field
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.field, self.reason)


class StorageUnavailable(RedisMemoryError):  # noqa: N818 - the name says the state, as in redis-py
    """Redis could not be reached, or gave no usable answer before the deadline."""


class StorageRejected(RedisMemoryError):  # noqa: N818 - the counterpart of StorageUnavailable
    """Redis answered, and refused; trying again would not help.

    Attributes:
        code: What the server calls the reason, such as ``NOPERM`` or ``WRONGTYPE``; empty if it
            gave no name to it, or it was not the server who refused.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code)


class CorruptedDataError(RedisMemoryError):
    """What stands in Redis cannot be read as what belongs there.

    Attributes:
        key: The Redis key of the conversation or the value.
        position: The index of a conversation's element in the Redis list, as ``LINDEX`` takes it
            (0 is the newest); None for a value.
        reason: What is wrong with it.
    """

    def __init__(self, key: str, position: int | None, reason: str) -> None:
        super().__init__(
            f"element {position} of {key!r} is not a stored message ({reason}); look at it with "
            f"LINDEX {key!r} {position}, then repair it with LSET or clear the conversation"
            if position is not None
            else f"the value of {key!r} is damaged ({reason}); look at it with GET {key!r}, then "
            "repair it with SET or remove it with UNLINK"
        )
        self.key = key
        self.position = position
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.position, self.reason)


class ImportConflictError(RedisMemoryError):
    """What was to be restored or adopted differs from what is there, which was left as it is.

    Attributes:
        key: The Redis key of the conversation or the profile.
    """

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key!r} holds something else than what is to be stored there, and was left as it "
            "is; on_conflict='skip' leaves all such ones, 'replace' puts the new in their place"
        )
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key,)


class TurnNotSavedError(RedisMemoryError):
    """The agent has answered, but the turn could not be stored; nothing of it is lost.

    The write may have reached Redis before its acknowledgement was lost. ``token`` makes it safe
    to store the turn once more: ``history.add_messages(error.messages, token=error.token)``
    adds nothing if it is there already.

    Attributes:
        reply: What the runnable returned; for a stream, its pieces joined.
        messages: The messages of the turn that were to be stored, oldest first.
        token: The append's token, or `None` when the turn could not even be put into messages.
    """

    def __init__(
        self,
        reason: str,
        reply: Any = None,
        messages: Sequence[BaseMessage] = (),
        token: str | None = None,
    ) -> None:
        super().__init__(
            f"the turn was answered but not saved: {reason} (the reply is in .reply, what was to "
            "be stored in .messages)"
        )
        self.reason = reason
        self.reply = reply
        self.messages = list(messages)
        self.token = token

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.reply, self.messages, self.token)


class CachedError(RedisMemoryError):
    """A cached call failed before, and the cache was asked to keep errors of its class.

    What is raised is of the class that was asked for, too, so that the same ``except`` finds it;
    of its attributes only the message was kept.

    Attributes:
        name: The class of the first error, with its module.
        message: What it said.
    """

    def __init__(self, name: str, message: str) -> None:
        Exception.__init__(self, message)  # not that of a class that is mixed in
        self.name = name
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedError, (self.name, self.message)


class MemoryClosedError(RedisMemoryError):
    """The memory was used after ``close()`` or ``aclose()``."""

    def __init__(self) -> None:
        super().__init__("this memory is closed; make a new one")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()
