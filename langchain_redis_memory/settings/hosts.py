"""Hosts and ports, as they stand in settings."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

_NODE = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"[\w.-]+")
_LAST_PORT = 65535


def host_of(text: str) -> str:
    """Give a host's name or address, an IPv6 address without its brackets.

    Raises:
        ValueError: It is none; a port is none of it.
    """
    host = text.strip()
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare:
        IPv6Address(bare)
        return bare
    if not _NAME.fullmatch(host):
        raise ValueError(text)
    return host


def nodes_of(text: str, default_port: int) -> tuple[tuple[str, int], ...]:
    """Give the hosts and ports of a list with commas.

    Raises:
        ValueError: It is none.
    """
    return tuple(_node(part.strip(), default_port) for part in text.split(","))


def _node(text: str, default_port: int) -> tuple[str, int]:
    found = _NODE.fullmatch(text)
    if not found:
        raise ValueError(text)
    port = default_port if found["port"] is None else int(found["port"])
    if found["port"] is not None and not 0 < port <= _LAST_PORT:
        raise ValueError(text)
    return host_of(found["host"]), port
