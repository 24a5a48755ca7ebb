"""URLs of every topology; what is wrong with one is told without quoting its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.connection import parse_url

from langchain_redis_memory.errors import ConfigurationError

TOPOLOGIES = {"": "standalone", "+sentinel": "sentinel", "+cluster": "cluster"}
SCHEMES = (
    *("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"),
    *("redis+cluster", "rediss+cluster"),
)
_DEFAULT_PORTS = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class Address:
    """What a URL says.

    Args:
        topology: ``"standalone"``, ``"sentinel"`` or ``"cluster"``.
        nodes: Hosts and ports, none for a Unix socket.
        service: The name that the sentinels know the primary by.
        tls: Whether connections are encrypted.
        options: What else it says, as redis-py's connections take it: user name, password,
            database, path and what stands behind ``?``.
    """

    topology: str
    nodes: tuple[tuple[str, int], ...] = ()
    service: str = ""
    tls: bool = False
    options: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        if not self.nodes:
            return f"unix://{self.options.get('path', '')}"
        nodes = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes
        )
        if self.topology == "cluster":
            return f"cluster {nodes}"
        database = self.options.get("db", 0)
        if self.topology == "sentinel":
            return f"sentinel {nodes}/{self.service}/{database}"
        return f"{nodes}/{database}"


def parse(url: object) -> Address:
    """Read a URL.

    Raises:
        ConfigurationError: It is none that can be used.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"the URL must be a string, not {type(url).__name__}")
    url = re.sub("^valkey(?=s?(\\+[a-z]+)?://)", "redis", url)  # the same protocol
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigurationError(
            f"the URL's scheme must be one of {known}"
            + (", or the same with valkey; it has another" if scheme else "; it has none")
        )
    try:
        return _unix(url) if scheme == "unix" else _network(urlsplit(url))
    except ConfigurationError:
        raise
    except ValueError:
        pass
    # Raised apart from what was wrong, which may quote what it took for a port: the password.
    raise _odd_url(scheme)


def _unix(url: str) -> Address:
    options = _options(url)
    del options["connection_class"]
    user, host = _split(urlsplit(url))
    if "path" not in options or host or "@" in user:
        raise ValueError(url)
    return Address("standalone", options=options)


def _network(parts: SplitResult) -> Address:
    kind = parts.scheme.removeprefix("rediss").removeprefix("redis")
    topology = TOPOLOGIES[kind]
    user, hosts = _split(parts)
    # redis-py reads and casts the rest; with one host that has no port there is nothing to
    # misread a password for.
    options = _options(f"redis://{user}@host/?{parts.query}")
    del options["host"]
    if "@" in user:
        raise ValueError(user)
    path = unquote(parts.path).strip("/")
    service = ""
    if topology == "sentinel":
        service, _, path = path.partition("/")
        if not service:
            raise ValueError(path)
    if path:
        options.setdefault("db", int(path))
    if options.get("db", 0) < 0 or (topology == "cluster" and options.get("db")):
        raise ValueError(path)
    if topology == "cluster":
        options.pop("db", None)  # redis-py's clients take none, not even 0
    nodes = tuple(_node(host, _DEFAULT_PORTS[topology]) for host in hosts.split(","))
    if len(nodes) > 1 and topology == "standalone":
        raise ValueError(hosts)
    return Address(topology, nodes, service, parts.scheme.startswith("rediss"), options)


def _options(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError as error:
        # redis-py names an option whose value it cannot cast; its other words are not for show.
        found = re.match(r"Invalid value for '(\w+)' in connection URL", str(error))
    if found:
        raise ConfigurationError(f"the URL's option {found[1]} has a value that cannot be used")
    raise ValueError(url)


def _split(parts: SplitResult) -> tuple[str, str]:
    user, mark, hosts = parts.netloc.rpartition("@")
    # A password with a bare / or ? ends up behind the hosts, where it would be shown.
    behind = f"{parts.path}?{parts.query}" if mark or hosts else parts.query
    if "@" in behind or parts.fragment:
        raise ValueError(behind)
    return user, hosts


def _node(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if parts.username is not None or parts.path:
        raise ValueError(text)
    return unquote(parts.hostname or "localhost"), parts.port or default


def _odd_url(scheme: str) -> ConfigurationError:
    form = {
        "unix": "unix://user:password@/path/to/socket?db=0",
        "redis+sentinel": "redis+sentinel://user:password@host1:26379,host2:26379/service/0",
        "redis+cluster": "redis+cluster://user:password@host1:7000,host2:7001",
    }.get(scheme.replace("rediss", "redis"), "redis://user:password@host:port/database")
    return ConfigurationError(
        f"the URL must have the form {form}, with whole numbers as port and database, and special "
        "characters of the password percent-encoded (# as %23, / as %2F, ? as %3F, @ as %40)"
    )
