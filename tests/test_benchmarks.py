"""The benchmarks work; what they find is for `make bench` to tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.environments import REQUIREMENTS, NotInstalledError, find
from benchmarks.measure import Results
from benchmarks.plan import NAMES, SHORT, groups
from benchmarks.report import DOCS, filled
from benchmarks.targets import TARGETS, Target

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The folder that the short form wrote."""
    folder = tmp_path_factory.mktemp("benchmarks")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--short", "--output", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def is_there(peer):
    try:
        find(peer)
    except (KeyError, NotInstalledError):
        return peer not in REQUIREMENTS
    return True


def test_every_entry_of_an_installed_peer_is_measured(short):
    """Each has figures, and nothing failed."""
    results = Results.read(short / "benchmarks" / "results.json")
    without_tool = any(line.startswith("redis-benchmark") for line in results.missing)
    for group in groups(SHORT):
        for name, entry in group.entries.items():
            if is_there(entry.peer) and not (entry.peer == "redis_benchmark" and without_tool):
                assert results.value(group.name, name), f"{group.name}, {name}"


def test_peers_that_are_not_installed_are_named(short):
    """So that nobody takes what is missing for what was measured."""
    page = (short / "benchmarks.md").read_text()
    for peer in REQUIREMENTS:
        said = f"> - {NAMES[peer]}: not installed" in page
        assert said != is_there(peer)


def test_the_page_judges_every_target(short):
    """Each has its aim, what was measured, and whether that is enough."""
    rows = (short / "benchmarks.md").read_text().splitlines()
    for targets in TARGETS.values():
        for target in targets:
            row = next(row for row in rows if row.startswith(f"| {target.text} | {target.limit} |"))
            assert row.endswith(("| met |", "| **falls short** |"))


def test_a_mean_is_that_of_all_calls():
    """What is seldom weighs as much for a peer that makes few calls in a round as for others."""
    results = Results()
    for mean, calls in ((2.0, 1), (2.0, 1), (11.0, 4)):
        results.add("read", "slow", {"seconds": 2.0, "mean": mean, "calls": calls})
    assert results.value("read", "slow", "mean") == pytest.approx(8.0)
    assert results.value("read", "slow") == pytest.approx(2.0)
    assert results.value("read", "fast", "mean") is None


def test_a_page_is_written_again_from_its_figures(short, tmp_path):
    """Without measuring anything."""
    figures = short / "benchmarks" / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--from", str(figures), "--output", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "benchmarks.md").read_text() == (short / "benchmarks.md").read_text()
    assert json.loads((tmp_path / "benchmarks" / "results.json").read_text()) == json.loads(
        figures.read_text()
    )


def test_the_committed_page_is_that_of_its_figures():
    """Nobody changed a table by hand."""
    from benchmarks.tables import tables

    page = (DOCS / "benchmarks.md").read_text()
    assert filled(page, tables(Results.read(DOCS / "benchmarks" / "results.json"))) == page


def test_a_table_without_a_place_is_refused():
    """As is a place without a table."""
    with pytest.raises(ValueError, match="sent"):
        filled("<!-- table: add -->\n<!-- end -->", {"add": "", "sent": ""})
    with pytest.raises(ValueError, match="add"):
        filled("<!-- table: add -->\n<!-- end -->", {})


@pytest.mark.parametrize(
    ("target", "measured", "met"),
    [
        (Target("", "g", other="b", most=0.5), 0.5, True),
        (Target("", "g", other="b", most=0.4), 0.5, False),
        (Target("", "g", other="b", least=2), 2, True),
        (Target("", "g", other="b", least=3), 2, False),
        (Target("", "g", most=1, unit=1e-3), 1000, False),
        (Target("", "g", other="c", most=1), None, None),
    ],
)
def test_a_target_is_judged_by_its_medians(target, measured, met):
    """At most, at least, by itself, and not at all where something was not measured."""
    results = Results()
    for own, other in ((1, 2), (1, 2), (9, 2)):
        results.add("g", "ours", {"seconds": own})
        results.add("g", "b", {"seconds": other})
    assert target.measured(results) == measured
    if measured is not None:
        assert target.is_met(measured) is met
