"""How commands reach Redis from an event loop: a way for each kind of client."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import redis
import redis.asyncio
from redis.client import NEVER_DECODE

from langchain_redis_memory.errors import MemoryClosedError
from langchain_redis_memory.storage.requests import as_bytes, packed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from langchain_redis_memory.storage.lanes import Lane, Outcome
    from langchain_redis_memory.storage.operation import Command
    from langchain_redis_memory.storage.servers import AsyncClient

T = TypeVar("T")

# A client that was passed in may decode replies; ours are bytes for the codec to read.
RAW: dict[str, Any] = {NEVER_DECODE: []}


class Way(Protocol):
    """A way to a server, or to the nodes of a cluster."""

    @property
    def in_doubt(self) -> bool:
        """Whether `ready` has to be awaited before anything is sent."""

    async def ready(self) -> None:
        """Ask a cluster where the slots are, if what is known of it is in doubt.

        Raises:
            MemoryClosedError: The way is closed.
        """

    def doubt(self) -> None:
        """Have a cluster asked again before anything else is sent."""

    def send(self, commands: Sequence[Command], key: str, node: Any) -> Awaitable[Outcome]:
        """Send commands in one trip; the server's errors are among the replies.

        Args:
            commands: They stay together and in order, on each node.
            key: What they are about; see `Lane.send`.
            node: The node to send them to; None for those that own the keys.

        Returns:
            The replies; or why there are none, an exception that others may have got too.

        Raises:
            redis.RedisError: What concerns this caller alone.
            MemoryClosedError: The way is closed.
        """

    async def aclose(self) -> None:
        """Close the connections, if they are ours, when what is under way has ended."""


class SharedWay:
    """To one server, over connections that all callers on the loop share."""

    in_doubt = False

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def ready(self) -> None:
        """See `Way.ready`."""

    def doubt(self) -> None:
        """See `Way.doubt`."""

    def send(self, commands: Sequence[Command], key: str, node: Any) -> Awaitable[Outcome]:
        """See `Way.send`."""
        del node  # there is but one
        return self._lane.send(packed(commands), len(commands), key)

    async def aclose(self) -> None:
        """See `Way.aclose`."""
        await self._lane.aclose()


class Slots:
    """Where the slots of a cluster are, asked once for all callers on the loop.

    Args:
        client: What asks, and keeps the answer.
        hangs_up: Whether it closes its connections after that: one for the slots and one for the
            commands that there are, perhaps to the same node.
    """

    def __init__(self, client: redis.asyncio.RedisCluster, *, hangs_up: bool = False) -> None:
        self._client = client
        self._hangs_up = hangs_up
        self._asking: asyncio.Task[None] | None = None
        self._asked = False
        self.in_doubt = True

    async def ready(self) -> bool:
        """See `Way.ready`; tell whether it was asked."""
        asks = self.in_doubt
        if asks:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.ensure_future(self._ask())
                self._asking.add_done_callback(_looked_at)
            await asyncio.shield(self._asking)  # who began it may leave
        return asks

    def doubt(self) -> None:
        """See `Way.doubt`."""
        self.in_doubt = True

    async def settle(self) -> None:
        """Wait until nobody asks."""
        if self._asking is not None:
            await asyncio.wait([self._asking])

    async def _ask(self) -> None:
        await self._client.initialize()
        if self._asked:
            # redis-py does so when it tries again by itself, which it does not: without this it
            # would look for a primary that died for ever.
            await self._client.nodes_manager.initialize()
        self._asked = True
        self.in_doubt = False
        if self._hangs_up:
            nodes = self._client.nodes_manager
            for node in (*nodes.startup_nodes.values(), *nodes.nodes_cache.values()):
                with suppress(redis.RedisError, OSError):
                    await node.disconnect()


class GivenWay:
    """Through a client that was passed in, by its own pipelines.

    Args:
        client: The client.
        departs: Called for each trip.
    """

    def __init__(self, client: AsyncClient, departs: Callable[[], None]) -> None:
        self._client = client
        self._departs = departs
        self._slots = Slots(client) if isinstance(client, redis.asyncio.RedisCluster) else None
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def in_doubt(self) -> bool:
        """See `Way.in_doubt`."""
        return self._slots is not None and self._slots.in_doubt

    async def ready(self) -> None:
        """See `Way.ready`."""
        if self._closed:
            raise MemoryClosedError
        if self._slots is not None:
            await self._slots.ready()

    def doubt(self) -> None:
        """See `Way.doubt`."""
        if self._slots is not None:
            self._slots.doubt()

    async def send(self, commands: Sequence[Command], key: str, node: Any) -> Outcome:
        """See `Way.send`."""
        del key
        if self._closed:
            raise MemoryClosedError
        self._departs()
        if self._slots is not None:
            # A cluster's client loses the connections of a task that is cancelled (redis-py 6),
            # so the caller may leave, and the request is seen through to its reply.
            return await asyncio.shield(self._begin(self._through(commands, node)))
        before = _cancellations()
        replies = await self._through(commands, node)
        if _cancellations() > before:
            # Until Python 3.12 asyncio.wait_for, which redis-py uses, loses a cancellation that
            # comes together with what it waits for.
            raise asyncio.CancelledError
        return replies

    async def aclose(self) -> None:
        """See `Way.aclose`."""
        self._closed = True
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._slots is not None:
            await self._slots.settle()

    async def _through(self, commands: Sequence[Command], node: Any) -> list[Any]:
        options = RAW if node is None else {**RAW, "target_nodes": node}
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*as_bytes(command), **options)
            try:
                return await pipeline.execute(raise_on_error=False)
            except AttributeError as error:
                # A cluster's client that looks for its nodes anew closes connections under the
                # hands of those who use them.
                raise redis.ConnectionError("the client closed a connection in use") from error

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(_looked_at)
        return task


def _looked_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # the caller may have left


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0
