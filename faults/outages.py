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
from faults.verdict import Outcome, judge
from langchain_redis_memory import StorageUnavailable
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_POLICY = RetryPolicy(deadline=1.5)
_TURN = [HumanMessage("Is anybody there?"), AIMessage("No.")]
_CROWD = 30
_PAUSE = 1.0
_SLACK = 0.5
"""Seconds that a busy machine may take beyond a deadline."""


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
            outcome.expect("it is not found again", holds=call(memory, "ping"))
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
    for what, seconds in costs.items():
        outcome.notes.append(f"{what} {seconds:.2f} s")
        outcome.expect(f"{what} took {seconds:.2f} s", holds=seconds < _POLICY.deadline + _SLACK)


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
                notes, broken = _go_without(call)
            stage.heal()
            time.sleep(_PAUSE)
            outcome = _remember_again(stage, call, flavour)
        outcome.notes += notes
        outcome.broken += broken
        return outcome

    return run


def _go_without(call: Calls) -> tuple[list[str], list[str]]:
    """Take turns while the server is away; give what they cost, and what cost too much."""
    chat = remembering(call.memory, Record(_POLICY.deadline))
    config = config_of(uuid.uuid4().hex)
    first, _ = call.timed(chat, "invoke", "nobody listens", config)
    others = max(call.timed(chat, "invoke", "still nobody", config)[0] for _ in range(20))
    was_away = not call.memory.available
    time.sleep(_PAUSE)
    again, _ = call.timed(chat, "invoke", "nobody yet", config)
    costs = {"first turn": first, "slowest of 20 within the pause": others, "after it": again}
    limit = _POLICY.deadline + _SLACK
    broken = [f"{what} took {spent:.2f} s" for what, spent in costs.items() if spent > limit]
    broken += [f"{others:.2f} s within the pause"] if others > _SLACK else []
    dropped = call.memory.dropped_writes
    broken += [] if was_away and dropped == 22 else [f"available, or {dropped} writes dropped"]
    return [f"{what} {spent:.3f} s" for what, spent in costs.items()], broken


def _remember_again(stage: Any, call: Calls, flavour: str) -> Outcome:
    session = uuid.uuid4().hex
    record = Record(_POLICY.deadline, [Attempt(session, f"{session}|0|0|", 0, time.monotonic())])
    result = call.timed(remembering(call.memory, record), "invoke", *_said(record.attempts[0]))
    record.attempts[0].ended = record.attempts[0].began + result[0]
    outcome = judge(stage, record, flavour, expected=())
    outcome.expect("memory is not back", holds=outcome.found == 1 and call.memory.available)
    return outcome


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
        brief=(),
    ),
    Scenario(
        "stateless: black hole, deadline 1.5 s, pause 1 s",
        _stateless(_black_hole),
        brief=("standalone",),
    ),
]
