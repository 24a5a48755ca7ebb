"""Findings of what a memory holds: what never expires, what is very large, what is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_redis_memory.display.words import counted
from langchain_redis_memory.errors import CorruptedDataError, StorageRejected
from langchain_redis_memory.inspection.figures import in_bytes
from langchain_redis_memory.inspection.findings import Finding
from langchain_redis_memory.inspection.survey import Survey
from langchain_redis_memory.profiles.forms import DictForm
from langchain_redis_memory.storage.codec import decode_message
from langchain_redis_memory.storage.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_redis_memory.inspection.figures import Stats
    from langchain_redis_memory.inspection.walking import Walked
    from langchain_redis_memory.storage.keys import Keys
    from langchain_redis_memory.storage.steps import Steps

_NEWEST = 5
"""How many messages of a session are read to see whether they are damaged."""
_AT_ONCE = 10
"""Of how many sessions that is done in one trip."""
_LONG = 5000
"""Messages that a session has when one would want to limit them."""


def look_through(
    keys: Keys, ttl_ms: int, progress: Callable[[Walked], object] | None
) -> Steps[tuple[Stats, list[Finding]]]:
    """Go through all keys, and read a sample of them.

    Args:
        keys: Name them.
        ttl_ms: After how many milliseconds the memory's conversations expire; 0 for never.
        progress: Called with how far it has come.
    """
    survey = Survey(keys)
    stats = yield from survey.steps(progress)
    damaged = yield from _read_some(survey.samples["session"], survey.samples["profile"])
    read = len(survey.samples["session"]) + len(survey.samples["profile"])
    found = [*_of_sizes(stats), *_of_expiries(stats, ttl_ms), *_of_damage(damaged, read)]
    return stats, found + list(stats.findings)


def _of_sizes(stats: Stats) -> Iterator[Finding]:
    size = "" if stats.bytes is None else f" in {in_bytes(stats.bytes)}"
    messages, keys = counted(stats.messages, "message"), counted(stats.keys, "key")
    text = f"{counted(stats.sessions, 'session')} with {messages}, {keys}"
    yield Finding("ok", "sizes", f"{text}{size}")
    longest = max(stats.largest, key=lambda size: size.messages, default=None)
    if longest is not None and longest.messages >= _LONG:
        yield Finding(
            "warning",
            "sizes",
            f"session {longest.session!r} of {longest.user!r} with {longest.agent!r} has "
            f"{longest.messages:,} messages",
            "limit what is kept by max_messages, or have older turns folded by a SummaryPolicy",
        )


def _of_expiries(stats: Stats, ttl_ms: int) -> Iterator[Finding]:
    endless = stats.kinds["session"].expiries.never
    without = f"{counted(endless, 'session')} {'has' if endless == 1 else 'have'} no expiry"
    if endless and ttl_ms:
        yield Finding(
            "warning",
            "expiry",
            f"{without}, while this memory gives {ttl_ms / 86_400_000:.3g} days: written by "
            "others, or with ttl=None",
            "if that is not meant, read them with this memory, which sets their expiry",
        )
    elif endless:
        yield Finding("note", "expiry", f"{without}, as ttl=None asks")
    else:
        yield Finding("ok", "expiry", "every session expires")
    if cached := stats.kinds["cached"].expiries.never:
        text = f"cached without expiry: {counted(cached, 'value')}"
        yield Finding("note", "expiry", text, "give the cache a ttl, if that is not meant")


def _of_damage(damaged: Sequence[CorruptedDataError], read: int) -> Iterator[Finding]:
    for error in damaged:
        at = f"LINDEX {error.key!r} {error.position}"
        if error.position is None:
            text = f"the profile at {error.key!r} is damaged ({error.reason})"
            remedy = f"look at it with GET {error.key!r}; repair it with SET, or remove it"
        else:
            text = f"element {error.position} of {error.key!r} is no message ({error.reason})"
            remedy = f"look at it with {at}; repair it with LSET, or clear the session"
        yield Finding("problem", "content", text, remedy)
    if read and not damaged:
        text = f"none of {read:,} sessions and profiles that were read on trial is damaged"
        yield Finding("ok", "content", text)


def _read_some(
    sessions: Sequence[bytes], profiles: Sequence[bytes]
) -> Steps[list[CorruptedDataError]]:
    damaged: list[CorruptedDataError] = []
    for begin in range(0, len(sessions), _AT_ONCE):
        damaged += yield _read(sessions[begin : begin + _AT_ONCE], _first_damage)
    for begin in range(0, len(profiles), _AT_ONCE):
        damaged += yield _read(profiles[begin : begin + _AT_ONCE], _profile_damage)
    return damaged


def _read(
    keys: Sequence[bytes], damage: Callable[[str, Any], CorruptedDataError | None]
) -> Operation[list[CorruptedDataError]]:
    newest = damage is _first_damage

    def found(replies: Sequence[Any]) -> list[CorruptedDataError]:
        pairs = zip(names, replies, strict=True)
        looked = (damage(name, reply) for name, reply in pairs if not _is_refused(reply))
        return [error for error in looked if error is not None]

    names = [key.decode(errors="backslashreplace") for key in keys]
    commands = tuple(("LRANGE", key, 0, _NEWEST - 1) if newest else ("GET", key) for key in keys)
    return Operation("reading some", commands, found, names[0], takes_refusals=True)


def _is_refused(reply: object) -> bool:
    # Which commands are refused is told elsewhere, and so are keys of another type.
    return isinstance(reply, StorageRejected)


def _first_damage(key: str, elements: Sequence[bytes]) -> CorruptedDataError | None:
    for position, element in enumerate(elements):
        try:
            decode_message(element, key, position)
        except CorruptedDataError as error:
            return error
    return None


def _profile_damage(key: str, stored: bytes | None) -> CorruptedDataError | None:
    try:
        DictForm(key).read(stored)
    except CorruptedDataError as error:
        return error
    return None
