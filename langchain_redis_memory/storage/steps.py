"""Work of several round trips, written once for threads and for event loops.

Such work is a generator, which yields the operations that it needs and is sent their results::

    def total(keys: Sequence[str]) -> Steps[int]:
        found = 0
        for key in keys:
            found += yield count(key)
        return found

`follow` runs one to its end and gives what it returns; what goes wrong is raised within it.
`stream` also hands out the items that it yields on the way. Both have a twin for `await`.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from langchain_redis_memory.errors import RedisMemoryError, StorageUnavailable
from langchain_redis_memory.storage.operation import NodeGoneError, Operation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.storage.operation import Command, Page

T = TypeVar("T")

Steps = Generator[Any, Any, T]
"""Yields operations, `Nodes`, `Pause`, `Call` and `Item`; returns the result of the whole."""

# Measured at a million keys: 5.9 s with SCAN's default of 10, 0.5 s with 1,000.
_PAGE = 1000

_PASSES = 10


class Nodes:
    """A step that gives the `Layout`: the nodes that hold keys, for operations on each of them."""


class Sentinels:
    """A step that gives the `Word` of each sentinel, if there are some."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A step that waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """A step that calls a function of the caller's, which on an event loop may be asynchronous."""

    function: Callable[[Any], Any]
    argument: Any


@dataclass(frozen=True, slots=True)
class Item:
    """A step that hands something to whoever streams."""

    value: Any


def each_page(
    pattern: str | bytes, work: Callable[[Page], Steps[None]], kind: str | None = None
) -> Steps[None]:
    """Do some work on the keys that match, page by page; one may come twice, as SCAN allows.

    A cluster is asked again at the end who holds what. Where a primary was replaced or slots have
    moved meanwhile, keys may have slipped by, and all is gone through once more.

    Args:
        pattern: Which keys.
        work: Gives the steps for a page of them.
        kind: Which Redis type they must have, such as ``"list"``; None for any.

    Raises:
        StorageUnavailable: The nodes changed again and again.
    """
    layout = yield Nodes()
    for _ in range(_PASSES):
        is_whole = False
        with suppress(NodeGoneError):
            for node in layout.nodes:
                yield from _each_page_of(node, pattern, work, kind)
            is_whole = True
        before, layout = layout, (yield Nodes())
        if is_whole and layout == before:
            return
    raise StorageUnavailable("listing keys failed: the cluster's slots kept moving; try again")


def _each_page_of(
    node: Any, pattern: str | bytes, work: Callable[[Page], Steps[None]], kind: str | None
) -> Steps[None]:
    cursor = 0
    while True:
        cursor, page = yield scan(pattern, cursor, node, kind)
        yield from work(page)
        if not cursor:
            return


class Seen:
    """The keys that SCAN has named, to tell when it names one again: about 100 bytes for each."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def __contains__(self, key: bytes) -> bool:
        return _digest(key) in self._digests

    def is_new(self, key: bytes) -> bool:
        """Tell whether the key was not asked for before."""
        before = len(self._digests)
        self._digests.add(_digest(key))
        return len(self._digests) > before


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=16).digest()


def scan(
    pattern: str | bytes, cursor: int, node: Any, kind: str | None = None
) -> Operation[tuple[int, Page]]:
    """Ask one node for the next page of the keys that match."""
    of_kind: Command = () if kind is None else ("TYPE", kind)

    def command(position: int) -> tuple[Command]:
        return (("SCAN", position, "MATCH", pattern, "COUNT", _PAGE, *of_kind),)

    return Operation(
        "listing keys",
        command(cursor),
        lambda replies: (int(replies[0][0]), replies[0][1]),
        # A cursor means nothing to the server that took over after a failover: it would pass over
        # keys. What is seen twice does no harm.
        again=lambda: command(0),
        node=node,
    )


def follow(connection: Connection, steps: Steps[T]) -> T:
    """Follow the steps to their end, and give what they return."""
    go_on, answer = steps.send, None
    while True:
        try:
            step = go_on(answer)
        except StopIteration as end:
            return cast("T", end.value)
        go_on, answer = _answered(connection, steps, step)


async def afollow(connection: Connection, steps: Steps[T]) -> T:
    """See `follow`."""
    go_on: Callable[[Any], Any] = steps.send
    answer: Any = None
    while True:
        try:
            step = go_on(answer)
        except StopIteration as end:
            return cast("T", end.value)
        try:
            # Most steps are of this kind, and each coroutine on the way costs something.
            is_sent = type(step) is Operation
            answer = await (connection.arun(step) if is_sent else _atake(connection, step))
            go_on = steps.send
        except RedisMemoryError as error:
            go_on, answer = steps.throw, error


def stream(connection: Connection, steps: Steps[Any]) -> Iterator[Any]:
    """Follow the steps, and give the items among them."""
    go_on, answer = steps.send, None
    while True:
        try:
            step = go_on(answer)
        except StopIteration:
            return
        if isinstance(step, Item):
            yield step.value
        go_on, answer = _answered(connection, steps, step)


async def astream(connection: Connection, steps: Steps[Any]) -> AsyncIterator[Any]:
    """See `stream`."""
    go_on, answer = steps.send, None
    while True:
        try:
            step = go_on(answer)
        except StopIteration:
            return
        if isinstance(step, Item):
            yield step.value
        go_on, answer = await _aanswered(connection, steps, step)


def _answered(connection: Connection, steps: Steps[Any], step: Any) -> tuple[Any, Any]:
    """Take a step, and tell how the others go on: with its result, or with its error."""
    try:
        return steps.send, _take(connection, step)
    except RedisMemoryError as error:
        return steps.throw, error


async def _aanswered(connection: Connection, steps: Steps[Any], step: Any) -> tuple[Any, Any]:
    try:
        return steps.send, await _atake(connection, step)
    except RedisMemoryError as error:
        return steps.throw, error


def _take(connection: Connection, step: Any) -> Any:
    match step:
        case Operation():
            return connection.run(step)
        case Nodes():
            return connection.nodes()
        case Sentinels():
            return connection.sentinels()
        case Pause(seconds):
            return time.sleep(seconds)
        case Call(function, argument):
            return function(argument)
    return None


async def _atake(connection: Connection, step: Any) -> Any:
    match step:
        case Operation():
            return await connection.arun(step)
        case Nodes():
            return await connection.anodes()
        case Sentinels():
            return await connection.asentinels()
        case Pause(seconds):
            return await asyncio.sleep(seconds)
        case Call(function, argument):
            result = function(argument)
            return await result if inspect.isawaitable(result) else result
    return None
