"""How the tables are laid out, and how figures are told in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.plan import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.measure import Results

NONE = "-"
"""What stands where nothing was measured."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def duration(seconds: float | None) -> str:
    """Tell seconds in a fitting unit, with three digits."""
    if seconds is None:
        return NONE
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{three(seconds * factor)} {unit}"
    return f"{three(seconds * 1e6)} µs"


def name_of(entry: str) -> str:
    """Tell an entry's peer, and how it is called if it is not plainly."""
    peer, _, how = entry.partition(", ")
    return NAMES[peer] + (f", {how}" if how else "")


def three(value: float) -> str:
    """Tell a number with three digits, a small one with two."""
    if value < 1:
        return f"{value:.2g}"
    return f"{value:.{max(0, 3 - len(str(int(value))))}f}"


def factor(value: float | None, own: float | None) -> str:
    """Tell how many times ours something takes."""
    if value is None or not own:
        return ""
    return f" ({three(value / own)})"


def cell(
    results: Results, group: str, entry: str, own: str = "ours", figure: str = "seconds"
) -> str:
    """Tell what an entry took, and in parentheses how many times ours that is."""
    seconds = results.value(group, entry, figure)
    times = "" if entry == own else factor(seconds, results.value(group, own, figure))
    return duration(seconds) + times
