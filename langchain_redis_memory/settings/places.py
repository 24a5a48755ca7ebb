"""The ways to say where a server is, and what may be set beside each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_redis_memory.storage.urls import Address

_USER = {"username", "password"}
_FINDER = {"sentinel_username", "sentinel_password"}
_CERTIFICATES = {
    *("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
    *("ssl_cert_reqs", "ssl_check_hostname"),
}
_CLIENT = {
    *("max_connections", "socket_timeout", "socket_connect_timeout", "health_check_interval"),
    *("client_name", "protocol"),
}
OPTIONS = {"db"} | _USER | _FINDER | _CERTIFICATES | _CLIENT
"""What redis-py's connections and pools take."""

_BESIDE = {
    "url": {"db", "ssl"} | _USER | _FINDER | _CERTIFICATES,
    "embedded": {"db"},
    "socket": {"db"} | _USER,
    "sentinels": {"db", "ssl", "sentinel_service"} | _USER | _FINDER | _CERTIFICATES,
    "cluster": {"db", "ssl", "host", "port", "nodes"} | _USER | _CERTIFICATES,
    "host": {"db", "ssl", "port"} | _USER | _CERTIFICATES,
}


def place_of(given: Mapping[str, Any]) -> str:
    """Name the setting that says where the server is; it is the host if none does."""
    return next((name for name in _BESIDE if given.get(name)), "host")


def problems_of(given: Mapping[str, Any], address: Address, prefix: str) -> Iterator[str]:
    """Tell what cannot stand together.

    Args:
        given: The settings that were set, by name.
        address: Where they say that the server is.
        prefix: What the names of their variables start with.
    """
    place = place_of(given)
    for name in given:
        rules = _rules(name, place, given, address)
        own = f"{prefix}{name.upper()}"
        yield from (f"{own} {words.format(prefix)}" for broken, words in rules if broken)
    if place == "sentinels" and "sentinel_service" not in given:
        yield f"{prefix}SENTINELS needs {prefix}SENTINEL_SERVICE"


def _rules(
    name: str, place: str, given: Mapping[str, Any], address: Address
) -> Iterator[tuple[bool, str]]:
    value = given[name]
    if name not in _BESIDE[place] | _CLIENT | {place}:
        wanted = "CLUSTER=true" if name == "nodes" else "SENTINELS"
        lone = place == "host"
        words = f"needs {{}}{wanted}" if lone else f"cannot stand beside {{}}{place.upper()}"
        yield value is not False, words  # of what was not asked for, nothing can be wrong
        return
    tls = "a rediss:// URL" if place == "url" else "{}SSL=true"
    yield name in _CERTIFICATES and not address.tls, f"needs {tls}"
    unchecked = given.get("ssl_cert_reqs") == "none"
    yield name == "ssl_check_hostname" and value and unchecked, "needs {}SSL_CERT_REQS=required"
    yield name == "db" and address.topology == "cluster" and value, "must be 0 in a cluster"
    yield name in {"host", "port"} and "nodes" in given, "cannot stand beside {}NODES"
    if place == "url":
        yield name in address.options, "cannot stand beside {}URL, which says it too"
        yield name == "ssl" and value != address.tls, "contradicts {}URL"
        yield name in _FINDER and address.topology != "sentinel", "needs a {}URL of Sentinels"
