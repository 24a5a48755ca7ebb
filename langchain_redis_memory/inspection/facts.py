"""What a server tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import StorageRejected
from langchain_redis_memory.storage.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

Facts = dict[str, str]
"""Names and values, as INFO and CONFIG give them."""


def info(node: Any) -> Operation[Facts | StorageRejected]:
    """Ask a node for what it tells of itself: version, memory, persistence, replication."""
    return _asking(("INFO default",), _lines, node)


def cluster_info(node: Any) -> Operation[Facts | StorageRejected]:
    """Ask a node how its cluster is."""
    return _asking(("CLUSTER INFO",), _lines, node)


def config(name: str, node: Any) -> Operation[Facts | StorageRejected]:
    """Ask a node for a setting."""
    return _asking(("CONFIG GET", name), _pairs, node)


def _asking(command: tuple[str, ...], read: Any, node: Any) -> Operation[Facts | StorageRejected]:
    def facts(replies: Sequence[Any]) -> Facts | StorageRejected:
        reply = replies[0]
        return reply if isinstance(reply, StorageRejected) else read(reply)

    return Operation("asking the server", (command,), facts, node=node, takes_refusals=True)


def _lines(reply: Any) -> Facts:
    if isinstance(reply, dict):  # a client that was passed in has read it already
        return {_text(name): _text(value) for name, value in reply.items()}
    lines = _text(reply).splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines) if value}


def _pairs(reply: Any) -> Facts:
    if isinstance(reply, dict):
        return {_text(name): _text(value) for name, value in reply.items()}
    flat = [_text(part) for part in reply]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
