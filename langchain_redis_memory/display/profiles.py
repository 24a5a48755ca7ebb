"""A profile as a card: the stored JSON as a tree, whatever model its user takes it for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.display.blocks import as_json
from langchain_redis_memory.display.cards import Card, Note, Part, Tree, Twig
from langchain_redis_memory.display.words import counted, cut, expiry
from langchain_redis_memory.errors import CorruptedDataError, RedisMemoryError
from langchain_redis_memory.storage.exact import decode_value
from langchain_redis_memory.storage.keys import decode_id
from langchain_redis_memory.storage.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_redis_memory.profiles.profile import Profile

_WIDEST = 100
"""How many entries of a dict or a list are shown."""
_MOST = 1000
"""How many entries are shown in all."""
_DEEPEST = 8
"""How many levels are shown."""
_LONGEST = 500
"""How many characters of a value are shown."""


@dataclass(frozen=True, slots=True)
class Peek:
    """What was seen of a profile: its value, and seconds until it expires; None for never."""

    value: bytes | None = field(repr=False)  # people's words
    ttl: float | None


def peek(key: str) -> Operation[Peek]:
    """Look at a profile without putting off its expiry; one round trip."""

    def read(replies: Sequence[Any]) -> Peek:
        value, left = replies
        return Peek(value, left / 1000 if left >= 0 else None)

    return Operation("showing a profile", (("GET", key), ("PTTL", key)), read, key)


def profile_card(profile: Profile[Any]) -> Card:
    """Show a profile, or why it cannot be read."""
    key = profile.key
    user, agent = _whose(key)
    facts: tuple[tuple[str, str], ...] = (("for", f"agent {agent}" if agent else "all agents"),)
    try:
        found = profile.connection.glance(peek(key))
        data = None if found.value is None else decode_value(found.value, key)
    except RedisMemoryError as error:
        return Card("Profile", user, (*facts, ("key", key)), (Note(str(error), "problem"),))
    if found.value is None:
        return Card("Profile", user, (*facts, ("key", key)), (Note("There is none."),))
    facts = (*facts, ("", expiry(found.ttl)), ("key", key))
    return Card("Profile", user, facts, _body(data, key))


def _whose(key: str) -> tuple[str, str | None]:
    """Tell whose profile it is, and for which agent; ids hold no colon, and none is a bare word."""
    rest, _, last = key.rpartition(":")
    if last != "profile":
        return decode_id(last), None
    agent, user = map(decode_id, rest.rsplit(":", 2)[1:])
    return user, agent


def _body(data: object, key: str) -> tuple[Part, ...]:
    if not isinstance(data, dict):
        reason = f"it is a {type(data).__name__}, not a JSON object"
        return (Note(str(CorruptedDataError(key, None, reason)), "problem"),)
    return (Tree(tuple(_twigs(data, _Room(_MOST), 1))),) if data else (Note("It is empty."),)


@dataclass(slots=True)
class _Room:
    """How many entries may still be shown."""

    left: int

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0


def _twigs(value: dict[str, Any] | list[Any], room: _Room, depth: int) -> Iterator[Twig]:
    entries = value.items() if isinstance(value, dict) else enumerate(value, 1)
    for shown, (name, inner) in enumerate(entries):
        if shown == _WIDEST or not room.take():
            yield Twig("…", counted(len(value) - shown, "more entry"))
            return
        yield _twig(str(name), inner, room, depth)


def _twig(name: str, value: object, room: _Room, depth: int) -> Twig:
    if isinstance(value, dict | list) and value:
        size = counted(len(value), "entry" if isinstance(value, dict) else "item")
        if depth == _DEEPEST:
            return Twig(name, f"{size}, deeper than is shown")
        return Twig(name, size, tuple(_twigs(value, room, depth + 1)))
    text = value if isinstance(value, str) and _is_bare(value) else as_json(value, indent=None)
    start, more = cut(text, _LONGEST)
    return Twig(name, f"{start}… and {counted(more, 'character')} more" if more else start)


def _is_bare(text: str) -> bool:
    """Tell whether a text cannot be taken for another value of JSON, or for nothing."""
    return (
        text.strip() == text != ""
        and text not in {"true", "false", "null"}
        and text[0] not in '-"[{0123456789'
    )
