"""The only place that sends commands."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import redis
import redis.asyncio
from redis import exceptions as redis_errors

from langchain_redis_memory.errors import StorageUnavailable
from langchain_redis_memory.storage.cluster_way import ClusterWay
from langchain_redis_memory.storage.failures import FAILURES, says_demoted, translate
from langchain_redis_memory.storage.lanes import Lane
from langchain_redis_memory.storage.operation import Command, Layout, Operation
from langchain_redis_memory.storage.requests import (
    as_bytes,
    by_digest,
    checked,
    has_errors,
    in_full,
    key_of,
    layout_of,
    packed,
    refuse_if_gone,
    replace,
    unknown_scripts,
)
from langchain_redis_memory.storage.retry import patience
from langchain_redis_memory.storage.sentinels import Word, aask, ask, sentinels_of
from langchain_redis_memory.storage.turnstile import Turnstile
from langchain_redis_memory.storage.ways import RAW, GivenWay, SharedWay
from langchain_redis_memory.telemetry.switch import signals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_redis_memory.storage.async_pools import AsyncPool
    from langchain_redis_memory.storage.cluster_way import Nodes
    from langchain_redis_memory.storage.servers import Client, Server
    from langchain_redis_memory.storage.ways import Way

T = TypeVar("T")


class RoundTrips:
    """Counts the requests that were sent, from any thread.

    Args:
        address: Where to.
        count: How many there were before.
    """

    def __init__(self, address: str = "", count: int = 0) -> None:
        self._lock = threading.Lock()
        self._address = address
        self.count = count

    def add(self) -> None:
        """Count one request, which may hold several commands, also of several callers."""
        with self._lock:
            self.count += 1
        if on := signals():
            on.trip(self._address)


class Executor:
    """Sends operations through a redis-py client, one attempt each."""

    def __init__(self, server: Server, trips: RoundTrips) -> None:
        self._server = server
        self._trips = trips
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._asks_for_slots = False
        # A cluster's pipeline waits for one pool while it holds a connection of another, so two
        # of them could wait for each other: no more may be under way than each pool serves.
        self._turnstile = Turnstile(server.limit) if server.limit else None

    @property
    def client(self) -> Client:
        """The client, made when it is first used."""
        if self._client is None:
            # A cluster's client connects when it is made, which may take as long as an operation.
            with _held(self._lock):
                if self._client is None:
                    self._client = self._server.client()
        return self._client

    def close(self) -> None:
        """Close the client, if it is ours."""
        if self._client is not None and self._server.owns_clients:
            self._client.close()
            if isinstance(self._client, redis.RedisCluster):
                self._client.disconnect_connection_pools()  # it leaves open pools of our kind
            for sentinel in sentinels_of(self._client):
                sentinel.close()

    def attempt(self, operation: Operation[T]) -> T:
        """Send the operation once and read its result.

        Raises:
            StorageUnavailable: It may succeed when tried again; it may have been applied.
            StorageRejected: The server refused it.
        """
        try:
            try:
                if self._asks_for_slots:
                    self._ask_for_slots()
                if operation.node is not None:
                    refuse_if_gone(operation.node, self.client)
                replies = self._send(by_digest(operation), operation.node)
                if (failed := has_errors(replies)) and (missing := unknown_scripts(replies)):
                    again = self._send([in_full(operation, i) for i in missing])
                    replace(replies, missing, again)
                    failed = has_errors(replies)
            except FAILURES as error:
                raise translate(error, operation, self._server.address) from error
            if failed:
                if says_demoted(replies) and self._server.owns_clients:
                    self._leave_demoted_server()
                replies = checked(replies, operation, self._server.address)
            return operation.read(replies)
        except StorageUnavailable:
            self._asks_for_slots = isinstance(self._client, redis.RedisCluster)
            raise

    def _ask_for_slots(self) -> None:
        # redis-py asks a cluster which node has which keys when it tries again by itself, which it
        # does not: without this it would look for a primary that died for ever. One thread asks
        # for all: before redis-py 7, two at once get in each other's way.
        client = cast("redis.RedisCluster", self.client)
        with _held(self._lock):
            if self._asks_for_slots:
                client.nodes_manager.initialize()
                self._asks_for_slots = False

    def nodes(self) -> Layout:
        """Name the nodes that hold keys, for operations on each of them; a cluster is asked."""
        try:
            if isinstance(self.client, redis.RedisCluster):
                self._asks_for_slots = True
                self._ask_for_slots()
        except FAILURES as error:
            raise translate(error, _FINDING_NODES, self._server.address) from error
        return layout_of(self.client)

    def sentinels(self) -> list[Word]:
        """Ask the sentinels, if there are some, for their word on the primary."""
        return ask(self.client)

    def _send(self, commands: Sequence[Command], node: Any = None) -> list[Any]:
        self._trips.add()
        if self._turnstile is None:
            return self._carry(commands, node)
        if not self._turnstile.acquire(patience):
            raise redis_errors.TimeoutError(_TOO_MANY)
        try:
            return self._carry(commands, node)
        finally:
            self._turnstile.release()

    def _carry(self, commands: Sequence[Command], node: Any) -> list[Any]:
        client = self.client
        if self._server.owns_clients and isinstance(client, redis.Redis):
            pool: Any = client.connection_pool
            replies: list[Any] = pool.exchange(packed(commands), len(commands))
            return replies
        with client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*as_bytes(command), **RAW, **self._route(command, node))
            return pipeline.execute(raise_on_error=False)

    def _route(self, command: Command, node: Any) -> dict[str, Any]:
        if node is None and isinstance(self.client, redis.RedisCluster) and len(command) > 1:
            # Left to itself, redis-py asks a node for a script's key before every call, and fails
            # when that node is away, whether it is needed or not.
            node = self.client.get_node_from_key(key_of(command))
        return {} if node is None else {"target_nodes": node}

    def _leave_demoted_server(self) -> None:
        # The name leads to the new primary, but connections that are open lead to the old one.
        if isinstance(self.client, redis.Redis):
            self.client.connection_pool.disconnect(inuse_connections=False)


class AsyncExecutor:
    """The same for a `redis.asyncio` client, on the event loop that the client belongs to.

    Args:
        server: Where to.
        trips: Counts them.
        patience: Seconds that no trip may exceed.
    """

    def __init__(self, server: Server, trips: RoundTrips, patience: float) -> None:
        self._server = server
        self.client = server.async_client()
        self._way = self._choose_way(trips, patience)

    def _choose_way(self, trips: RoundTrips, patience: float) -> Way:
        if not self._server.owns_clients:
            return GivenWay(self.client, trips.add)
        if isinstance(self.client, redis.asyncio.RedisCluster):
            return ClusterWay(cast("Nodes", self._server), self.client, trips.add, patience)
        limit = self._server.limit or 1
        return SharedWay(Lane(self.client.connection_pool, limit, patience, trips.add))

    async def aclose(self) -> None:
        """Close the client, if it is ours, when the requests that are under way have ended."""
        await self._way.aclose()
        if self._server.owns_clients:
            await self.client.aclose()
            for sentinel in sentinels_of(self.client):
                await sentinel.aclose()

    async def attempt(self, operation: Operation[T]) -> T:
        """See `Executor.attempt`."""
        try:
            try:
                if self._way.in_doubt:
                    await self._way.ready()
                if operation.node is not None:
                    refuse_if_gone(operation.node, self.client)
                replies = await self._send(by_digest(operation), operation)
                if (failed := has_errors(replies)) and (missing := unknown_scripts(replies)):
                    again = await self._send([in_full(operation, i) for i in missing], operation)
                    replace(replies, missing, again)
                    failed = has_errors(replies)
            except FAILURES as error:
                raise translate(error, operation, self._server.address) from error
            if failed:
                if says_demoted(replies) and self._server.owns_clients:
                    self._leave_demoted_server()
                replies = checked(replies, operation, self._server.address)
            return operation.read(replies)
        except StorageUnavailable:
            self._way.doubt()
            raise

    async def _send(self, commands: Sequence[Command], operation: Operation[Any]) -> list[Any]:
        outcome = await self._way.send(commands, operation.key, operation.node)
        if not isinstance(outcome, Exception):
            return outcome
        if isinstance(outcome, FAILURES):
            # Others got it too, and to raise it would add to it; so each gets one of its own.
            raise translate(outcome, operation, self._server.address) from outcome
        raise outcome

    async def nodes(self) -> Layout:
        """See `Executor.nodes`."""
        self._way.doubt()
        try:
            await self._way.ready()
        except FAILURES as error:
            raise translate(error, _FINDING_NODES, self._server.address) from error
        return layout_of(self.client)

    async def sentinels(self) -> list[Word]:
        """See `Executor.sentinels`."""
        return await aask(self.client)

    def _leave_demoted_server(self) -> None:
        if isinstance(self.client, redis.asyncio.Redis):
            cast("AsyncPool", self.client.connection_pool).leave()


_FINDING_NODES: Operation[None] = Operation("finding the nodes", (), lambda _: None)


_TOO_MANY = "too many others wait"


@contextmanager
def _held(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock, and give up when the thread's operation must."""
    if not lock.acquire(timeout=patience()):
        raise redis_errors.TimeoutError(_TOO_MANY)
    try:
        yield
    finally:
        lock.release()
