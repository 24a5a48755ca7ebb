"""Findings of the way to a server: how long it is, whether it is encrypted, what its clock says."""

from __future__ import annotations

import re
import statistics
import time
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import StorageRejected
from langchain_redis_memory.inspection.findings import Finding
from langchain_redis_memory.storage.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_redis_memory.inspection.findings import Level
    from langchain_redis_memory.storage.servers import Server
    from langchain_redis_memory.storage.steps import Steps

_TRIPS = 5
_LONG = 0.01
_TOO_LONG = 0.05
_SKEW = 1.0
"""Seconds that clocks may differ by."""

# What sentinels or nodes of a cluster name may be anywhere, wherever they are themselves.
_HERE = re.compile(r"unix://|(?:127\.[\d.]+|localhost|\[::1\])(?:[:/]|$)")

_TOLD_LATER = {"NOPERM", "MISCONF"}
"""Why a server refuses a PING, and other commands, of which more is said than that."""

_PING: Operation[Any] = Operation(
    "asking for an answer", (("PING",),), lambda replies: replies[0], takes_refusals=True
)


def reach(server: Server) -> Steps[list[Finding]]:
    """Ask for some answers, and tell how long one takes.

    Raises:
        StorageUnavailable: There is none.
        StorageRejected: The server refuses us.
    """
    answer = yield _PING  # it connects, which takes longer
    if isinstance(answer, StorageRejected) and answer.code not in _TOLD_LATER:
        raise answer
    taken = []
    for _ in range(_TRIPS):
        began = time.perf_counter()
        yield _PING
        taken.append(time.perf_counter() - began)
    return [_of_trips(statistics.median(taken), server.address), _of_encryption(server)]


def _of_trips(seconds: float, address: str) -> Finding:
    text = f"{address} answers in {seconds * 1000:.1f} ms"
    if seconds < _LONG:
        return Finding("ok", "connection", text)
    level: Level = "note" if seconds < _TOO_LONG else "warning"
    remedy = "run the agent nearer to its server"
    return Finding(level, "connection", f"{text}; a turn takes two such trips", remedy)


def _of_encryption(server: Server) -> Finding:
    if server.encrypts:
        return Finding("ok", "encryption", "what is sent is encrypted (TLS)")
    if _HERE.match(server.address):
        return Finding("ok", "encryption", "none; what is sent stays on this machine")
    return Finding(
        "note",
        "encryption",
        "none: passwords and messages go over the network as they are",
        "use rediss://, unless the network is your own",
    )


def clock(node: Any) -> Steps[list[Finding]]:
    """Compare the clock of a node with that of this machine; nothing if it may not be asked."""
    before = time.time()
    there = yield Operation(
        "asking for the time", (("TIME",),), _seconds, node=node, takes_refusals=True
    )
    after = time.time()
    if there is None:
        return []
    # It was read at some moment between.
    return list(_of_clocks(there - after, there - before))


def _of_clocks(least: float, most: float) -> Iterator[Finding]:
    ahead = max(least, 0) or min(most, 0)
    if abs(ahead) < _SKEW:
        yield Finding("ok", "clock", "the server's clock agrees with that of this machine")
        return
    yield Finding(
        "warning",
        "clock",
        f"the server's clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} that "
        "of this machine: sessions are listed by the server's, messages are stamped by this one's",
        "have both set their clocks by NTP",
    )


def _seconds(replies: Any) -> float | None:
    if isinstance(replies[0], StorageRejected):
        return None
    seconds, microseconds = replies[0]
    return int(seconds) + int(microseconds) / 1e6
