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
from faults.stages import CALM, SentinelStage, wait_until
from faults.verdict import Outcome, judge
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

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
                owed = self._primary.client.info("replication")["master_repl_offset"]
                while self._received() < owed:
                    if self._over.wait(0.001):
                        return
            except (redis.RedisError, KeyError):  # one is dead, or the other no replica any more
                return
            self.replicated = now

    def _received(self) -> int:
        return int(self._replica.client.info("replication")["slave_repl_offset"])


def _primary_dies(
    end: Callable[[Any, Node, Node], None],
    pair: Callable[[Any, Load], tuple[Node, Node, set[str]]],
) -> Callable[[Any, str, Scale], Outcome]:
    """Make the run of a scenario in which a primary goes without a farewell."""

    def run(stage: Any, flavour: str, scale: Scale) -> Outcome:
        with Load(stage.memory(retry=_POLICY), flavour) as turns:
            turns.go_on(max(0.3, scale.seconds / 2))
            primary, replica, sessions = pair(stage, turns)
            watch = Watch(primary, replica)
            wait_until(lambda: watch.ended or watch.replicated, "the replica has it all")
            assert watch.replicated, "the primary was none, or the replica"
            end(stage, primary, replica)
            died = time.monotonic()
            watch.end()
            wait_until(lambda: _is_primary(replica), "the replica took over")
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


def _sentinel_pair(stage: Any, turns: Load) -> tuple[Node, Node, set[str]]:
    primary = stage.servers.primary()
    (replica,) = (node for node in stage.nodes if node is not primary)
    return primary, replica, set(turns.sessions)


def _cluster_pair(stage: Any, turns: Load) -> tuple[Node, Node, set[str]]:
    owners = {name: stage.servers.primary_of(key_of(stage, name)) for name in turns.sessions}
    primary = owners[turns.sessions[0]]
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
    del replica
    stage.patience(500)
    primary.kill()


def _take_over(stage: Any, primary: Node, replica: Node) -> None:
    # Without its replica the old primary takes no writes, so it can acknowledge none in vain.
    primary.client.config_set("min-replicas-to-write", 1)
    stage.servers.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", "mymaster")
    wait_until(lambda: _is_primary(replica), "the replica took over")


def _bring_back(stage: Any, primary: Node, replica: Node) -> None:
    if primary.process.poll() is not None:
        primary.start()
    if isinstance(stage, SentinelStage):  # which would get to it in ten seconds
        primary.client.replicaof("127.0.0.1", replica.port)
    primary.client.config_set("min-replicas-to-write", 0)
    stage.patience(CALM)


def _coordinated(stage: Any, scale: Scale) -> None:
    for _ in range(1 + round(scale.seconds)):
        old = stage.servers.primary()
        stage.servers.sentinels[0].client.execute_command(
            "SENTINEL", "FAILOVER", "mymaster", "COORDINATED"
        )
        wait_until(lambda old=old: stage.servers.primary() is not old, "another took over")
        stage.heal()


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
        for _ in range(1 + round(scale.seconds)):
            _move(key, source, target, scale.seconds / 4)
            _move(key, target, source, scale.seconds / 4)
        turns.go_on(0.2)
    stage.heal()
    return judge(stage, turns.record, flavour, expected=())


def _move(key: str, source: Node, target: Node, seconds: float) -> None:
    slot = source.client.execute_command("CLUSTER", "KEYSLOT", key)
    names = [node.client.execute_command("CLUSTER", "MYID") for node in (source, target)]
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
    time.sleep(seconds)
    while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.client.execute_command(
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
        )
    time.sleep(seconds)  # now the source says ASK
    for node in (target, source):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])
    time.sleep(seconds)  # and now MOVED


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
