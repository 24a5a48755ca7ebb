"""What is sent for a profile: a value that is replaced only if nobody else wrote meanwhile."""

from __future__ import annotations

import secrets
from enum import IntEnum
from hashlib import sha1
from typing import TYPE_CHECKING, TypeVar

from langchain_redis_memory.profiles import scripts
from langchain_redis_memory.storage.operation import Operation, ScriptCall

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Outcome(IntEnum):
    """What became of a change."""

    STORED = 1
    OVERTAKEN = 0
    """Somebody else wrote first, and it was not stored."""
    UNKNOWN = -1
    """Somebody else wrote, before it was stored or after."""


def read(
    key: str, ttl: int, result: Callable[[bytes | None], T], absent: Callable[[], T]
) -> Operation[T]:
    """Read a profile, and make a result of what is stored; `absent` while Redis is away.

    With a time to live in ms, or 0, the profile lives for so long from here on.
    """
    return Operation(
        "reading a profile",
        (scripts.READ.on(key, ttl) if ttl else ("GET", key),),
        lambda replies: result(replies[0]),
        key,
        absent=absent,
    )


def look(key: str) -> Operation[tuple[bytes | None, bool | None]]:
    """Read what is to be changed, and whether it lasts; None for that while Redis is away."""
    return Operation(
        "reading a profile",
        (("GET", key), ("PTTL", key)),
        lambda replies: (replies[0], bool(replies[1] < 0)),
        key,
        absent=lambda: (None, None),
    )


def write(key: str, text: bytes, ttl: int) -> Operation[None]:
    """Write a profile, whatever stands there; with a time to live in ms, or 0 for none."""
    expiry: tuple[str | int, ...] = ("PX", ttl) if ttl else ()
    return Operation(
        "storing a profile",
        (("SET", key, _signed(text), *expiry),),
        lambda _: None,
        key,
        absent=lambda: None,
        writes=True,
    )


def replace(key: str, stored: bytes | None, text: bytes, ttl: int) -> Operation[Outcome]:
    """Write a profile if what stands there is still what was read."""
    before = "" if stored is None else sha1(stored, usedforsecurity=False).hexdigest()
    after = _signed(text)

    def command(otherwise: Outcome) -> tuple[ScriptCall]:
        return (scripts.REPLACE.on(key, before, after, ttl, int(otherwise)),)

    return Operation(
        "changing a profile",
        command(Outcome.OVERTAKEN),
        lambda replies: Outcome(replies[0]),
        key,
        again=command(Outcome.UNKNOWN),
        absent=lambda: Outcome.STORED,
        writes=True,
    )


def delete(key: str) -> Operation[None]:
    """Remove a profile."""
    return Operation("removing a profile", (("UNLINK", key),), lambda _: None, key)


def exists(key: str) -> Operation[bool]:
    """Ask whether there is a profile; by PTTL, as EXISTS would be one more command to permit."""
    return Operation(
        "looking for a profile",
        (("PTTL", key),),
        lambda replies: bool(replies[0] != -2),  # noqa: PLR2004 - what PTTL says of no key
        key,
        absent=lambda: False,
    )


_BLANKS = bytes.maketrans(b"01", b" \t")


def _signed(text: bytes) -> bytes:
    """Tell a write from all others, by 32 blanks at its end.

    Blanks after a JSON text mean nothing (RFC 8259, section 2). Without them, a repeat that finds
    the value it is to write would take for its own what another process has stored: of two that
    count from 41 to 42 at once, one would be lost.
    """
    return text + f"{secrets.randbits(32):032b}".encode().translate(_BLANKS)


def time_to_live(key: str) -> Operation[float | None]:
    """Ask for how many seconds a profile still lives; None for ever, or if there is none."""
    return Operation(
        "looking for a profile",
        (("PTTL", key),),
        lambda replies: max(replies[0], 1) / 1000 if replies[0] >= 0 else None,
        key,
    )
