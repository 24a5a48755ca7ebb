"""A TCP proxy that breaks the wire where it is told to.

It knows nothing of Redis: a chunk that a client sends is a request (redis-py sends a pipeline in
one piece, and waits for the replies before it sends the next), and what comes back is its reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping

_CHUNK = 1 << 16


class Break(enum.Enum):
    """What befalls a request."""

    BEFORE = "cut before the command arrives"
    COMMAND = "cut amid the command"
    AFTER = "cut after it was applied, before the reply"
    REPLY = "reply cut in mid-frame"
    STALL = "held back, and delivered after the client gave up"
    NO_ANSWER = "accepted, and never answered"


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls requests, and how many of them: a share from 0 to 1."""

    what: Break
    share: float = 1.0
    seconds: float = 0.0
    """How long a request is held back."""


class Proxies:
    """Proxies on an event loop in a thread of its own; each fault befalls all of them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies")
        self._thread.start()
        self._proxies: list[_Proxy] = []

    def to(self, port: int, swaps: Mapping[int, int] | None = None) -> int:
        """Make a proxy to a local port, and give its own port.

        Args:
            port: Where the server listens.
            swaps: Ports that are replaced in replies, as sentinels name them.
        """
        proxy = _Proxy(port, swaps or {})
        self._run(proxy.open())
        self._proxies.append(proxy)
        return proxy.port

    def suffer(self, fault: Fault | None) -> None:
        """Let a fault befall requests from now on; None heals the wire."""
        for proxy in self._proxies:
            proxy.fault = fault

    def refuse(self) -> None:
        """Break all connections and refuse new ones."""
        for proxy in self._proxies:
            self._run(proxy.close())

    def accept(self) -> None:
        """Accept connections again."""
        for proxy in self._proxies:
            self._run(proxy.open())

    def befallen(self) -> int:
        """Count the requests that a fault befell so far."""
        return sum(proxy.befallen for proxy in self._proxies)

    def settle(self) -> None:
        """Wait until what was held back has been delivered."""
        while any(proxy.held for proxy in self._proxies):
            time.sleep(0.01)

    def stop(self) -> None:
        """Close everything."""
        self.refuse()
        self._run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


class _Proxy:
    def __init__(self, target: int, swaps: Mapping[int, int]) -> None:
        self.port = 0
        self.fault: Fault | None = None
        self.befallen = 0
        self.held = 0
        self._target = target
        self._swaps = [(_named(old), _named(new)) for old, new in swaps.items()]
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None and self._server.sockets:
            # What asyncio has half accepted when a server closes, it loses unclosed.
            asyncio.get_running_loop().remove_reader(self._server.sockets[0].fileno())
            await asyncio.sleep(0.01)
            self._server.close()
        for connection in self._connections:
            connection.cut()

    def draw(self) -> Fault | None:
        """Decide what befalls the next request."""
        fault = self.fault
        if fault is None or random.random() >= fault.share:
            return None
        self.befallen += 1
        return fault

    def swapped(self, data: bytes) -> bytes:
        for old, new in self._swaps:
            data = data.replace(old, new)
        return data

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self._connections.add(connection)
        try:
            with contextlib.suppress(OSError):
                await connection.serve(self._target)
        finally:
            connection.cut()
            self._connections.discard(connection)


class _Connection:
    """One client's connection, and the one to the server that belongs to it."""

    def __init__(
        self, proxy: _Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._doom: Break | None = None

    def cut(self) -> None:
        # By chance a reset or an orderly end: a client sees different errors.
        if random.random() < 0.5:
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def serve(self, target: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target)
        replies = asyncio.create_task(self._reply(reader))
        try:
            async for request in _chunks(self._reader):
                if not await self._request(request, writer):
                    break
        finally:
            # Closed in order: what was delivered is also read by the server.
            writer.close()
            replies.cancel()

    async def _request(self, request: bytes, server: asyncio.StreamWriter) -> bool:
        """Deliver a request, or not; tell whether the connection lives on."""
        fault = self._proxy.draw()
        what = fault.what if fault else None
        if what is Break.BEFORE:
            return False
        if what is Break.COMMAND:
            server.write(request[: len(request) // 2])
            return False
        if what is Break.NO_ANSWER:
            return True
        if fault and what is Break.STALL:
            await self._hold(fault.seconds)
        self._doom = what
        server.write(request)
        return True

    async def _hold(self, seconds: float) -> None:
        # The client may hang up meanwhile; its request is on its way all the same.
        self._proxy.held += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._proxy.held -= 1

    async def _reply(self, server: asyncio.StreamReader) -> None:
        async for chunk in _chunks(server):
            if self._doom is Break.AFTER:
                break
            if self._doom is Break.REPLY:
                self._writer.write(chunk[: len(chunk) // 2])
                break
            self._writer.write(self._proxy.swapped(chunk))
        self.cut()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            yield chunk


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _named(port: int) -> bytes:
    # Ports that `free_port` finds have five digits, so the length before them stays right.
    return b"$5\r\n%d\r\n" % port
