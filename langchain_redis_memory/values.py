"""Values by key: what is sent to read, write and remove them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_redis_memory.limits import in_milliseconds
from langchain_redis_memory.storage.operation import Command, Operation
from langchain_redis_memory.storage.steps import each_page

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_redis_memory.storage.operation import Page
    from langchain_redis_memory.storage.steps import Steps

_BATCH = 500  # keys a request


def get_all(names: Sequence[str]) -> Operation[list[bytes | None]]:
    """Read values, None for each that is not there; GET each, as they may be in many slots."""
    commands: list[Command] = [("GET", name) for name in names]
    return Operation(
        "reading values",
        tuple(commands),
        list,
        names[0],
        absent=lambda: [None] * len(names),
    )


def set_all(pairs: Sequence[tuple[str, bytes]], ttl: float | None) -> Operation[None]:
    """Write values; on a cluster not all of them at one moment."""
    expiry: tuple[Any, ...] = ("PX", in_milliseconds(ttl)) if ttl is not None else ()
    commands: list[Command] = [("SET", name, value, *expiry) for name, value in pairs]
    return Operation(
        "storing values",
        tuple(commands),
        lambda _: None,
        pairs[0][0],
        absent=lambda: None,
        writes=True,
    )


def delete_all(names: Sequence[str]) -> Operation[None]:
    """Remove values."""
    commands: list[Command] = [("UNLINK", name) for name in names]
    return Operation("removing values", tuple(commands), lambda _: None, names[0])


def delete_matching(pattern: str, is_meant: Callable[[bytes], object]) -> Steps[int]:
    """Remove the values whose keys match and are meant, and tell how many there were."""
    removed = 0

    def delete(page: Page) -> Steps[None]:
        nonlocal removed
        names = [name for name in page if is_meant(name)]
        for begin in range(0, len(names), _BATCH):
            removed += yield _unlink(names[begin : begin + _BATCH])

    yield from each_page(pattern, delete)
    return removed


def _unlink(names: Sequence[bytes]) -> Operation[int]:
    commands: list[Command] = [("UNLINK", name) for name in names]
    return Operation("removing values", tuple(commands), sum)
