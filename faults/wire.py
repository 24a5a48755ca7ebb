"""Faults of the wire and of a server that is slow or away for a moment."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from faults.load import HASTY
from faults.proxy import Break, Fault
from faults.scenario import Scale, Scenario, during_load
from faults.stages import wait_until
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

# Longer than a wait for the server, so that the repeat overtakes the original; short enough that
# a second attempt may succeed.
HELD = HASTY.attempt_timeout * 1.5

_ENOUGH = 20
"""Requests that a fault of the wire must befall at least."""


def broken_wire(what: Break, share: float, seconds: float = 0) -> Callable[[Any, Scale], None]:
    """Make what lets a share of all requests meet a fault of the wire."""

    def inject(stage: Any, scale: Scale) -> None:
        before = stage.proxies.befallen()
        stage.proxies.suffer(Fault(what, share, seconds))
        time.sleep(scale.seconds + 2 * seconds)
        wait_until(lambda: stage.proxies.befallen() >= before + _ENOUGH, "requests met the fault")
        stage.proxies.suffer(None)

    return inject


def _stopped(stage: Any, scale: Scale) -> None:
    for node in stage.nodes:
        node.process.send_signal(signal.SIGSTOP)
    time.sleep(HELD)
    for node in stage.nodes:
        node.process.send_signal(signal.SIGCONT)
    time.sleep(scale.seconds)


def refused(stage: Any, scale: Scale) -> None:
    """Refuse connections for a while."""
    stage.proxies.refuse()
    time.sleep(min(3.0, 5 * scale.seconds))
    stage.proxies.accept()


def _wire_scenario(what: Break, share: float, seconds: float, *brief: str) -> Scenario:
    run = during_load(broken_wire(what, share, seconds), proxied=True)
    return Scenario(what.value, run, brief=brief)


SCENARIOS = [
    _wire_scenario(Break.BEFORE, 0.2, 0, "standalone"),
    _wire_scenario(Break.COMMAND, 0.2, 0, "standalone"),
    _wire_scenario(Break.AFTER, 0.2, 0, "standalone", "Sentinel", "Cluster"),
    _wire_scenario(Break.REPLY, 0.2, 0, "standalone", "TLS", "Sentinel"),
    _wire_scenario(Break.STALL, 0.3, HELD, "standalone"),
    Scenario(
        "server stopped (SIGSTOP) longer than the socket time-out",
        during_load(_stopped),
        brief=("standalone",),
    ),
    Scenario(
        "connections refused for 3 s, default policy: no turn fails",
        during_load(refused, proxied=True, expected=(), retry=RetryPolicy()),
        brief=("standalone",),
    ),
    Scenario(
        "connections refused for 3 s, deadline of 2 s",
        during_load(refused, proxied=True),
        brief=("Cluster",),
    ),
]
