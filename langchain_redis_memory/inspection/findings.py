"""What was found of a memory or its server, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Level = Literal["ok", "note", "warning", "problem"]
"""How grave a finding is; a note is what is worth knowing, or what the server does not tell."""

LEVELS: tuple[Level, ...] = get_args(Level)
"""From the lightest on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; it holds no password and no text of a message.

    Attributes:
        level: How grave it is.
        subject: What it is about, such as ``"eviction"``.
        text: What was found.
        remedy: What to do; empty where nothing is to be done.
    """

    level: Level
    subject: str
    text: str
    remedy: str = ""


def gravest(findings: Iterable[Finding]) -> Level:
    """Give the level of the gravest finding; ``"ok"`` if there is none."""
    return max((found.level for found in findings), key=LEVELS.index, default="ok")


def merged(by_node: dict[str, list[Finding]]) -> Iterator[Finding]:
    """Tell once what was found at several nodes of a cluster, and of the rest where it was.

    Args:
        by_node: Findings by the name of the node; that of a server that is no cluster is empty.
    """
    where: dict[Finding, list[str]] = {}
    for name, findings in by_node.items():
        for finding in findings:
            where.setdefault(finding, []).append(name)
    for finding, names in where.items():
        if len(names) == len(by_node):
            yield finding
        else:
            text = f"{', '.join(names)}: {finding.text}"
            yield Finding(finding.level, finding.subject, text, finding.remedy)
