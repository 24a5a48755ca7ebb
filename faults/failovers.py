"""A replica takes its primary's place, or another node takes over a slot.

Redis replicates after it has acknowledged: a primary that dies takes along what its replica has
not received yet, whoever the client is. So while a primary is killed it is watched up to when what
it acknowledged is on the replica. Turns acknowledged after that by the primary that died are the
servers' own to lose; the table tells how many those were. A graceful failover loses nothing.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import redis

from faults.load import AGENT, Attempt, Load, config_of
from faults.scenario import Scale, Scenario, during_load
from faults.stages import SentinelStage, wait_until
from faults.verdict import Outcome, judge
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from faults.stages import Node

_POLICY = RetryPolicy()


class Watch:
    """Watches up to when all that a primary acknowledged is on its replica."""

    def __init__(self, primary: Node, replica: Node) -> None:
        self.replicated = 0.0
        self._primary = primary
        self._replica = replica
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether one of them is dead, or the replica none any more."""
        return not self._thread.is_alive()

    def end(self) -> None:
        """Stop watching."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            now = time.monotonic()
            try:
                owed = _offset(self._primary, "master")
                while _offset(self._replica, "slave") < owed:
                    if self._over.wait(0.001):
                        return
            except (redis.RedisError, KeyError):  # one is dead, or the other no replica any more
                return
            self.replicated = now


def _offset(node: Node, role: str) -> int:
    return int(node.client.info("replication")[f"{role}_repl_offset"])


def _primary_dies(
    end: Callable[[Any, Node, Node], None],
    pair: Callable[[Any, list[str]], tuple[Node, Node, set[str]]],
) -> Callable[[Any, str, Scale], Outcome]:
    """Make the run of a scenario in which a primary goes without a farewell."""

    def run(stage: Any, flavour: str, scale: Scale) -> Outcome:
        with Load(stage.memory(retry=_POLICY), flavour) as turns:
            turns.go_on(max(0.3, scale.seconds / 2))
            primary, replica, sessions = pair(stage, turns.sessions)
            watch = Watch(primary, replica)
            wait_until(lambda: watch.ended or watch.replicated, "the replica has it all")
            assert watch.replicated, "the primary was none, or the replica"
            end(stage, primary, replica)
            died = time.monotonic()
            watch.end()
            wait_until(lambda: _is_primary(replica), "the replica took over")
            stage.calm()
            turns.go_on(max(0.3, scale.seconds / 2))
            _bring_back(stage, primary, replica)
        stage.heal()

        def excused(attempt: Attempt) -> bool:
            at_risk = attempt.began < died and attempt.ended > watch.replicated
            return at_risk and attempt.session in sessions

        outcome = judge(stage, turns.record, flavour, expected=(), excused=excused)
        risk = sum(a.acknowledged and excused(a) for a in turns.record.attempts)
        outcome.notes.append(
            f"{risk} turns of the last {died - watch.replicated:.3f} s were not known to be "
            "replicated and do not count as acknowledged for good"
        )
        return outcome

    return run


def _sentinel_pair(stage: Any, sessions: Iterable[str] = ()) -> tuple[Node, Node, set[str]]:
    primary = stage.servers.primary()
    (replica,) = (node for node in stage.nodes if node is not primary)
    return primary, replica, set(sessions)


def _cluster_pair(stage: Any, sessions: list[str]) -> tuple[Node, Node, set[str]]:
    owners = {name: stage.servers.primary_of(key_of(stage, name)) for name in sessions}
    primary = owners[sessions[0]]
    replica = _replica_of(stage, primary)
    return primary, replica, {name for name, owner in owners.items() if owner is primary}


def _replica_of(stage: Any, primary: Node) -> Node:
    return next(
        node
        for node in stage.nodes
        if node.client.info("replication").get("master_port") == primary.port
    )


def key_of(stage: Any, session: str) -> str:
    """Name the key of a session."""
    ids = config_of(session)["configurable"]
    with stage.memory() as memory:
        return memory.history(AGENT, ids["user_id"], ids["session_id"]).key


def _is_primary(node: Node) -> bool:
    return node.client.info("replication")["role"] == "master"


def _kill(stage: Any, primary: Node, replica: Node) -> None:
    stage.alert(replica)
    primary.kill()


def _take_over(stage: Any, primary: Node, replica: Node) -> None:
    # Without its replica the old primary takes no writes, so it can acknowledge none in vain.
    primary.client.config_set("min-replicas-to-write", 1)
    _ask_for_failover(stage)
    wait_until(lambda: _is_primary(replica), "the replica took over")


def _ask_for_failover(stage: Any, *how: str) -> None:
    sentinel = stage.servers.sentinels[0].client
    # It refuses while it has not done with the failover before.
    wait_until(
        lambda: sentinel.execute_command("SENTINEL", "FAILOVER", "mymaster", *how),
        "a sentinel begins a failover",
    )


def _bring_back(stage: Any, primary: Node, replica: Node) -> None:
    if primary.process.poll() is not None:
        primary.start()
    if isinstance(stage, SentinelStage):  # which would get to it in ten seconds
        primary.client.replicaof("127.0.0.1", replica.port)
    primary.client.config_set("min-replicas-to-write", 0)


def _coordinated(stage: Any, scale: Scale) -> None:
    version = stage.nodes[0].client.info("server").get("valkey_version", "0")
    for _ in range(1 + round(scale.seconds)):
        old, replica, _ = _sentinel_pair(stage)
        if int(version.partition(".")[0]) >= 9:
            _ask_for_failover(stage, "COORDINATED")
            wait_until(lambda old=old: stage.servers.primary() is not old, "another took over")
        else:
            _coordinate(stage, old, replica)
        stage.heal()


def _coordinate(stage: Any, primary: Node, replica: Node) -> None:
    """Do by hand what older servers have no command for."""
    primary.client.client_pause(60_000, all=False)
    wait_until(lambda: _offset(replica, "slave") == _offset(primary, "master"), "it has it all")
    _ask_for_failover(stage)
    wait_until(lambda: _is_primary(replica), "the replica took over")
    primary.client.replicaof("127.0.0.1", replica.port)
    primary.client.client_unpause()


def _cluster_failover(stage: Any, scale: Scale) -> None:
    del scale
    for primary in [node for node in stage.nodes if _is_primary(node)]:
        replica = _replica_of(stage, primary)
        replica.client.execute_command("CLUSTER", "FAILOVER")
        wait_until(lambda replica=replica: _is_primary(replica), "the replica took over")
    stage.heal()


def _slot_moved(stage: Any, flavour: str, scale: Scale) -> Outcome:
    """Move the slot of one session to another node and back, while turns go on."""
    with Load(stage.memory(retry=_POLICY), flavour) as turns:
        turns.go_on(0.2)
        key = key_of(stage, turns.sessions[0])
        source = stage.servers.primary_of(key)
        target = next(n for n in stage.nodes if n is not source and _is_primary(n))
        for _ in range(1 + round(4 * scale.seconds)):
            _move(stage, key, source, target)
            _move(stage, key, target, source)
        turns.go_on(0.2)
    stage.heal()
    return judge(stage, turns.record, flavour, expected=())


def _move(stage: Any, key: str, source: Node, target: Node) -> None:
    slot = source.client.execute_command("CLUSTER", "KEYSLOT", key)
    names = [node.client.execute_command("CLUSTER", "MYID") for node in (source, target)]
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
    asked, moved = stage.refusals("ASK"), stage.refusals("MOVED")
    while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
        )
    wait_until(lambda: stage.refusals("ASK") > asked + 5, "the source said ASK")
    for node in (target, source):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])
    wait_until(lambda: stage.refusals("MOVED") > moved, "the source said MOVED")


SCENARIOS = [
    Scenario(
        "graceful failover (SENTINEL FAILOVER COORDINATED)",
        during_load(_coordinated, expected=(), retry=_POLICY),
        ("Sentinel",),
    ),
    Scenario(
        "forced failover (SENTINEL FAILOVER, min-replicas-to-write 1)",
        _primary_dies(_take_over, _sentinel_pair),
        ("Sentinel",),
    ),
    Scenario(
        "primary killed (SIGKILL), replica takes over",
        _primary_dies(_kill, _sentinel_pair),
        ("Sentinel",),
    ),
    Scenario(
        "graceful failover of each primary (CLUSTER FAILOVER)",
        during_load(_cluster_failover, expected=(), retry=_POLICY),
        ("Cluster",),
    ),
    Scenario(
        "cluster's primary killed (SIGKILL), replica takes over",
        _primary_dies(_kill, _cluster_pair),
        ("Cluster",),
    ),
    Scenario("slot moved to another node and back (MOVED, ASK)", _slot_moved, ("Cluster",)),
]
