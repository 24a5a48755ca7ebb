"""What the sentinels say of their primary, for whoever looks whether they could replace it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from langchain_redis_memory.storage.failures import FAILURES


@dataclass(frozen=True, slots=True)
class Word:
    """What one sentinel says.

    Args:
        sentinel: Its address.
        facts: What it says of the primary, as ``SENTINEL MASTERS`` has it; empty if nothing.
        reason: Why it says nothing: the class of the error.
    """

    sentinel: str
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


def ask(client: Any) -> list[Word]:
    """Ask each sentinel that a client knows; none if there are no sentinels."""
    words = []
    for sentinel in sentinels_of(client):
        try:
            words.append(_word(client, sentinel, sentinel.sentinel_masters()))
        except FAILURES as error:
            words.append(Word(_address(sentinel), reason=type(error).__name__))
    return words


async def aask(client: Any) -> list[Word]:
    """See `ask`."""
    words = []
    for sentinel in sentinels_of(client):
        try:
            words.append(_word(client, sentinel, await sentinel.sentinel_masters()))
        except FAILURES as error:
            words.append(Word(_address(sentinel), reason=type(error).__name__))
    return words


def sentinels_of(client: Any) -> list[Any]:
    """Give the clients of the sentinels that a client asks for its primary."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


def _word(client: Any, sentinel: Any, primaries: Any) -> Word:
    facts = primaries.get(client.connection_pool.service_name)
    return Word(_address(sentinel), facts or {}, "" if facts else "it does not know the service")


def _address(sentinel: Any) -> str:
    options = sentinel.connection_pool.connection_kwargs
    return f"{options.get('host')}:{options.get('port')}"
