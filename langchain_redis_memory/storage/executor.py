"""The only place that sends commands, and the table of what redis-py's errors mean."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis import exceptions as redis_errors
from redis.client import NEVER_DECODE

from langchain_redis_memory.errors import (
    MemoryClosedError,
    RedisMemoryError,
    StorageRejected,
    StorageUnavailable,
)
from langchain_redis_memory.storage.operation import Command, Operation, ScriptCall
from langchain_redis_memory.storage.retry import patience

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence

    from langchain_redis_memory.storage.servers import Client, Server

T = TypeVar("T")

# A client that was passed in may decode replies; ours are bytes for the codec to read.
_RAW: dict[str, Any] = {NEVER_DECODE: []}


class RoundTrips:
    """Counts the requests that were sent, from any thread."""

    def __init__(self, count: int = 0) -> None:
        self._lock = threading.Lock()
        self.count = count

    def add(self) -> None:
        """Count one request, which may hold several commands."""
        with self._lock:
            self.count += 1


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
        self._turnstile = threading.Semaphore(server.limit) if server.limit else None

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
            for sentinel in _sentinels(self._client):
                sentinel.close()

    def attempt(self, operation: Operation[T]) -> T:
        """Send the operation once and read its result.

        Raises:
            StorageUnavailable: It may succeed when tried again; it may have been applied.
            StorageRejected: The server refused it.
        """
        try:
            return self._attempt(operation)
        except StorageUnavailable:
            self._asks_for_slots = isinstance(self._client, redis.RedisCluster)
            raise

    def _attempt(self, operation: Operation[T]) -> T:
        try:
            if self._asks_for_slots:
                self._ask_for_slots()
            replies = self._send(_by_digest(operation), operation.node)
            if missing := _unknown_scripts(replies):
                again = self._send([_in_full(operation, i) for i in missing])
                _replace(replies, missing, again)
        except (*_ERRORS, OSError) as error:
            raise translate(error, operation, self._server.address) from error
        if _is_demoted(replies) and self._server.owns_clients:
            self._leave_demoted_server()
        return operation.read(_checked(replies, operation, self._server.address))

    def _ask_for_slots(self) -> None:
        # redis-py asks a cluster which node has which keys when it tries again by itself, which it
        # does not: without this it would look for a primary that died for ever.
        cast("redis.RedisCluster", self.client).nodes_manager.initialize()
        self._asks_for_slots = False

    def nodes(self) -> list[Any]:
        """Name the nodes that hold keys, for operations on each of them."""
        try:
            if isinstance(self.client, redis.RedisCluster):
                return list(self.client.get_primaries())
        except (*_ERRORS, OSError) as error:
            raise translate(error, _FINDING_NODES, self._server.address) from error
        return [None]

    def _send(self, commands: Sequence[Command], node: Any = None) -> list[Any]:
        self._trips.add()
        client = self.client
        with _held(self._turnstile), client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command, **_RAW, **self._route(command, node))
            return pipeline.execute(raise_on_error=False)

    def _route(self, command: Command, node: Any) -> dict[str, Any]:
        if node is None and isinstance(self.client, redis.RedisCluster) and len(command) > 1:
            # Left to itself, redis-py asks a node for a script's key before every call, and fails
            # when that node is away, whether it is needed or not.
            key = command[3 if command[0] in ("EVAL", "EVALSHA") else 1]
            node = self.client.get_node_from_key(key)
        return {} if node is None else {"target_nodes": node}

    def _leave_demoted_server(self) -> None:
        # The name leads to the new primary, but connections that are open lead to the old one.
        if isinstance(self.client, redis.Redis):
            self.client.connection_pool.disconnect(inuse_connections=False)


class AsyncExecutor:
    """The same for a `redis.asyncio` client, on the event loop that the client belongs to."""

    def __init__(self, server: Server, trips: RoundTrips) -> None:
        self._server = server
        self._trips = trips
        self.client = server.async_client()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._asks_for_slots = False
        # Clients that were passed in have pools of their own to limit them.
        self._turnstile = asyncio.Semaphore(server.limit or sys.maxsize)

    async def aclose(self) -> None:
        """Close the client, if it is ours, when the requests that are under way have ended."""
        self._closed = True
        if self._server.limit:
            for _ in range(self._server.limit):
                await self._turnstile.acquire()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._server.owns_clients:
            await self.client.aclose()
            for sentinel in _sentinels(self.client):
                await sentinel.aclose()

    async def attempt(self, operation: Operation[T]) -> T:
        """See `Executor.attempt`."""
        try:
            return await self._attempt(operation)
        except StorageUnavailable:
            self._asks_for_slots = isinstance(self.client, redis.asyncio.RedisCluster)
            raise

    async def _attempt(self, operation: Operation[T]) -> T:
        try:
            if self._asks_for_slots:
                await self._ask_for_slots()
            replies = await self._send(_by_digest(operation), operation.node)
            if missing := _unknown_scripts(replies):
                again = await self._send([_in_full(operation, i) for i in missing])
                _replace(replies, missing, again)
        except (*_ERRORS, OSError) as error:
            raise translate(error, operation, self._server.address) from error
        if _is_demoted(replies) and self._server.owns_clients:
            await self._leave_demoted_server()
        return operation.read(_checked(replies, operation, self._server.address))

    async def _ask_for_slots(self) -> None:
        cluster = cast("redis.asyncio.RedisCluster", self.client)
        # As with requests, the caller may leave.
        await self._shielded(cluster.nodes_manager.initialize())
        self._asks_for_slots = False

    async def nodes(self) -> list[Any]:
        """See `Executor.nodes`."""
        try:
            if isinstance(self.client, redis.asyncio.RedisCluster):
                await self.client.initialize()
                return list(self.client.get_primaries())
        except (*_ERRORS, OSError) as error:
            raise translate(error, _FINDING_NODES, self._server.address) from error
        return [None]

    async def _send(self, commands: Sequence[Command], node: Any = None) -> list[Any]:
        if not isinstance(self.client, redis.asyncio.RedisCluster):
            return await self._send_through(commands, node)
        # A cluster's client loses the connections of a task that is cancelled (redis-py 6), so
        # the caller may leave, and the request is seen through to its reply.
        return await self._shielded(self._send_through(commands, node))

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._settle)
        return await asyncio.shield(task)

    def _settle(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, since the caller may have left

    async def _send_through(self, commands: Sequence[Command], node: Any) -> list[Any]:
        options = _RAW if node is None else {**_RAW, "target_nodes": node}
        async with self._turnstile:
            if self._closed:
                raise MemoryClosedError
            self._trips.add()
            async with self.client.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command, **options)
                return await pipeline.execute(raise_on_error=False)

    async def _leave_demoted_server(self) -> None:
        if isinstance(self.client, redis.asyncio.Redis):
            await self.client.connection_pool.disconnect(inuse_connections=False)


_FINDING_NODES: Operation[None] = Operation("finding the nodes", (), lambda _: None)
_NO_PRIMARY = (redis.sentinel.MasterNotFoundError, redis.asyncio.sentinel.MasterNotFoundError)
_REASON = re.compile(r"\b(?:Authentication|Connection|Timeout)Error\b|\bCERTIFICATE_\w+")
_ERRORS = (redis_errors.RedisError, redis_errors.RedisClusterException)


@contextmanager
def _held(lock: threading.Lock | threading.Semaphore | None) -> Iterator[None]:
    """Hold a lock, if there is one, and give up when the thread's operation must."""
    if lock is None:
        yield
        return
    if not lock.acquire(timeout=patience()):
        raise redis_errors.TimeoutError("too many others wait")
    try:
        yield
    finally:
        lock.release()


