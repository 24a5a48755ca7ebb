"""Cards as text for a terminal, where nothing stored can move the cursor or set a colour."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, assert_never

from langchain_redis_memory.display.cards import Card, Fold, Note, Part, Said, Table, Tree, Words
from langchain_redis_memory.display.words import in_line, seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_redis_memory.display.cards import Twig

_WIDTH = 79
_SIGNS = {"plain": "", "warning": "! ", "problem": "! "}


def written(card: Card) -> str:
    """Write a card, with no line break at its end."""
    return "\n".join(line.rstrip() for line in _lines(card))


def _lines(card: Card) -> Iterator[str]:
    yield f"{in_line(card.kind)} {in_line(card.name)}"
    yield from _flowing(f"{in_line(name)} {in_line(value)}".strip() for name, value in card.facts)
    for part in card.body:
        if isinstance(part, Said | Table | Tree):
            yield ""
        yield from _part(part, "")


def _part(part: Part, margin: str) -> Iterator[str]:
    match part:
        case Words():
            yield from _wrapped(seen(part.text), margin)
        case Note():
            yield from _wrapped(in_line(_SIGNS[part.tone] + part.text), margin)
        case Fold():
            hint = f" {in_line(part.hint)}" if part.hint else ""
            yield from _wrapped(f"> {in_line(part.label)}{hint}", margin)
            for inner in () if part.is_told else part.body:
                yield from _part(inner, f"{margin}    ")
        case Said():
            yield f"{in_line(part.who)}  {in_line(part.when)}"
            for inner in part.body:
                yield from _part(inner, f"{margin}  ")
        case Table():
            yield from _table(part)
        case Tree():
            yield from _twigs(part.twigs, margin)
        case _:
            assert_never(part)


def _flowing(facts: Iterable[str]) -> Iterator[str]:
    """Put facts beside each other, as many as a line holds."""
    line = ""
    for fact in facts:
        longer = f"{line} · {fact}" if line else fact
        if line and len(longer) > _WIDTH:
            yield line
            longer = fact
        line = longer
    if line:
        yield line


def _wrapped(text: str, margin: str) -> Iterator[str]:
    """Break long lines at blanks; a word stays whole, so that it can be copied."""
    for line in text.split("\n"):
        yield from textwrap.wrap(
            line,
            max(_WIDTH, len(margin) + 20),
            initial_indent=margin,
            subsequent_indent=margin,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
            expand_tabs=False,
        ) or [""]


def _table(table: Table) -> Iterator[str]:
    rows = [tuple(map(in_line, row)) for row in (table.heads, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if i in table.numbers else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells)


def _twigs(twigs: Iterable[Twig], margin: str) -> Iterator[str]:
    twigs = tuple(twigs)
    for i, twig in enumerate(twigs, 1):
        is_last = i == len(twigs)
        yield f"{margin}{'└' if is_last else '├'}─ {in_line(twig.name)}: {in_line(twig.value)}"
        yield from _twigs(twig.twigs, f"{margin}{' ' if is_last else '│'}  ")
