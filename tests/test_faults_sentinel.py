"""A little of each fault of `faults` on servers with sentinels; see `test_faults`."""

from __future__ import annotations

from fault_runs import small_runs

from faults.scenario import SMALL


@small_runs("Sentinel")
def test_fault(stages, scenario, topology, flavour):
    """No promise is broken."""
    outcome = scenario.run(stages[topology], flavour, SMALL)
    assert not outcome.broken, (outcome.broken, outcome)
