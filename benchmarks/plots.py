"""The plots of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from benchmarks.plan import FORMS, LANGCHAIN, NAMES
from benchmarks.targets import MS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Results

mpl.use("svg")
# The same figures give the same file; text stays text.
mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})

from matplotlib import pyplot as plt  # noqa: E402 - it looks at the settings when it loads

_COLOURS = {
    "ours": "#c6302b",
    "in_memory": "#5f6b7a",
    "reused": "#2f6db5",
    "documented": "#93b7dd",
    "llama_index": "#8a5bb0",
    "openai_agents": "#2c9a78",
    "bare": "#b8b8b8",
}


def draw(results: Results, folder: Path) -> None:
    """Draw all."""
    _turns(results, folder / "turns.svg")
    _reading(results, folder / "reading.svg")
    _sessions(results, folder / "sessions.svg")


def _turns(results: Results, path: Path) -> None:
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
    titles = {"messages": "messages", "dict": "a dict", "prompt": "prompt and model"}
    for form, panel in zip(FORMS, panels, strict=True):
        for peer in LANGCHAIN:
            _line(results, panel, f"turn {form} sync ", peer, peer)
        panel.set(title=titles[form], xlabel="messages stored before", yscale="log")
        panel.set_xscale("symlog", linthresh=10)
        sizes = sorted({round(x) for line in panel.lines for x in line.get_xdata()})
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
        panel.set_xlim(-1, 1.3 * sizes[-1])
    panels[0].set_ylabel("milliseconds a turn")
    _finish(figure, panels[0], path)


def _reading(results: Results, path: Path) -> None:
    figure, panel = plt.subplots(figsize=(8, 3.8), layout="constrained")
    for peer in ("ours", "reused", "llama_index", "openai_agents", "bare"):
        entry = "openai_agents, async" if peer == "openai_agents" else peer
        _line(results, panel, "read ", entry, peer)
    panel.set(xlabel="messages read", ylabel="milliseconds", xscale="log", yscale="log")
    _finish(figure, panel, path)


def _line(results: Results, panel: Any, prefix: str, entry: str, peer: str) -> None:
    points = sorted(
        (int(group.removeprefix(prefix)), seconds / MS)
        for group in results.rounds
        if group.startswith(prefix)
        for seconds in [results.value(group, entry)]
        if seconds is not None
    )
    if points:
        sizes, milliseconds = zip(*points, strict=True)
        panel.plot(sizes, milliseconds, marker="o", markersize=3, **_look(peer))


def _sessions(results: Results, path: Path) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(9, 2.6), sharey=True, layout="constrained")
    peers = [peer for peer in LANGCHAIN if results.value("sessions", peer)]
    for panel, title, values in (
        (panels[0], "turns a second", [1 / _figure(results, p, "mean") for p in peers]),
        (panels[1], "longest stall, ms", [_figure(results, p, "stall") / MS for p in peers]),
    ):
        names = [NAMES[peer] for peer in peers]
        bars = panel.barh(names, values, color=[_COLOURS[peer] for peer in peers])
        panel.bar_label(bars, fmt="%.0f", padding=3)
        panel.set_title(title)
        panel.margins(x=0.15)
    panels[0].invert_yaxis()
    _save(figure, path)


def _figure(results: Results, peer: str, figure: str) -> float:
    value = results.value("sessions", peer, figure)
    assert value is not None
    return value


def _look(peer: str) -> dict[str, Any]:
    width = 2.2 if peer == "ours" else 1.3
    return {"label": NAMES[peer].replace("`", ""), "color": _COLOURS[peer], "linewidth": width}


def _finish(figure: Any, panel: Any, path: Path) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    for panel in figure.axes:
        panel.grid(alpha=0.25)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
