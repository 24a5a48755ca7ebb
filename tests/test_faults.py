"""A little of each fault of `faults`, on real servers: nothing lost, doubled or mixed up.

`make faults` runs the same scenarios for longer and prints what became of the turns.
"""

from __future__ import annotations

import pytest
from fault_runs import small_runs
from langchain_core.messages import AIMessage, HumanMessage

from faults.load import Load
from faults.scenario import SMALL
from faults.scenarios import SCENARIOS
from faults.verdict import judge
from langchain_redis_memory import scripts
from langchain_redis_memory.storage.operation import Script

# redis-py leaves a socket to the garbage collector when a server dies amid a TLS handshake.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@small_runs("standalone", "TLS")
def test_fault(stages, scenario, topology, flavour):
    """No promise is broken: see `judge` for those that hold in every scenario."""
    outcome = scenario.run(stages[topology], flavour, SMALL)
    assert not outcome.broken, (outcome.broken, outcome)


def test_every_fault_is_tried():
    """Each scenario has a topology on which its small run is made."""
    for scenario in SCENARIOS:
        shown = scenario.topologies if scenario.brief is None else scenario.brief
        assert shown, scenario.name
        assert set(shown) <= set(scenario.topologies), scenario.name


def taken(stages, turns=3):
    """Take some turns in one session, and give the load and its session's conversation."""
    stage = stages["standalone"]
    with Load(stage.memory(), "sync", callers=1, turns=turns) as load:
        pass
    session = load.sessions[0]
    return stage, load, ("faults", f"user of {session}", session)


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda messages: messages[:2] + messages[4:], "lost"),
        (lambda messages: messages + messages[-2:], "doubled"),
        (lambda messages: messages[:-1], "half"),
        (lambda messages: messages[2:] + messages[:2], "disordered"),
        (lambda messages: [*messages, HumanMessage("x|0|0|"), AIMessage("re: x|0|0|")], "wrong"),
    ],
)
def test_the_verdict_sees_harm(stages, harm, what):
    """A verdict that never finds anything would prove nothing."""
    stage, load, ids = taken(stages)
    with stage.memory() as memory:
        history = memory.history(*ids)
        messages = harm(history.messages)
        history.clear()
        history.add_messages(messages)
    outcome = judge(stage, load.record, "sync")
    assert getattr(outcome, what)
    assert outcome.broken


def test_the_verdict_is_content_with_what_is_well(stages):
    """Three turns are three turns."""
    stage, load, _ = taken(stages)
    outcome = judge(stage, load.record, "sync", expected=())
    assert (outcome.tried, outcome.acknowledged, outcome.found) == (3, 3, 3)
    assert not outcome.broken


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_without_the_token_turns_are_doubled(stages, flavour, monkeypatch):
    """The suite catches an append that does not look for itself before it repeats."""
    careless = scripts.APPEND.source.replace("then return 0 end", "then end")
    assert careless != scripts.APPEND.source
    monkeypatch.setattr(scripts, "APPEND", Script(careless))
    scenario = next(s for s in SCENARIOS if s.name.startswith("cut after it was applied"))
    outcome = scenario.run(stages["standalone"], flavour, SMALL)
    assert outcome.doubled
    assert outcome.broken
