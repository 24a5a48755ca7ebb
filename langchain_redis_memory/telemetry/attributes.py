"""Spans' and metrics' attributes: the names of OpenTelemetry's conventions, and ours. No I/O.

https://opentelemetry.io/docs/specs/semconv/db/redis/ tells what belongs where. None holds a key, an
id or a text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import RedisMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_redis_memory.storage.operation import Command, Operation, ScriptCall

SCOPE = "langchain_redis_memory"
"""What our tracer, our meter and everything of our own are called after."""

Attributes = dict[str, str | int | float]

_DEFAULT_PORT = 6379
_NODE = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d+))?")
_CODE = re.compile(r"[A-Z]{3,}\b")


@lru_cache(maxsize=64)
def of_server(address: str) -> Mapping[str, str | int | float]:
    """Say where a server is, from what `Server.address` tells people."""
    found: Attributes = {"db.system.name": "redis"}
    if address.startswith("unix://"):
        return {**found, "server.address": address.removeprefix("unix://")}
    kind, _, place = address.rpartition(" ")
    nodes, *rest = place.split("/")
    if kind != "cluster" and rest and rest[-1].isdecimal():
        found["db.namespace"] = rest[-1]
    node = _NODE.fullmatch(nodes)
    if node is None:  # several
        return {**found, "server.address": nodes}
    found["server.address"] = node["host"].strip("[]")
    if node["port"] and int(node["port"]) != _DEFAULT_PORT:
        found["server.port"] = int(node["port"])
    return found


def of_request(operation: Operation[Any]) -> Attributes:
    """Say what is sent: the summary that the span is called after, and the commands' names."""
    calls = [_called(command) for command in operation.commands]
    names, scripts = {name for name, _ in calls}, {script for _, script in calls}
    name = names.pop() if len(names) == 1 else ""
    found: Attributes = {"db.query.summary": operation.name, "db.operation.name": name}
    if len(calls) > 1:
        found["db.operation.name"] = f"PIPELINE {name}".strip()
        found["db.operation.batch.size"] = len(calls)
    if len(scripts) == 1 and (script := scripts.pop()):
        found["db.stored_procedure.name"] = script
    return found


def of_error(error: BaseException) -> Attributes:
    """Say what went wrong: what the server called it, or else the class of redis-py's error."""
    cause = error.__cause__ if isinstance(error, RedisMemoryError) else None
    original = cause or error
    code = getattr(original, "status_code", None) or _code_in(original)
    if code:
        return {"error.type": code, "db.response.status_code": code}
    return {"error.type": type(original).__qualname__}


def size_of(sent: Iterable[Command | ScriptCall]) -> int:
    """Count the bytes of commands' arguments."""
    return sum(len(_as_bytes(part)) for command in sent for part in _words(command))


def size_in(reply: Any) -> int:
    """Count the bytes of strings in a reply."""
    if isinstance(reply, bytes | str):
        return len(reply)
    return sum(map(size_in, reply)) if isinstance(reply, list | tuple) else 0


def messages_in(result: Any) -> int:
    """Count the messages that a read gave: a `Reading`, or what holds one besides profiles."""
    found = getattr(getattr(result, "reading", result), "messages", None)
    return len(found) if isinstance(found, list) else 0  # others call a number so, or a method


def _called(command: Command | ScriptCall) -> tuple[str, str]:
    """Name a command, and the script if it calls one."""
    if isinstance(command, tuple):
        return str(command[0]), ""
    return "EVALSHA", command.script.sha


def _words(command: Command | ScriptCall) -> Command:
    return command if isinstance(command, tuple) else command.by_digest()


def _as_bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode(errors="surrogatepass")


def _code_in(error: BaseException) -> str | None:
    # The first word of what the server said; redis-py's own errors begin with other words.
    found = _CODE.match(str(error)) if type(error).__name__ == "ResponseError" else None
    return found[0] if found else None
