"""Writes what was measured into the page: tables between their marks, plots, all figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tables import tables

if TYPE_CHECKING:
    from benchmarks.measure import Results

DOCS = Path(__file__).parents[1] / "docs"
_PAGE = "benchmarks.md"
_FIGURES = "benchmarks"
_END = "<!-- end -->"


def write(results: Results, output: Path) -> None:
    """Write the page with its tables, and beside it a folder of plots and of all figures."""
    folder = output / _FIGURES
    folder.mkdir(parents=True, exist_ok=True)
    results.write(folder / "results.json")
    _draw(results, folder)
    page = (DOCS / _PAGE).read_text()
    (output / _PAGE).write_text(filled(page, tables(results)))
    print(f"written: {output / _PAGE}")


def filled(page: str, made: dict[str, str]) -> str:
    """Put each table between its marks.

    Raises:
        ValueError: A table has no place, or a place has no table.
    """
    places = re.findall(r"<!-- table: (.*?) -->", page)
    if sorted(places) != sorted(made):
        raise ValueError(f"tables {sorted(made)} have no places, or not these: {sorted(places)}")
    for name, text in made.items():
        mark = f"<!-- table: {name} -->"
        before, _, rest = page.partition(mark)
        page = f"{before}{mark}\n{text}\n{_END}{rest.partition(_END)[2]}"
    return page


def _draw(results: Results, folder: Path) -> None:
    try:
        from benchmarks import plots  # noqa: PLC0415 - matplotlib may be missing
    except ImportError as error:
        results.missing.append(f"plots: {error}")
        return
    plots.draw(results, folder)
