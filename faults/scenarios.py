"""All scenarios, in the order of the table."""

from __future__ import annotations

from faults import (
    agents,
    cancelling,
    crashes,
    failovers,
    forks,
    identifiers,
    outages,
    pools,
    refusals,
    wire,
)

SCENARIOS = [
    *wire.SCENARIOS,
    *crashes.SCENARIOS,
    *failovers.SCENARIOS,
    *refusals.SCENARIOS,
    *pools.SCENARIOS,
    *forks.SCENARIOS,
    *cancelling.SCENARIOS,
    *identifiers.SCENARIOS,
    *outages.SCENARIOS,
    *agents.SCENARIOS,
]
