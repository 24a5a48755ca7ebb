"""A memory as a card: where it is connected, how it behaves, whether it answers, what it holds.

What it holds is counted on the first pages of SCAN, so that a large server is asked for no more
than a small one. Where that is not all, the card says so.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from langchain_redis_memory.display.cards import Card, Note, Part, Table
from langchain_redis_memory.display.words import counted, lasting
from langchain_redis_memory.errors import MemoryClosedError, RedisMemoryError
from langchain_redis_memory.storage.steps import scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_redis_memory.limits import Limits
    from langchain_redis_memory.storage.availability import Availability
    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.storage.keys import Keys, Place

PAGES = 10
"""How many pages of keys are looked at, of about a thousand each."""

_KINDS = {
    "session": "sessions",
    "profile": "profiles",
    "summary": "summaries",
    "cached": "cached results",
    "other": "keys below sessions",
}


def memory_card(
    connection: Connection,
    keys: Keys,
    limits: Limits,
    profile_ttl: float | None,
    *,
    is_stateless: bool,
) -> Card:
    """Show a memory; that its server does not answer, or that it is closed, is shown too."""
    away = "goes on without memory" if is_stateless else "raises an error"
    behaviour = (*_limits(limits, profile_ttl), ("without Redis", away))
    degraded = _degraded(connection.availability) if is_stateless else ()
    body = (*degraded, *_state(connection, keys))
    return Card(
        "Memory", connection.server.address, (("namespace", keys.namespace), *behaviour), body
    )


def _limits(limits: Limits, profile_ttl: float | None) -> Iterator[tuple[str, str]]:
    yield "conversations", _expire(limits.ttl)
    yield "profiles", _expire(profile_ttl)
    if window := limits.reading:
        size = (window.messages, "message") if window.messages else (window.tokens or 0, "token")
        yield "window", counted(*size)
    if limits.max_messages is not None:
        yield "kept", f"{counted(limits.max_messages, 'message')} at most"


def _expire(ttl: float | None) -> str:
    return "never expire" if ttl is None else f"expire after {lasting(ttl)} idle"


def _degraded(availability: Availability) -> Iterator[Part]:
    if not availability.available:
        yield Note("Redis was away: going on without memory until it is asked again.", "warning")
    if availability.dropped:
        yield Note(f"{counted(availability.dropped, 'write')} dropped so far", "warning")


def _state(connection: Connection, keys: Keys) -> Iterator[Part]:
    try:
        found, is_all = _look(connection, keys)
    except MemoryClosedError:
        yield Note("It is closed.", "warning")
        return
    except RedisMemoryError as error:
        yield Note(str(error), "problem")
        return
    yield Note("The server answers.")
    if rows := tuple(_rows(found)):
        yield Table(("it holds", ""), rows, frozenset({1}))
    else:
        yield Note("It holds nothing yet." if is_all else "Nothing is seen of this memory.")
    if not is_all:
        yield Note("Not all: the server has more keys than were looked at.")


def _look(connection: Connection, keys: Keys) -> tuple[list[Place], bool]:
    """Give what the first keys of each node hold, and whether these are all."""
    nodes = connection.nodes(in_haste=True).nodes if connection.server.spans_slots else (None,)
    found: dict[bytes, Place] = {}  # SCAN may give a key twice
    is_all = True
    for node in nodes:
        cursor = 0
        for _ in range(max(1, PAGES // len(nodes))):
            cursor, page = connection.glance(scan(f"{keys.namespace}:*", cursor, node))
            found |= {key: place for key in page if (place := keys.place(key)) is not None}
            if not cursor:
                break
        is_all = is_all and not cursor
    return list(found.values()), is_all


def _rows(found: Sequence[Place]) -> Iterator[tuple[str, str]]:
    for what in ("agent", "user"):
        if number := len({getattr(place, what) for place in found} - {None}):
            yield f"{what}s", f"{number:,}"
    kinds: Counter[str] = Counter(place.kind for place in found)
    for kind, name in _KINDS.items():
        if kinds[kind]:
            yield name, f"{kinds[kind]:,}"
