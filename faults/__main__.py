"""Runs the scenarios and prints the table: ``python -m faults``."""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from faults.scenario import FULL, SMALL
from faults.scenarios import SCENARIOS
from faults.stages import TOPOLOGIES, Stages
from faults.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults.scenario import Scenario

_COLUMNS = ("tried", "acked", "found", "lost", "doubled", "half", "disord.", "wrong", "cancelled")
_LINE = "{:<58} {:<10} {:<5} " + " ".join(f"{{:>{max(6, len(c))}}}" for c in _COLUMNS) + "  {}"


def main() -> int:
    """Run what was asked for; the exit status tells whether all promises held."""
    options = _options()
    # What the library warns of while Redis is away is no part of the table.
    logging.getLogger("langchain_redis_memory").addHandler(logging.NullHandler())
    print(_LINE.format("fault", "topology", "", *_COLUMNS, "errors by class; notes"))
    began = time.monotonic()
    rows: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="lrm-faults-") as directory,
        Stages(Path(directory)) as stages,
    ):
        for scenario, topology, flavour in _asked_for(options):
            scale = SMALL if options.small else FULL
            try:
                rows.append(scenario.run(stages[topology], flavour, scale))
            except AssertionError as error:  # the table goes on
                rows.append(Outcome(broken=[str(error)]))
            _show(scenario.name, topology, flavour, rows[-1])
    return _sum_up(rows, time.monotonic() - began)


def _asked_for(options: argparse.Namespace) -> Iterator[tuple[Scenario, str, str]]:
    for scenario in SCENARIOS:
        if options.only not in scenario.name:
            continue
        for topology, flavour in itertools.product(scenario.topologies, scenario.flavours):
            if options.topology in ("", topology) and options.flavour in ("", flavour):
                yield scenario, topology, flavour


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--topology", default="", choices=("", *TOPOLOGIES))
    parser.add_argument("--flavour", default="", choices=("", "sync", "async"))
    parser.add_argument("--small", action="store_true", help="as little as `make test` runs")
    return parser.parse_args()


def _show(name: str, topology: str, flavour: str, outcome: Outcome) -> None:
    errors = ", ".join(f"{count} {error}" for error, count in sorted(outcome.errors.items()))
    print(
        _LINE.format(
            *(name, topology, flavour, outcome.tried, outcome.acknowledged, outcome.found),
            *(outcome.lost, outcome.doubled, outcome.half, outcome.disordered, outcome.wrong),
            *(outcome.cancelled, "; ".join(filter(None, [errors, *outcome.notes]))),
        ),
        flush=True,
    )
    for what in outcome.broken:
        print(f"    BROKEN: {what}", flush=True)


def _sum_up(rows: list[Outcome], seconds: float) -> int:
    broken = sum(bool(row.broken) for row in rows)
    print(
        f"\n{len(rows)} runs in {seconds:.0f} s: "
        f"{sum(row.tried for row in rows)} turns tried, "
        f"{sum(row.acknowledged for row in rows)} acknowledged, "
        f"{sum(row.lost for row in rows)} of them lost, "
        f"{sum(row.doubled for row in rows)} doubled, "
        f"{sum(row.half for row in rows)} half-stored; "
        f"{sum(row.cancelled for row in rows)} operations cancelled, "
        f"{sum(row.wrong for row in rows)} replies to the wrong caller; "
        f"{broken} runs with a broken promise"
    )
    return 1 if broken or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
