"""A server that is killed, and what it says while it reads its data again."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from faults.scenario import Scale, Scenario, during_load
from faults.stages import wait_until
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from faults.stages import Node

_MICROSECONDS_A_KEY = 400


def killed(stage: Any, scale: Scale) -> None:
    """Kill all servers, and start them again."""
    for _ in range(1 + round(scale.seconds)):
        for node in stage.nodes:
            node.kill()
        for node in stage.nodes:
            node.start()
        time.sleep(scale.seconds / 2)


def _loading(stage: Any, scale: Scale) -> None:
    (node,) = stage.nodes
    names = [f"filler:{number}" for number in range(1000 + round(1500 * scale.seconds))]
    node.client.mset(dict.fromkeys(names, "x"))
    node.client.execute_command("BGREWRITEAOF")
    wait_until(lambda: _is_rewritten(node), "the append-only file is rewritten")
    node.kill()
    assert _refusals_while_loading(node), "the server never said LOADING"
    node.client.unlink(*names)


def _is_rewritten(node: Node) -> bool:
    facts = node.client.info("persistence")
    return not (facts["aof_rewrite_in_progress"] or facts["aof_rewrite_scheduled"])


def _refusals_while_loading(node: Node) -> int:
    """Start the server so that it loads slowly, and count how often it says so."""
    # What DEBUG would do, as an option: a pause for each key, in which clients are answered.
    slowly = ("--key-load-delay", str(_MICROSECONDS_A_KEY))
    node.process = subprocess.Popen(
        [*node._command, *slowly, "--loading-process-events-interval-bytes", "1024"]
    )
    count = 0
    asking = redis.Redis(port=node.port, retry=Retry(NoBackoff(), 0))
    while True:
        try:
            asking.ping()
        except redis.exceptions.BusyLoadingError:
            count += 1
        except redis.ConnectionError:
            assert node.process.poll() is None, "the server did not start"
        else:
            asking.close()
            return count
        time.sleep(0.01)


SCENARIOS = [
    Scenario(
        "server killed (SIGKILL), restarted from its append-only file",
        during_load(killed),
        ("standalone", "TLS"),
    ),
    Scenario(
        "server LOADING its data, up to 2 s",
        during_load(_loading, expected=(), retry=RetryPolicy()),
        ("standalone",),
    ),
]
