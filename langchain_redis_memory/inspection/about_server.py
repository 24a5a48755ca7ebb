"""Findings of what a server tells of itself: pure functions, which ask nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_redis_memory.display.words import counted
from langchain_redis_memory.inspection.figures import in_bytes
from langchain_redis_memory.inspection.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_redis_memory.inspection.facts import Facts
    from langchain_redis_memory.inspection.findings import Level
    from langchain_redis_memory.storage.sentinels import Word

_OLDEST = (6, 2)
_NEARLY_FULL = 0.8
_FULL = 0.95
_LATE = 10
"""Seconds that a replica may be silent."""
_KINDS = ("valkey", "dragonfly", "keydb", "kvrocks")
_SENTINELS = 3
"""How many it takes for a majority without one of them."""
_TESTED = ("redis", "valkey")


def of_version(facts: Facts) -> Iterator[Finding]:
    """Tell what server it is, and whether the package works with it."""
    kind = next((kind for kind in _KINDS if f"{kind}_version" in facts), "redis")
    own = facts.get(f"{kind}_version", "")
    # Others tell here which version of Redis they behave like.
    spoken = facts.get("redis_version", own)
    numbers = [int(number) for number in re.findall(r"\d+", spoken)[:2]]
    name = f"{kind.capitalize()} {own}".strip()
    if not numbers:
        yield _untold("server", "its version")
    elif tuple(numbers) < _OLDEST:
        yield Finding(
            "problem", "server", f"{name}; the package needs Redis 6.2", "use a later version"
        )
    elif kind not in _TESTED:
        yield Finding(
            "warning",
            "server",
            f"{name}: the package is tested with Redis and Valkey",
            "try your application on it with care",
        )
    else:
        yield Finding("ok", "server", name)


def of_eviction(facts: Facts) -> Iterator[Finding]:
    """Tell whether the server deletes what it was to keep."""
    policy, limit = facts.get("maxmemory_policy"), _number(facts, "maxmemory")
    evicted = _number(facts, "evicted_keys") or 0
    remedy = "set maxmemory-policy to noeviction, and keep caches that may be evicted elsewhere"
    if policy is None:
        yield _untold("eviction", "its maxmemory-policy")
    elif policy == "noeviction":
        yield Finding("ok", "eviction", "noeviction: nothing is deleted before its time")
    elif limit == 0:
        yield Finding(
            "note", "eviction", f"{policy}, which would matter if the server had a limit", remedy
        )
    elif policy.startswith("volatile"):
        text = f"{policy}: a full server deletes conversations before their time"
        yield Finding("warning", "eviction", text, remedy)
    else:
        text = f"{policy}: a full server deletes conversations and profiles"
        yield Finding("problem", "eviction", text, remedy)
    if evicted and policy != "noeviction":
        text = f"{counted(evicted, 'key')} deleted since the server started, for want of memory"
        yield Finding("problem", "eviction", text, remedy)


def of_memory(facts: Facts) -> Iterator[Finding]:
    """Tell how full the server is."""
    used, limit = _number(facts, "used_memory"), _number(facts, "maxmemory")
    if used is None or limit is None:
        yield _untold("memory", "how full it is")
        return
    most = limit or _number(facts, "total_system_memory") or 0
    of_what = "of its limit of" if limit else "and has no limit; the machine has"
    text = f"{in_bytes(used)} {of_what} {in_bytes(most)}" if most else f"{in_bytes(used)}, no limit"
    share = used / most if most else 0
    level: Level = "problem" if share >= _FULL else "warning" if share >= _NEARLY_FULL else "ok"
    advice = "raise maxmemory or use a larger machine; a shorter ttl or max_messages keeps less"
    yield Finding(level, "memory", f"it uses {text}", advice if level != "ok" else "")


def of_persistence(facts: Facts, appendfsync: str | None, save: str | None) -> Iterator[Finding]:
    """Tell what would survive a crash.

    Args:
        facts: What the server tells of itself.
        appendfsync: When it sees to it that what it appended is on the disk; None if untold.
        save: When it takes snapshots; None if untold.
    """
    remedy = "set appendonly yes; with appendfsync always nothing that was stored is lost"
    failed = [
        what
        for name, what in (
            ("aof_last_write_status", "appending to its file"),
            ("aof_last_bgrewrite_status", "rewriting that file"),
            ("rdb_last_bgsave_status", "taking a snapshot"),
        )
        if facts.get(name, "ok") != "ok"
    ]
    if failed:
        text = f"{' and '.join(failed)} failed the last time"
        yield Finding("problem", "persistence", text, "look at the server's log and its disk")
    if "aof_enabled" not in facts:
        yield _untold("persistence", "what survives a crash")
    elif facts["aof_enabled"] == "1":
        yield _of_appending(appendfsync)
    elif save == "":
        text = "nothing is written to disk: a restart loses all"
        yield Finding("warning", "persistence", text, remedy)
    else:
        some = "snapshots only" if save else "no append-only file; snapshots perhaps"
        changes = counted(_number(facts, "rdb_changes_since_last_save") or 0, "change")
        text = f"{some}: a crash loses what came after the last one, {changes} by now"
        yield Finding("warning", "persistence", text, remedy)


def _of_appending(appendfsync: str | None) -> Finding:
    told = {
        "always": Finding(
            "ok", "persistence", "append-only file, synced at every write: a crash loses nothing"
        ),
        "everysec": Finding(
            "ok", "persistence", "append-only file: a crash loses a second of turns at most"
        ),
        "no": Finding(
            "warning",
            "persistence",
            "append-only file, synced when the system likes: a crash may lose half a minute",
            "set appendfsync to everysec or always",
        ),
    }
    unknown = Finding("note", "persistence", "append-only file; how often it is synced is not told")
    return told.get(appendfsync or "", unknown)


def of_replication(facts: Facts, *, needs_replica: bool) -> Iterator[Finding]:
    """Tell whether it is the primary, and whether replicas follow.

    Args:
        facts: What the server tells of itself.
        needs_replica: Whether Sentinel or a cluster would have to put a replica in its place.
    """
    role = facts.get("role")
    replicas = [value for name, value in facts.items() if re.fullmatch(r"slave\d+", name)]
    if role is None:
        yield _untold("replication", "whether it is the primary")
    elif role not in ("master", "primary"):
        remedy = "name the primary, or use redis+sentinel:// or the service's primary endpoint"
        yield Finding("problem", "replication", "this is a replica, which takes no writes", remedy)
    elif not replicas:
        remedy = "add a replica"
        if needs_replica:
            text = "no replica: nobody takes over when this server fails"
            yield Finding("warning", "replication", text, remedy)
        else:
            yield Finding("ok", "replication", "a primary without replicas")
    else:
        late = [one for one in replicas if not _follows(one)]
        text = counted(len(replicas), "replica")
        if late:
            remedy = "look at the replicas' logs and the network between"
            text = f"{len(late)} of {text} do not follow"
            yield Finding("warning", "replication", text, remedy)
        else:
            yield Finding("ok", "replication", f"a primary with {text}")


def _follows(replica: str) -> bool:
    facts = dict(part.split("=", 1) for part in replica.split(",") if "=" in part)
    return facts.get("state") == "online" and int(facts.get("lag", 0)) <= _LATE


def of_cluster(facts: Facts) -> Iterator[Finding]:
    """Tell whether a cluster serves all keys."""
    state, failing = facts.get("cluster_state"), _number(facts, "cluster_slots_fail") or 0
    possibly = _number(facts, "cluster_slots_pfail") or 0
    served = _number(facts, "cluster_slots_assigned") or 0
    remedy = "look at CLUSTER NODES, and bring back the nodes that fail"
    if state is None:
        yield _untold("cluster", "its state")
    elif state != "ok" or failing:
        text = f"its state is {state}, {failing:,} of {served:,} slots fail"
        yield Finding("problem", "cluster", text, remedy)
    elif possibly:
        text = f"the nodes of {possibly:,} slots do not answer this one"
        yield Finding("warning", "cluster", text, remedy)
    else:
        yield Finding("ok", "cluster", f"all {served:,} slots are served")


def of_sentinels(words: Sequence[Word]) -> Iterator[Finding]:
    """Tell whether sentinels could put a replica in the primary's place."""
    silent = [word for word in words if not word.facts]
    heard = [word.facts for word in words if word.facts]
    remedy = "look at the sentinels' logs, and at their addresses in the URL"
    for word in silent:
        text = f"{word.sentinel} says nothing of the primary ({word.reason})"
        yield Finding("warning", "sentinel", text, remedy)
    if any(facts.get("is_odown") or facts.get("is_sdown") for facts in heard):
        yield Finding("problem", "sentinel", "they take the primary for dead", remedy)
    if not heard:
        return
    number = 1 + max(int(facts.get("num-other-sentinels", 0)) for facts in heard)
    quorum = max(int(facts.get("quorum", 0)) for facts in heard)
    text = f"{counted(number, 'sentinel')}, of which {quorum} must agree"
    if number < _SENTINELS:
        text += ": when one of them fails, no other can replace the primary"
        yield Finding("warning", "sentinel", text, "run at least three, on different machines")
    else:
        yield Finding("ok", "sentinel", text)


def untold(names: str, reason: str) -> Finding:
    """Tell what the server refused to tell.

    Args:
        names: What was asked.
        reason: Why it said no.
    """
    return Finding(
        "note",
        "server",
        f"it does not tell {names} ({reason})",
        "look in the service's console; docs/operations.md has a user for this",
    )


def _untold(subject: str, what: str) -> Finding:
    return Finding(
        "note", subject, f"the server does not tell {what}", "look in the service's console"
    )


def _number(facts: Facts, name: str) -> int | None:
    value = facts.get(name, "")
    return int(value) if value.isdigit() else None
