"""What an outage costs a caller: one deadline, and in stateless mode nothing until the pause ends.

Measured and printed; the deadline itself is a promise, and checked.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage

from faults.calls import Calls
from faults.load import AGENT, Attempt, Record, config_of, remembering
from faults.proxy import Break, Fault
from faults.scenario import Scale, Scenario
from faults.stages import wait_until
from faults.verdict import Outcome, judge
from langchain_redis_memory import StorageUnavailable
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_POLICY = RetryPolicy(deadline=1.5)
_TURN = [HumanMessage("Is anybody there?"), AIMessage("No.")]
_CROWD = 30
_PAUSE = 1.0
_WITHOUT = 20
"""Turns that are taken while nothing is sent."""


@contextlib.contextmanager
def _refusing(stage: Any) -> Iterator[None]:
    stage.proxies.refuse()
    try:
        yield
    finally:
        stage.proxies.accept()


@contextlib.contextmanager
def _black_hole(stage: Any) -> Iterator[None]:
    stage.proxies.suffer(Fault(Break.NO_ANSWER))
    try:
        yield
    finally:
        stage.proxies.suffer(None)


def _dead(
    how: Callable[[Any], contextlib.AbstractContextManager[None]], *, warm: bool
) -> Callable[[Any, str, Scale], Outcome]:
    """Make the run of a scenario that measures what a dead server costs.

    Args:
        how: How it is dead.
        warm: Whether connections are open when it dies.
    """

    def run(stage: Any, flavour: str, scale: Scale) -> Outcome:
        del scale
        memory = stage.memory(proxied=True, retry=_POLICY)
        conversation = memory.conversation(AGENT, "nobody", uuid.uuid4().hex)
        outcome = Outcome()
        with Calls(memory, flavour) as call:
            if warm:
                call.timed_together(_CROWD, conversation, "read")
            with how(stage):
                _measure(call, conversation, outcome)
            stage.heal()
            wait_until(lambda: call.timed(memory, "ping")[1] is True, "it is found again")
        return outcome

    return run


def _measure(call: Calls, conversation: Any, outcome: Outcome) -> None:
    costs = {}
    for what, arguments in (("read", ()), ("append", (_TURN,))):
        costs[what], result = call.timed(conversation, what, *arguments)
        outcome.errors[type(result).__name__] += 1
        outcome.expect(f"{what}: {result!r}", holds=isinstance(result, StorageUnavailable))
    costs[f"slowest of {_CROWD} reads at once"] = max(
        call.timed_together(_CROWD, conversation, "read")
    )
    outcome.notes += [f"{what} {seconds:.2f} s" for what, seconds in costs.items()]
    outcome.late = max(costs.values()) - _POLICY.deadline


def _stateless(
    how: Callable[[Any], contextlib.AbstractContextManager[None]],
) -> Callable[[Any, str, Scale], Outcome]:
    """Make the run of a scenario that goes on without memory."""

    def run(stage: Any, flavour: str, scale: Scale) -> Outcome:
        del scale
        memory = stage.memory(
            proxied=True, retry=_POLICY, on_unavailable="stateless", outage_pause=_PAUSE
        )
        with Calls(memory, flavour) as call:
            with how(stage):
                without = _go_without(call)
            stage.heal()
            wait_until(lambda: _finds_it_again(call), "it is found again")
            outcome = _remember_again(stage, call, flavour)
        outcome.notes += without.notes
        outcome.broken += without.broken
        outcome.late = max(outcome.late, without.late)
        return outcome

    return run


def _go_without(call: Calls) -> Outcome:
    """Take turns while the server is away: when they ask for it, and what they cost."""
    outcome = Outcome()
    first, _ = _turn(call)
    outcome.expect("away, and available", holds=not call.memory.available)
    asked = _asked(call.memory)
    within: list[float] = []
    for _ in range(_WITHOUT):
        seconds, _ = _turn(call)
        if time.monotonic() < asked[1]:  # on a busy machine some may come too late
            within.append(seconds)
            outcome.expect("asked within the pause", holds=_asked(call.memory) == asked)
    outcome.expect("no turn within the pause", holds=bool(within))
    asked = _asked(call.memory)
    time.sleep(max(0, asked[1] - time.monotonic()))
    again, _ = _turn(call)
    outcome.expect("not asked after the pause", holds=_asked(call.memory) != asked)
    dropped = call.memory.dropped_writes
    outcome.expect(f"{dropped} writes dropped", holds=dropped == _WITHOUT + 2)
    slowest = max(within, default=0)
    outcome.late = max(first - _POLICY.deadline, again - _POLICY.deadline, slowest)
    outcome.notes += [
        f"first turn {first:.2f} s",
        f"slowest of {len(within)} within the pause {slowest:.3f} s, nothing sent",
        f"after it {again:.2f} s",
    ]
    return outcome


def _asked(memory: Any) -> tuple[int, float]:
    """Tell how many requests were sent so far, and until when none will be."""
    return memory._connection.trips.count, memory._connection.availability._ask_again or 0


def _turn(call: Calls) -> tuple[float, Any]:
    chat = remembering(call.memory, Record(_POLICY.deadline))
    return call.timed(chat, "invoke", "Is anybody there?", config_of(uuid.uuid4().hex))


def _finds_it_again(call: Calls) -> bool:
    time.sleep(_PAUSE)
    _turn(call)
    return call.memory.available


def _remember_again(stage: Any, call: Calls, flavour: str) -> Outcome:
    session = uuid.uuid4().hex
    record = Record(_POLICY.deadline, [Attempt(session, f"{session}|0|0|", 0, time.monotonic())])
    result = call.timed(remembering(call.memory, record), "invoke", *_said(record.attempts[0]))
    record.attempts[0].ended = record.attempts[0].began + result[0]
    return judge(stage, record, flavour, expected=())


def _said(attempt: Attempt) -> tuple[str, Any]:
    return attempt.text, config_of(attempt.session)


SCENARIOS = [
    Scenario(
        "dead server, refuses connections: deadline 1.5 s",
        _dead(_refusing, warm=False),
        brief=("standalone",),
    ),
    Scenario(
        "dead server, black hole: deadline 1.5 s",
        _dead(_black_hole, warm=False),
        brief=("Cluster",),
    ),
    Scenario(
        "the same, with connections open when it dies",
        _dead(_black_hole, warm=True),
        brief=("Sentinel",),
    ),
    Scenario(
        "stateless: refused, deadline 1.5 s, pause 1 s",
        _stateless(_refusing),
        brief=("TLS",),
    ),
    Scenario(
        "stateless: black hole, deadline 1.5 s, pause 1 s",
        _stateless(_black_hole),
        brief=("Cluster",),
    ),
]
