"""A connection of an event loop on which many requests are one exchange."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING, Any

import hiredis
import redis
from typing_extensions import override

from langchain_redis_memory.storage.readable import readable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_redis_memory.storage.lanes import Request

    Arrived = Callable[[Exception | None], None]

_MORE = object()
_PUSHES: Any = getattr(hiredis, "PushNotification", ())  # since hiredis 3.2


class Wire(asyncio.Protocol):
    """Gives replies to requests as they come, once redis-py has set the connection up.

    redis-py reads from a stream, with a task or a timer for every write and every reply. That costs
    more than the trip.

    Args:
        connection: One of redis-py's that is connected. From now on it can only be disconnected.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._transport = connection._writer.transport  # noqa: SLF001 - redis-py tells nobody
        self._streams = self._transport.get_protocol()
        socket = self._transport.get_extra_info("socket")  # none of TLS's that has ended already
        self._readable = readable(-1 if socket is None else socket.fileno())
        self._reader = hiredis.Reader(
            protocolError=redis.InvalidResponse,
            replyError=connection._parser.parse_error,  # noqa: SLF001 - the same
            notEnoughData=_MORE,
        )
        silence = connection.socket_timeout
        self._silence = math.inf if silence is None else silence
        self._rest = connection.health_check_interval or math.inf
        self._requests: deque[Request] = deque()
        self._replies: list[Any] = []
        self._arrived: Arrived | None = None
        self._active = self._loop.time()
        self._latest = self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._transport.set_protocol(self)
        if connection._reader.at_eof():  # noqa: SLF001 - the same
            # The end has come already, while redis-py set it up: nobody would tell us again.
            self.abort()

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as the event loop knows."""
        return not self._transport.is_closing()

    def is_ready(self) -> bool:
        """Tell whether it is open, and nothing came unasked for, such as the end.

        The event loop knows what has come only after it has looked, which it may not have done for
        a while. A connection that was idle for `health_check_interval` may have been dropped on
        the way, of which nobody is told: to connect again costs hardly more than to ask.
        """
        return (
            self.is_open
            and self._loop.time() < self._active + self._rest
            and not self._reader.has_data()
            and not self._readable()
        )

    def send(self, batch: Sequence[Request], latest: float, arrived: Arrived) -> None:
        """Send all commands in one piece, and give each request its replies as they come.

        Args:
            batch: What is sent.
            latest: When it has failed, by the event loop's clock, whatever has come.
            arrived: Called at the end: with None, or with what went wrong, when some requests may
                have their replies. A `redis.ConnectionError`: the connection broke; a
                `redis.TimeoutError`: nothing came for as long as `socket_timeout` says.
        """
        self._requests.extend(batch)
        self._arrived, self._latest = arrived, latest
        self._put_off()
        if self._timer is None:
            self._watch()
        self._transport.write(b"".join([request.packed for request in batch]))

    def abort(self) -> None:
        """Close it; what comes is read by nobody."""
        self._transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while self._requests:
                reply = self._reader.gets(False)
                if reply is _MORE:
                    self._put_off()
                    return
                self._take(reply)
        except BaseException as error:
            self.abort()  # a reply may be missing, and the next would be taken for it
            if not isinstance(error, Exception):
                raise
            self._end(redis.InvalidResponse(str(error)))
        else:
            self._end(None)

    @override
    def resume_writing(self) -> None:
        self._put_off()  # from now on it is the server that has to do something

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._streams.connection_lost(None)  # somebody may wait for it there, not for the reason
        reason = f": {exc}" if exc is not None else ""
        self._end(redis.ConnectionError(f"the connection was closed{reason}"))

    def _take(self, reply: Any) -> None:
        if isinstance(reply, _PUSHES):
            return  # nobody asked for it
        self._replies.append(reply)
        if len(self._replies) == self._requests[0].count:
            self._requests.popleft().answer(self._replies)
            self._replies = []

    def _end(self, error: Exception | None) -> None:
        self._requests.clear()
        self._replies = []
        arrived, self._arrived = self._arrived, None
        if arrived is not None:
            arrived(error)
        elif error is None:
            self.abort()  # what came was not asked for

    def _put_off(self) -> None:
        self._active = self._loop.time()
        self._due = min(self._latest, self._active + self._silence)

    def _watch(self) -> None:
        # One timer serves many batches: to set one costs as much as a reply. It never stands
        # later than the time that it is for, which is only put off.
        self._timer = None
        if self._arrived is None or self._due == math.inf:
            return
        if self._loop.time() < self._due:
            # In no context: it would keep that of whoever came first, and what is in it.
            self._timer = self._loop.call_at(self._due, self._watch, context=Context())
            return
        self.abort()
        self._end(redis.TimeoutError("no reply came in time"))
