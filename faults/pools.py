"""Many callers, few connections: pools, event loops, and connections that are new each time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from faults.load import Attempt, Load, Record, aturn, remembering, turn
from faults.scenario import Scale, Scenario
from faults.stages import wait_until
from faults.verdict import Outcome, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CALLERS = 200
_NAME = "crowd"


def _crowd(connections: int, **options: Any) -> Callable[[Any, str, Scale], Outcome]:
    """Make the run of a scenario with 200 turns at once on a few connections to each node."""

    def run(stage: Any, flavour: str, scale: Scale) -> Outcome:
        memory = stage.memory(client_name=_NAME, **options)
        load = Load(memory, flavour, callers=_CALLERS)
        with _peak(stage) as seen, load:
            load.go_on(2 * scale.seconds)
            wait_until(lambda: any(seen), "the crowd was counted")
        outcome = judge(stage, load.record, flavour, expected=())
        outcome.notes.append(f"at most {max(seen)} connections to a node")
        outcome.expect(f"{max(seen)} connections", holds=max(seen) <= connections)
        wait_until(lambda: not any(_connections(stage)), "no connection is left open")
        return outcome

    return run


@contextlib.contextmanager
def _peak(stage: Any) -> Iterator[list[int]]:
    """Count the connections of the crowd to each node, again and again."""
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            seen.extend(_connections(stage))

    thread = threading.Thread(target=watch, name="peak")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _connections(stage: Any) -> list[int]:
    """Count the connections of the crowd to each node."""
    return [
        sum(client["name"] == _NAME for client in node.client.client_list()) for node in stage.nodes
    ]


def _new_each_time(stage: Any, flavour: str, scale: Scale) -> Outcome:
    load = Load(stage.memory(), flavour)  # for its name and its record
    attempts = _attempts(load, 0, 20 + round(40 * scale.seconds))
    if flavour == "async":
        asyncio.run(_anew_each_time(stage, load.record, attempts))
    else:
        for attempt in attempts:
            with stage.memory() as memory:
                turn(remembering(memory, load.record), attempt)
    return judge(stage, load.record, flavour, expected=())


async def _anew_each_time(stage: Any, record: Record, attempts: Iterator[Attempt]) -> None:
    for attempt in attempts:
        async with stage.memory() as memory:
            await aturn(remembering(memory, record), attempt)


def _attempts(load: Load, caller: int, count: int) -> Iterator[Attempt]:
    session = load.sessions[caller % len(load.sessions)]
    for number in range(count):
        text = f"{session}|{caller}|{number}|"
        attempt = Attempt(session, text, caller, time.monotonic())
        load.record.attempts.append(attempt)
        yield attempt


def _loops(stage: Any, flavour: str, scale: Scale) -> Outcome:
    """Use one memory on several event loops at once, one after another in each thread."""
    memory = stage.memory(client_name=_NAME)
    load = Load(memory, flavour)
    chat = remembering(memory, load.record)

    async def turns(caller: int) -> None:
        await asyncio.gather(*(some_turns(caller + part) for part in (0, 100)))

    async def some_turns(caller: int) -> None:
        for attempt in _attempts(load, caller, 10):
            await aturn(chat, attempt)

    def loops(thread: int) -> None:
        for number in range(2 + round(5 * scale.seconds)):
            asyncio.run(turns(1000 * number + thread))

    threads = [threading.Thread(target=loops, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory.close()
    wait_until(lambda: not any(_connections(stage)), "no connection is left open")
    return judge(stage, load.record, flavour, expected=())


SCENARIOS = [
    Scenario(
        "200 turns at once, pool of 5",
        _crowd(5, max_connections=5),
        brief=("standalone", "Cluster"),
    ),
    Scenario("200 turns at once, default settings", _crowd(10), brief=("standalone",)),
    Scenario("a new connection for every turn", _new_each_time, brief=("standalone", "TLS")),
    Scenario("several event loops in several threads", _loops, flavours=("async",)),
]
