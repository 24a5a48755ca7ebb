"""A server that answers, and refuses: memory, role, password, permission; a wrong certificate."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults.load import Load
from faults.scenario import Scale, Scenario, during_load
from faults.stages import TLSStage, wait_until
from faults.verdict import Outcome, judge
from langchain_redis_memory import RedisMemory
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

_PASSWORD = "right-Pass"
_WRONG = "wrong-Pass"
_ROOM = 300_000
"""Bytes that a server may still take when its memory is about to be full."""


def _full(stage: Any, scale: Scale) -> None:
    before = stage.refusals("OOM")
    for node in stage.nodes:
        used = node.client.info("memory")["used_memory"]
        node.client.config_set("maxmemory-policy", "noeviction")
        node.client.config_set("maxmemory", used + _ROOM)
    time.sleep(scale.seconds)
    wait_until(lambda: stage.refusals("OOM") > before, "the memory is full")
    for node in stage.nodes:
        node.client.config_set("maxmemory", 0)


def _read_only(stage: Any, scale: Scale) -> None:
    (node,) = stage.nodes
    before = stage.refusals("READONLY")
    with socket.socket() as nobody:  # its data stays as it is, since there is none to copy
        nobody.bind(("127.0.0.1", 0))
        node.client.replicaof(*nobody.getsockname())
        time.sleep(min(1.5, scale.seconds))
        wait_until(lambda: stage.refusals("READONLY") > before, "a write was refused")
        node.client.replicaof("NO", "ONE")


def _refused(
    user: str, rules: tuple[str, ...], *, password: str = _PASSWORD, expected: str
) -> Callable[[Any, str, Scale], Outcome]:
    """Make the run of a scenario in which the server refuses a user."""

    def run(stage: Any, flavour: str, scale: Scale) -> Outcome:
        for node in stage.nodes:
            node.client.execute_command("ACL", "SETUSER", user, "reset", *rules)
        url = stage.url.replace("://", f"://{user}:{password}@", 1)
        memory = RedisMemory.from_url(url, **stage.options)
        return _only_errors(stage, memory, flavour, scale, expected)

    return run


def _expired(stage: Any, flavour: str, scale: Scale) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="lrm-expired-") as directory,
        contextlib.closing(_Expired(directory)) as expired,
    ):
        memory = expired.stage.memory()
        return _only_errors(stage, memory, flavour, scale, "StorageRejected")


class _Expired:
    """A server whose certificate is out of date."""

    def __init__(self, directory: str) -> None:
        self.stage = TLSStage(Path(directory), expired=True)
        self.close = self.stage.stop


def _only_errors(
    stage: Any, memory: RedisMemory, flavour: str, scale: Scale, expected: str
) -> Outcome:
    """Take turns that are all refused, at once and without naming a password."""
    with Load(memory, flavour, callers=4, turns=3 + 10 * round(scale.seconds)) as turns:
        pass
    outcome = judge(stage, turns.record, flavour, expected=(expected,))
    outcome.expect("a refused turn was acknowledged", holds=not outcome.acknowledged)
    # To read and to write, each once more where the server had not seen the script before.
    trips = memory._connection.trips.count
    outcome.expect(f"{trips} trips: refused, and tried again", holds=trips <= 4 * outcome.tried)
    said = " ".join(str(attempt.error) for attempt in turns.record.attempts)
    secret = [word for word in (_PASSWORD, _WRONG) if word in said]
    outcome.expect("an error names a password", holds=not secret)
    return outcome


_ON = ("on", f">{_PASSWORD}", "~*", "&*", "+@all")

SCENARIOS = [
    Scenario(
        "memory full (noeviction)",
        during_load(
            _full, expected=("TurnNotSavedError(StorageRejected)",), load={"padding": 4000}
        ),
        ("standalone", "Cluster"),
        brief=("standalone",),
    ),
    Scenario(
        "server turned into a read-only replica, and back",
        during_load(_read_only, expected=(), retry=RetryPolicy()),
        ("standalone",),
    ),
    Scenario(
        "wrong password",
        _refused("somebody", _ON, password=_WRONG, expected="StorageRejected"),
        brief=("standalone", "Sentinel"),
    ),
    Scenario(
        "no permission for scripts",
        _refused("reader", (*_ON, "-eval", "-evalsha"), expected="StorageRejected"),
        brief=("Cluster",),
    ),
    Scenario(
        "no permission to push",
        _refused("half", (*_ON, "-lpush"), expected="TurnNotSavedError(StorageRejected)"),
        brief=("standalone",),
    ),
    Scenario("certificate expired", _expired, ("TLS",)),
]
