"""What the outputs of a notebook say, without what differs from run to run."""

from __future__ import annotations

import difflib
import re
from itertools import groupby
from typing import Any

_NOISE = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"0x[0-9a-f]{6,}"), "<address>"),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|\+00:00)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d(?::\d\d(?:\.\d+)?)?\b"), "<time>"),
    (re.compile(r"\b\d+ (?:days?|h|min|s)(?: \d+ (?:h|min|s))?\b"), "<while>"),
    (re.compile(r"\d+ writes were dropped"), "<some> writes were dropped"),
)
"""What is another one in each run, and what stands for it where two runs are compared."""


def told(cell: dict[str, Any], *, looks: bool = False) -> list[str]:
    """Give the lines that a code cell shows, as plain text or with their HTML too."""
    lines: list[str] = []
    # How a stream is parted into outputs is a matter of time.
    for name, outputs in groupby(cell["outputs"], key=lambda output: output.get("name")):
        texts = [_text(output, looks=looks) for output in outputs]
        lines += [f"{name or 'output'}:", *"".join(texts).splitlines()]
    return [_quiet(line) for line in lines]


def differences(
    committed: dict[str, Any], run: dict[str, Any], *, looks: bool = False
) -> list[str]:
    """Give the lines in which two versions of a notebook's outputs differ, with their cells.

    Args:
        committed: The one.
        run: The other; its cells have the same sources.
        looks: Whether to compare HTML too, and not only what it says as plain text.
    """
    lines: list[str] = []
    for number, (old, new) in enumerate(zip(_code(committed), _code(run), strict=True), 1):
        changed = difflib.unified_diff(
            told(old, looks=looks), told(new, looks=looks), n=0, lineterm=""
        )
        if found := [line for line in list(changed)[2:] if not line.startswith("@@")]:
            lines += [f"cell [{number}]", *found]
    return lines


def sources(notebook: dict[str, Any]) -> list[str]:
    """Give what stands in the cells."""
    return ["".join(cell["source"]) for cell in notebook["cells"]]


def _code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _text(output: dict[str, Any], *, looks: bool) -> str:
    if output["output_type"] == "stream":
        return "".join(output["text"])
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}\n"
    data = output["data"]
    compared = ("text/plain", "text/html") if looks else ("text/plain",)
    shown = "\n".join("".join(data[kind]) for kind in compared if kind in data)
    return f"{', '.join(sorted(data))}:\n{shown}\n"


def _quiet(line: str) -> str:
    for noise, name in _NOISE:
        line = noise.sub(name, line)
    return line
