"""What is shown, as values: written as HTML by `html`, as text by `plain`.

Text in a card is as it was stored. Whoever writes it escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Words:
    """Text that somebody wrote: people, models, tools."""

    text: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What we say of it."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Fold:
    """What is seen when it is opened.

    Args:
        label: What it is.
        body: What is in it.
        hint: What is seen of it while it is closed.
        tone: Whether it asks for attention.
        is_told: Whether label and hint tell all that is in it.
    """

    label: str
    body: tuple[Words | Note | Fold, ...]
    hint: str = ""
    tone: Tone = "plain"
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A message.

    Args:
        role: ``"user"``, ``"assistant"``, ``"system"``, ``"tool"`` or ``"other"``.
        who: The role's name for people.
        when: When it was stored; empty if nobody knows.
        body: What was said.
    """

    role: str
    who: str
    when: str
    body: tuple[Words | Note | Fold, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; those of the columns named in `numbers` stand to the right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Twig:
    """A part of a tree: a name with a value, or with parts of its own."""

    name: str
    value: str
    twigs: tuple[Twig, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree, without its root."""

    twigs: tuple[Twig, ...]


Part = Words | Note | Fold | Said | Table | Tree


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of a value.

    Args:
        kind: What it is, such as ``"Conversation"``.
        name: Which one.
        facts: What is to be known of it, each with its name; the name may be empty.
        body: What it holds.
    """

    kind: str
    name: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    body: tuple[Part, ...] = ()
