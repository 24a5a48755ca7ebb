"""The small runs of `faults`, for tests in a file for each topology, so that they share servers."""

from __future__ import annotations

import pytest

from faults.scenarios import SCENARIOS


def small_runs(*topologies):
    """Parametrize a test by scenario, topology and flavour."""
    return pytest.mark.parametrize(("scenario", "topology", "flavour"), list(_runs(topologies)))


def _runs(topologies):
    for scenario in SCENARIOS:
        shown = scenario.topologies if scenario.brief is None else scenario.brief
        for topology in (name for name in shown if name in topologies):
            marks = [pytest.mark.redis_server] if topology == "TLS" else []
            for flavour in scenario.flavours:
                name = f"{scenario.name} - {topology} - {flavour}"
                yield pytest.param(scenario, topology, flavour, id=name, marks=marks)
