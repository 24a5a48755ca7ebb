"""redis-py's connections and pools, with what we need of them and they do not do."""

from __future__ import annotations

import math
import queue
import ssl
import time
from collections import deque
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import redis
import redis.sentinel
from redis._parsers import _HiredisParser
from redis._parsers.hiredis import NOT_ENOUGH_DATA

from langchain_redis_memory.storage.readable import readable
from langchain_redis_memory.storage.retry import patience

if TYPE_CHECKING:
    from collections.abc import Callable


class _InTime:
    """A connection of threads that waits for nothing its operation has no time left for."""

    # Of redis-py's connection.
    protocol: int | str
    health_check_interval: float
    next_health_check: float
    disconnect: Callable[[], None]
    _sock: Any
    _parser: Any
    _watched: Any = None
    _readable: Callable[[], bool]

    def connect(self) -> Any:
        if not patience():
            raise redis.TimeoutError("no time was left to connect")
        return super().connect()  # type: ignore[misc]  # of redis-py's connection

    def can_read(self, *args: Any, **options: Any) -> Any:
        try:
            return super().can_read(*args, **options)  # type: ignore[misc]  # as above
        except _GONE as error:
            raise redis.ConnectionError(_CLOSED) from error

    def send_packed_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().send_packed_command(*args, **options)  # type: ignore[misc]  # as above
        except AttributeError as error:
            raise redis.ConnectionError(_CLOSED) from error

    def is_ready(self) -> bool:
        """Tell whether it is connected, and nothing comes unasked for, such as the end."""
        try:
            if type(self._parser) is not _HiredisParser or isinstance(self._sock, ssl.SSLSocket):
                return self._sock is not None and not self._parser.can_read(0)
            if self._sock is not self._watched:
                self._watched, self._readable = self._sock, readable(self._sock.fileno())
            return not self._parser._reader.has_data() and not self._readable()  # noqa: SLF001 - what its can_read does
        except (redis.ConnectionError, redis.TimeoutError, OSError, *_GONE):
            return False

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send commands in one piece and read their replies; the server's errors are among them.

        redis-py's own way, a pipeline, costs as much again as the trip.
        """
        try:
            super().send_packed_command([packed])  # type: ignore[misc]  # of redis-py's connection
            if type(self._parser) is not _HiredisParser or self.protocol not in {2, "2"}:
                return [self._reply() for _ in range(count)]
            replies = self._replies(count)
        except BaseException as error:
            self.disconnect()  # what comes must be read by nobody
            if isinstance(error, AttributeError):
                raise redis.ConnectionError(_CLOSED) from error
            raise
        self.next_health_check = time.monotonic() + self.health_check_interval
        return replies

    def _replies(self, count: int) -> list[Any]:
        parser = self._parser
        replies: list[Any] = []
        while len(replies) < count:
            reply = parser._reader.gets(False)  # noqa: SLF001 - what its read_response does
            if reply is NOT_ENOUGH_DATA:
                if not patience():
                    raise redis.TimeoutError(_NO_TIME)
                parser.read_from_socket()
            elif isinstance(reply, redis.ConnectionError):
                raise reply
            else:
                replies.append(reply)
        return replies

    def _reply(self) -> Any:
        try:
            return self.read_response(disable_decoding=True)
        except redis.ResponseError as error:
            return error

    def read_response(self, *args: Any, **options: Any) -> Any:
        if not patience():
            self.disconnect()  # what comes must be read by nobody
            raise redis.TimeoutError(_NO_TIME)
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]  # as above
        except AttributeError as error:
            raise redis.ConnectionError(_CLOSED) from error


# Who closes a client, and before redis-py 8 a cluster's client when a node changed its role, closes
# connections that other threads use, which then find no socket or parser.
_CLOSED = "another thread closed the connection"
# What it is to look at such a socket: there is none, `poll` is given none, or its number is -1.
_GONE = (AttributeError, TypeError, ValueError)
_NO_TIME = "no time was left to wait for a reply"


@cache
def in_time(kind: type) -> type:
    """Make a class of connections that wait for nothing their operation has no time left for."""
    return type(kind.__name__, (_InTime, kind), {})


class Pool(redis.BlockingConnectionPool):
    """A pool whose callers wait for a connection as long as their operation may."""

    def __init__(self, *, connection_class: Any = redis.Connection, **options: Any) -> None:
        super().__init__(connection_class=in_time(connection_class), **options)  # type: ignore[no-untyped-call]  # redis-py's

    def reset(self) -> None:
        """Begin with no connection, as in a child process."""
        super().reset()  # type: ignore[no-untyped-call]  # redis-py's
        self._idle: deque[Any] = deque()
        """Connections that redis-py's pool has given away, ready to be used again."""

    @property
    def timeout(self) -> float:
        """Seconds to wait for a connection."""
        return min(self._longest, patience())

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._longest = math.inf if seconds is None else seconds

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """See `_InTime.exchange`; for no more threads at once than there may be connections."""
        connection = self._take()
        try:
            replies: list[Any] = connection.exchange(packed, count)
        finally:
            self._give_back(connection)
        return replies

    def _take(self) -> Any:
        # redis-py's `get_connection`, which may wait for one, costs a third of a trip.
        try:
            connection = self._idle.pop()
        except IndexError:
            return self.get_connection()  # type: ignore[no-untyped-call]  # redis-py's
        try:
            if not connection.is_ready():
                connection.disconnect()
                connection.connect()
        except BaseException:
            self.release(connection)  # type: ignore[no-untyped-call]  # redis-py's
            raise
        return connection

    def _give_back(self, connection: Any) -> None:
        # redis-py 6 knows no maintenance of servers, before which connections are made anew.
        leaves = getattr(connection, "should_reconnect", bool)
        if leaves() or not self.owns_connection(connection):
            self.release(connection)  # type: ignore[no-untyped-call]  # redis-py's
        else:
            self._idle.append(connection)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close all connections, or only idle ones; redis-py 6.0 knows no difference here."""
        if inuse_connections:
            super().disconnect()
            return
        self._checkpid()
        # Taken away first: another thread may be about to use one.
        free: list[Any] = []
        with suppress(IndexError):
            while True:
                self.release(self._idle.pop())  # type: ignore[no-untyped-call]  # redis-py's
        try:
            with suppress(queue.Empty):
                while True:
                    free.append(self.pool.get_nowait())
            for connection in free:
                if connection is not None:
                    connection.disconnect()
        finally:  # also when it is interrupted: without their places nobody could connect
            for connection in reversed(free):
                self.pool.put_nowait(connection)

    def disconnect_free_connections(self, moving_address_src: str | None = None) -> None:
        """Close idle connections, as a cluster's client does when a node fails.

        redis-py lists them first and then closes them, also those that threads took meanwhile.
        """
        if moving_address_src is None:
            self.disconnect(inuse_connections=False)
        else:  # of a server that is about to move: those to its old address
            super().disconnect_free_connections(moving_address_src)


def set_up_and_settle(connection: Any) -> None:
    """Make a new connection with TLS ready; see `settle`."""
    connection.on_connect()
    settle(connection)


def settle(connection: Any) -> None:
    """Read what a server with TLS 1.3 sends after the handshake: session tickets.

    redis-py's pool for threads takes them, unread, for the rest of a reply and refuses the
    connection; they are read along with the first reply, which there is none of without password
    and database.
    """
    connection.send_command("PING", check_health=False)
    # A user who may not ask is told so by what comes next.
    with suppress(redis.ResponseError):
        connection.read_response()


class InTurn(list[Any]):
    """The sentinels in the order in which they are asked.

    redis-py moves the one that answered to the front by exchanging two items. When two callers do
    so at once, one sentinel is there twice then and another one lost, until none is left but those
    that are dead; and what was lost is never closed.
    """

    def __setitem__(self, position: Any, sentinel: Any) -> None:
        if position == 0:
            others = [other for other in self if other is not sentinel]
            super().__setitem__(slice(None), [sentinel, *others])


class SentinelPool(redis.sentinel.SentinelConnectionPool, Pool):
    """Asks the sentinels for the primary, and makes callers wait for a connection."""
