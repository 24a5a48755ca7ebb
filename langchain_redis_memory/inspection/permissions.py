"""Which commands the server refuses, found out without changing anything.

Each command that the package sends is tried on a key that nobody has: there it reads, expires and
removes nothing. Adding to a list makes one, so that is tried by a script, which removes it again
within the same step: nobody sees it.
"""

from __future__ import annotations

import binascii
import uuid
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.errors import StorageRejected
from langchain_redis_memory.inspection.findings import Finding
from langchain_redis_memory.storage.operation import Operation, Script

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_redis_memory.storage.keys import Keys
    from langchain_redis_memory.storage.operation import Command, ScriptCall

_TRIAL = Script(
    """
-- Returns the names of the commands that are refused, each with what the server said.
local told = {}
local function try(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) ~= 'table' or not reply.err then return true end
  told[#told + 1], told[#told + 2] = name, reply.err
  return false
end
if try('UNLINK', KEYS[1]) then
  try('LPUSH', KEYS[1], 'trial')
  try('RPUSH', KEYS[1], 'trial')
  try('UNLINK', KEYS[1])
end
return told
"""
)

_NEEDED_FOR = {
    "SCAN": "removing, stores and stats",
    "GET": "profiles",
    "SET": "profiles",
    "ZSCORE": "listing sessions and exporting",
    "ZREVRANGEBYSCORE": "listing sessions and exporting",
}
"""Commands that turns do without."""

_SLOTS = 16384


def trial(keys: Keys, node: Any = None, slot: int | None = None) -> Operation[dict[str, str]]:
    """Try all commands, and give those that are refused, with the code of the reason.

    Args:
        keys: Name a key that nobody has.
        node: Which node of a cluster.
        slot: One of its slots; None for a server that is no cluster.
    """
    key = _free_key(keys, slot)
    commands = _commands(key)

    def refused(replies: Sequence[Any]) -> dict[str, str]:
        names = [str(command[0]) for command in commands] + ["EVALSHA"]
        found = {
            name: reply.code or str(reply)
            for name, reply in zip(names, replies, strict=True)
            if isinstance(reply, StorageRejected)
        }
        if isinstance(replies[-1], list):
            told = [part.decode(errors="replace") for part in replies[-1]]
            found |= dict(zip(told[::2], map(_code, told[1::2]), strict=True))
        return found

    sent: tuple[Command | ScriptCall, ...] = (*commands, _TRIAL.on(key))
    return Operation("trying commands", sent, refused, key, node=node, takes_refusals=True)


def of_commands(refused: dict[str, str], keys: Keys) -> Iterator[Finding]:
    """Tell which commands are refused, and what does not work for it."""
    full = {name for name, code in refused.items() if code == "OOM"}
    if full:
        yield Finding(
            "problem",
            "memory",
            f"the server is full and takes no writes ({_named(full)})",
            "raise maxmemory or remove data",
        )
    broken = {name for name, code in refused.items() if code == "MISCONF"}
    if broken:
        yield Finding(
            "problem",
            "persistence",
            f"the server cannot write to its disk, and takes no writes ({_named(broken)})",
            "look at its log and its disk",
        )
    names = refused.keys() - full - broken
    if turns := names - _NEEDED_FOR.keys():
        yield _denied(turns, "without which conversations fail", keys, "problem")
    if names & _NEEDED_FOR.keys():
        purposes = dict.fromkeys(_NEEDED_FOR[name] for name in sorted(names & _NEEDED_FOR.keys()))
        what = f"needed for {', '.join(purposes)}"
        yield _denied(names & _NEEDED_FOR.keys(), what, keys, "warning")
    if not refused:
        yield Finding("ok", "permissions", "all commands that the package sends are allowed")
        yield Finding("ok", "scripting", "Lua scripts run, and can write")


def _code(said: str) -> str:
    """Give the code of what a server said to a script; some begin it with the dash of an error."""
    return said.lstrip("-").partition(" ")[0]


def _denied(names: set[str], what: str, keys: Keys, level: Any) -> Finding:
    allow = " ".join(f"+{name.lower()}" for name in sorted(names))
    return Finding(
        level,
        "permissions",
        f"the server refuses {_named(names)}, {what}",
        f"allow this Redis user {allow} and the keys ~{keys.namespace}:*, as docs/operations.md "
        "has them",
    )


def _named(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _commands(key: str) -> tuple[Command, ...]:
    return (
        ("PING",),
        ("TIME",),
        ("SCAN", 0, "COUNT", 1),
        ("LLEN", key),
        ("LRANGE", key, 0, 0),
        ("LPOS", key, "x"),
        ("LINDEX", key, 0),
        ("LTRIM", key, 0, -1),
        ("PTTL", key),
        ("PEXPIRE", key, 1000),
        ("PERSIST", key),
        ("UNLINK", key),
        ("ZADD", key, "XX", 1, "x"),
        ("ZREM", key, "x"),
        ("ZSCORE", key, "x"),
        ("ZREVRANGEBYSCORE", key, 1, 0),
        ("GET", key),
        ("SET", key, "x", "XX"),
        ("EVAL", "return 1", 1, key),
    )


def _free_key(keys: Keys, slot: int | None) -> str:
    """Name a key that nobody has, in a slot if that matters: those of a cluster's node."""
    name = keys.session("doctor", "doctor", str(uuid.uuid4()))
    if slot is None:
        return name
    # CRC-16 as the specification of Redis Cluster has it; about 16,000 names are tried for a slot.
    begun, number = binascii.crc_hqx(f"{name}-".encode(), 0), 0
    while binascii.crc_hqx(str(number).encode(), begun) % _SLOTS != slot:
        number += 1
    return f"{name}-{number}"
