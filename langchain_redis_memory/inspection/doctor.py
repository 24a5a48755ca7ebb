"""Looking for what is wrong: with the way to the server, with the server, with what it holds.

This is the one place where the package sends admin commands (INFO, CONFIG GET, CLUSTER INFO,
DBSIZE), all of which only read. What is refused or fails is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.display.words import counted
from langchain_redis_memory.errors import StorageRejected, StorageUnavailable
from langchain_redis_memory.inspection import about_server as about
from langchain_redis_memory.inspection import facts, permissions, reaching
from langchain_redis_memory.inspection.contents import look_through
from langchain_redis_memory.inspection.findings import Finding, Level, gravest, merged
from langchain_redis_memory.inspection.walking import keys_at
from langchain_redis_memory.part import check_flag, check_progress
from langchain_redis_memory.storage.operation import Layout, NodeGoneError
from langchain_redis_memory.storage.steps import Nodes, Sentinels

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.inspection.facts import Facts
    from langchain_redis_memory.inspection.figures import Stats
    from langchain_redis_memory.inspection.walking import Walked
    from langchain_redis_memory.storage.keys import Keys
    from langchain_redis_memory.storage.servers import Server
    from langchain_redis_memory.storage.steps import Steps

T = TypeVar("T")

_FAILURES = (StorageUnavailable, StorageRejected, NodeGoneError)
_REMEDY = "docs/operations.md tells what each error means"


@dataclass(frozen=True, slots=True)
class Diagnosis(Shown):
    """What `RedisMemory.doctor` found.

    Attributes:
        findings: What was found, from the connection to the contents.
        stats: What the memory holds; None if that was not asked for, or failed.
    """

    findings: tuple[Finding, ...]
    stats: Stats | None = None

    @property
    def level(self) -> Level:
        """The level of the gravest finding."""
        return gravest(self.findings)

    def _card(self) -> Card:
        from langchain_redis_memory.display.inspected import diagnosis_card  # noqa: PLC0415 - see `Shown`

        return diagnosis_card(self)


def examine(
    keys: Keys,
    server: Server,
    ttl_ms: int,
    *,
    walks: bool,
    progress: Callable[[Walked], object] | None,
) -> Steps[Diagnosis]:
    """Look at everything; see `Inspection.doctor`.

    Args:
        keys: Name the memory's keys.
        server: Where they are.
        ttl_ms: After how many milliseconds the memory's conversations expire; 0 for never.
        walks: Whether to go through all keys.
        progress: Called with how far that has come.
    """
    check_flag("keys", walks)
    check_progress(progress)
    try:
        found = yield from reaching.reach(server)
        layout = yield Nodes()
    except _FAILURES as error:
        return Diagnosis((_failed("connection", error),))
    found += yield from _of_nodes(layout, server, keys)
    if words := (yield Sentinels()):
        found += about.of_sentinels(words)
    if not walks:
        return Diagnosis(tuple(found))
    stats = None
    try:
        stats, more = yield from look_through(keys, ttl_ms, progress)
        found += more
    except _FAILURES as error:
        found.append(_failed("keys", error))
    return Diagnosis(tuple(found), stats)


def _of_nodes(layout: Layout, server: Server, keys: Keys) -> Steps[list[Finding]]:
    by_node: dict[str, list[Finding]] = {}
    for node, slot in zip(layout.nodes, layout.slots, strict=True):
        if node is not None and slot is None:
            continue  # it holds nothing
        found: list[Finding] = []
        by_node["" if node is None else str(node.name)] = found
        try:
            yield from _of_node(node, slot, server, keys, found)
        except _FAILURES as error:
            found.append(_failed("server", error))
    return list(merged(by_node))


def _of_node(
    node: Any, slot: int | None, server: Server, keys: Keys, found: list[Finding]
) -> Steps[None]:
    told = yield facts.info(node)
    if isinstance(told, StorageRejected):
        what = "its version, memory, eviction policy, persistence and replication"
        found.append(about.untold(what, _reason(told)))
        told = {}
    else:
        needs_replica = server.address.startswith(("sentinel", "cluster"))
        found += about.of_version(told)
        found += about.of_memory(told)
        found += about.of_eviction(told)
        found += yield from _of_persistence(node, told)
        found += about.of_replication(told, needs_replica=needs_replica)
    if node is not None:
        state = yield facts.cluster_info(node)
        refused = isinstance(state, StorageRejected)
        found += (
            [about.untold("the cluster's state", _reason(state))]
            if refused
            else (about.of_cluster(state))
        )
    found += yield from reaching.clock(node)
    found += yield from _of_size(node)
    if told.get("role", "master") in ("master", "primary"):
        found += permissions.of_commands((yield permissions.trial(keys, node, slot)), keys)


def _of_persistence(node: Any, told: Facts) -> Steps[list[Finding]]:
    settings: dict[str, str | None] = {}
    for name in ("appendfsync", "save"):
        setting = yield facts.config(name, node)
        settings[name] = None if isinstance(setting, StorageRejected) else setting.get(name)
    found = list(about.of_persistence(told, **settings))
    if isinstance(setting, StorageRejected):
        found.append(about.untold("how often it writes to disk", _reason(setting)))
    return found


def _of_size(node: Any) -> Steps[list[Finding]]:
    size = yield keys_at(node)
    if isinstance(size, StorageRejected):
        return [about.untold("how many keys it holds", _reason(size))]
    text = f"the server holds {counted(size, 'key')}, the memory's and others"
    return [Finding("ok", "contents", text)]


def _failed(subject: str, error: Exception) -> Finding:
    return Finding("problem", subject, str(error), _REMEDY)


def _reason(error: StorageRejected) -> str:
    return error.code or str(error).rpartition(" failed: ")[2]