def _sentinels(client: Any) -> list[Any]:
    """Give the clients of the sentinels, which redis-py leaves open with the primary's."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return manager.sentinels if manager else []


def _by_digest(operation: Operation[Any]) -> list[Command]:
    return [
        _as_bytes(command.by_digest() if isinstance(command, ScriptCall) else command)
        for command in operation.commands
    ]


def _in_full(operation: Operation[Any], position: int) -> Command:
    command = operation.commands[position]
    return _as_bytes(command.in_full() if isinstance(command, ScriptCall) else command)


def _as_bytes(command: Command) -> Command:
    # A client that was passed in may be set to another encoding.
    name, *arguments = command
    return (name, *(part.encode() if isinstance(part, str) else part for part in arguments))


def _unknown_scripts(replies: Sequence[Any]) -> list[int]:
    return [i for i, reply in enumerate(replies) if isinstance(reply, redis_errors.NoScriptError)]


def _replace(replies: list[Any], positions: Sequence[int], later: Sequence[Any]) -> None:
    for position, reply in zip(positions, later, strict=True):
        replies[position] = reply


# A primary that was replaced is a replica now, or one that lost its replica, until it is told.
_DEMOTED = re.compile("READONLY|NOREPLICAS", re.IGNORECASE)


def _is_demoted(replies: Sequence[Any]) -> bool:
    return any(
        isinstance(reply, redis_errors.ResponseError) and _DEMOTED.search(f"{reply!r}{reply}")
        for reply in replies
    )


def _checked(replies: list[Any], operation: Operation[Any], address: str) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise translate(reply, operation, address) from reply
    return replies


# What a server says, by the first word of its reply: https://redis.io/docs/latest/develop/reference/
# protocol-spec/#simple-errors. Servers before 7.0 quote it inside "Error running script".
_CODE = re.compile(
    r"\b(WRONGPASS|NOAUTH|NOPERM|WRONGTYPE|OOM|MISCONF|LOADING|READONLY|MASTERDOWN|TRYAGAIN"
    r"|CLUSTERDOWN|NOREPLICAS|BUSY)\b"
)
_AUTH = "the server refused the user name or password; check them in the URL or the settings"
_SENTINELS_AUTH = (
    "the sentinels refused the user name or password; check sentinel_username and "
    "sentinel_password in the URL or the settings"
)
_PERMISSION = (
    "this Redis user lacks a permission ({text}); docs/architecture.md lists the commands to allow"
)
_FULL = "the server's memory is full; raise its maxmemory or remove data"
_REJECTED: dict[str, str] = {
    "WRONGPASS": _AUTH,
    "NOAUTH": _AUTH,
    "NOPERM": _PERMISSION,
    "OOM": _FULL,
    "WRONGTYPE": (
        "the key {key!r} holds another type of data; look at it with TYPE, then remove it with "
        "UNLINK if it is not needed, or use another id or namespace"
    ),
    "MISCONF": "the server cannot persist its data and takes no writes; look at its log and disk",
}
_REJECTED_CLASSES: dict[type[Exception], str] = {
    redis_errors.AuthenticationError: _AUTH,
    redis_errors.AuthenticationWrongNumberOfArgsError: _AUTH,
    redis_errors.AuthorizationError: _PERMISSION,
    redis_errors.NoPermissionError: _PERMISSION,
    redis_errors.OutOfMemoryError: _FULL,
}
_AWAY_CLASSES = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterError,
    redis_errors.AskError,
    redis_errors.TryAgainError,
    redis_errors.RedisClusterException,
    OSError,
)


def translate(error: Exception, operation: Operation[Any], address: str) -> RedisMemoryError:
    """Make our error of redis-py's: what happened, where, and what to do."""
    _forget_secrets(error)
    text = " ".join(str(error).split())
    what = f"{operation.name} on Redis at {address} failed"
    # redis.asyncio wraps what happens while it connects in a ConnectionError of its own.
    causes = list(_causes(error))
    if any(map(_is_untrusted, causes)):
        return StorageRejected(
            f"{what}: a certificate was refused ({text}); check ssl_ca_certs, the host name, the "
            "certificate's dates, and ssl_certfile if the server asks for the client's"
        )
    if isinstance(error, _NO_PRIMARY) and text.endswith("(AuthenticationError)"):
        return StorageRejected(f"{what}: {_SENTINELS_AUTH}")
    for kind, advice in _REJECTED_CLASSES.items():
        if any(isinstance(cause, kind) for cause in causes):
            return StorageRejected(f"{what}: {advice.format(text=text)}")
    code = found[0] if (found := _CODE.search(text)) else ""
    if code in _REJECTED:
        return StorageRejected(f"{what}: {_REJECTED[code].format(text=text, key=operation.key)}")
    if code or isinstance(error, _AWAY_CLASSES):
        return StorageUnavailable(f"{what}: {text or type(error).__name__}")
    return StorageRejected(f"{what}: {text or type(error).__name__}")


def _forget_secrets(error: BaseException) -> None:
    if error.args and isinstance(error.args[0], str):
        # "unknown command 'X', with args beginning with: ..." quotes what was sent: message texts.
        text = error.args[0].partition(", with args beginning with")[0]
        if isinstance(error, _NO_PRIMARY):
            # What follows shows the sentinels' clients, before redis-py 8 with their passwords.
            text, _, details = text.partition(" : ")
            reasons = sorted(set(_REASON.findall(details)))
            text += f" ({', '.join(reasons)})" if reasons else ""
        error.args = (text, *error.args[1:])


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_untrusted(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_" in str(error)
