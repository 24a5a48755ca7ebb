"""What is asked of Redis, as values: a request can be built and tested without a server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from langchain_redis_memory.errors import RedisMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

Argument = bytes | str | int | float
Command = tuple[Argument, ...]
"""A command's name and arguments, as they go over the wire."""


class Standing(tuple[Argument, ...]):  # noqa: SLOT001 - a tuple takes none
    """A command that is sent again and again as it is: how it goes over the wire is kept."""

    wire: bytes | None = None


Page = Sequence[bytes]
"""Some of the keys that a SCAN found."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The nodes that hold keys, and who holds which.

    Args:
        nodes: As `Operation.node` takes them; None alone for a server that is no cluster.
        owners: The same number as long as no slot has moved.
        slots: One of the slots of each node; None for a server that is no cluster.
    """

    nodes: tuple[Any, ...] = field(compare=False)
    owners: int = 0
    slots: tuple[int | None, ...] = field(default=(None,), compare=False)


class NodeGoneError(RedisMemoryError):
    """A node that was to be asked holds no keys any more; never leaves the package."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, named by the SHA-1 digest under which Redis caches it (see `EVALSHA`)."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        # SHA-1 names a script in the protocol of Redis; it protects nothing.
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False)
        object.__setattr__(self, "sha", digest.hexdigest())

    def on(self, key: str | bytes, *arguments: Argument) -> ScriptCall:
        """Call the script on its one key: a cluster runs no script across slots."""
        return ScriptCall(self, (1, key, *arguments))

    def on_all(self, keys: Sequence[str | bytes], *arguments: Argument) -> ScriptCall:
        """Call the script on several keys: of one slot, or where no cluster lies behind them."""
        return ScriptCall(self, (len(keys), *keys, *arguments))


# Not frozen, as `Operation`: every trip makes some, and that takes three times as long.
@dataclass(slots=True)
class ScriptCall:
    """A script and what it is given, which may be sent by digest or in full.

    Args:
        script: Which.
        given: The number of its keys, its keys, its arguments.
    """

    script: Script
    given: Command = field(repr=False)  # people's words

    def by_digest(self) -> Command:
        """Give the short form, which a server that has the script cached understands."""
        return ("EVALSHA", self.script.sha, *self.given)

    def in_full(self) -> Command:
        """Give the form that any server understands, and that makes it cache the script."""
        return ("EVAL", self.script.source, *self.given)


class StandingCall(ScriptCall):
    """A call that is made again and again as it is; see `Standing`."""

    __slots__ = ("_digest",)

    def __init__(self, call: ScriptCall) -> None:
        super().__init__(call.script, call.given)
        self._digest = Standing(call.by_digest())

    def by_digest(self) -> Command:
        """Give the short form, always the same."""
        return self._digest


@dataclass(slots=True)
class Operation(Generic[T]):
    """Commands for one round trip, and how to read what comes back.

    Args:
        name: What the operation does, for logs and errors: ``"append"``.
        commands: What is sent, in order, in one pipeline. Sending all of it again must do no
            harm: whoever sends it may do so when a connection broke.
        read: Makes the result of the replies, one a command, with strings as bytes.
        key: The key it is about, for errors.
        again: Gives what is sent instead when the outcome of an attempt is not known: as many
            commands.
        absent: Gives the result without Redis, for who goes on without memory. None where that
            would be a lie: what was to be removed is still there.
        writes: Whether going without it drops what was to be stored.
        messages: How many messages it stores, if it stores messages.
    """

    name: str
    commands: tuple[Command | ScriptCall, ...] = field(repr=False)  # people's words
    read: Callable[[Sequence[Any]], T]
    key: str = ""
    again: Callable[[], tuple[Command | ScriptCall, ...]] | None = None
    absent: Callable[[], T] | None = None
    writes: bool = False
    messages: int = 0
    node: Any = None
    """Which node of a cluster, as the executor names it; None for the one that owns the keys."""
    parts: tuple[Operation[Any], ...] = ()
    """What it was made of by `combined`."""
    takes_refusals: bool = False
    """Whether what the server refuses is a reply like others: a `StorageRejected`."""
    read_again: Callable[[Sequence[Any]], T] | None = None
    """How the replies to `again` are read, if not as the others."""

    def part(self, position: int) -> Operation[Any]:
        """Give the part that a command belongs to, for errors."""
        for part in self.parts:
            if position < len(part.commands):
                return part
            position -= len(part.commands)
        return self

    def repeated(self) -> Operation[T]:
        """Give what to send at each attempt but the first."""
        if self.again is None:
            return self
        return replace(self, commands=self.again(), read=self.read_again or self.read)


def combined(result: Callable[..., T], *operations: Operation[Any]) -> Operation[T]:
    """Make one operation of several: their commands travel together, in one round trip.

    Args:
        result: Makes the result of theirs, which it is given in their order.
        operations: At least one; none of them for a certain node.
    """
    absents = [part.absent for part in operations if part.absent is not None]

    def read(replies: Sequence[Any]) -> T:
        rest = iter(replies)
        return result(*(part.read(list(islice(rest, len(part.commands)))) for part in operations))

    return Operation(
        " and ".join(dict.fromkeys(part.name for part in operations)),
        tuple(command for part in operations for command in part.commands),
        read,
        operations[0].key,
        again=lambda: tuple(
            command
            for part in operations
            for command in (part.commands if part.again is None else part.again())
        ),
        absent=(
            (lambda: result(*(absent() for absent in absents)))
            if len(absents) == len(operations)
            else None
        ),
        writes=any(part.writes for part in operations),
        parts=operations,
    )
