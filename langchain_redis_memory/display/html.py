"""Cards as HTML that can stand in any page.

All text is escaped. There is no script, no link, no picture and nothing that is loaded from
elsewhere. Styles stand at their elements, so that they reach nothing else and notebooks keep them
that take style sheets out. Colours are the page's own, some of them thinned: so it can be read on
light and on dark.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NewType, assert_never

from langchain_redis_memory.display.cards import Card, Fold, Note, Part, Said, Table, Tree, Words
from langchain_redis_memory.display.words import in_line, seen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_redis_memory.display.cards import Twig

Markup = NewType("Markup", str)
"""HTML; whatever else is text, and goes through `_text` or `_line`."""

_MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:0.92em"
_FAINT = "opacity:0.72"
_EDGE = "1px solid rgba(128,128,128,0.35)"
_TINT = "rgba(128,128,128,0.1)"
_WRAP = "white-space:pre-wrap;overflow:hidden"
_CARD = (
    f"border:{_EDGE};border-radius:8px;padding:10px 14px;margin:4px 0;max-width:52em;"
    "text-align:left;line-height:1.45;font-size:14px;overflow-wrap:anywhere;"
    "font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif"
)
_NO_FORMULAS = "tex2jax_ignore mathjax_ignore"
"""Notebooks typeset formulas, and MathJax makes links: what is between dollars stays as it is."""

_ROLES = {
    "user": "rgba(59,130,246,0.9)",
    "assistant": "rgba(16,163,105,0.9)",
    "system": "rgba(168,85,247,0.9)",
    "tool": "rgba(217,138,20,0.9)",
}
_OTHER = "rgba(128,128,128,0.9)"
_TONES = {
    "plain": _FAINT,
    "warning": "border-left:3px solid rgba(217,138,20,0.9);padding-left:8px",
    "problem": "border-left:3px solid rgba(220,60,60,0.9);padding-left:8px",
}


def written(card: Card) -> str:
    """Write a card."""
    inside = (_head(card), *map(_part, card.body))
    return _tag("div", _CARD, *inside, **{"class": _NO_FORMULAS})


def _tag(name: str, style: str, *inside: Markup, **attributes: str) -> Markup:
    given = {"style": style, **attributes} if style else attributes
    told = "".join(f' {key}="{escape(value)}"' for key, value in given.items())
    return Markup(f"<{name}{told}>{''.join(inside)}</{name}>")


def _text(text: str) -> Markup:
    return Markup(escape(seen(text)))


def _line(text: str) -> Markup:
    return Markup(escape(in_line(text)))


def _head(card: Card) -> Markup:
    kind = _tag("span", "font-weight:600", _line(card.kind))
    name = _tag("span", "margin-left:0.6em", _own(card.name))
    title = _tag("div", "", kind, *([name] if card.name else []))
    if not card.facts:
        return title
    style = "display:flex;flex-wrap:wrap;gap:0 1.2em;font-size:0.92em"
    return Markup(title + _tag("div", style, *(_fact(*fact) for fact in card.facts)))


def _fact(name: str, value: str) -> Markup:
    label = [_tag("span", _FAINT, _line(name)), Markup(" ")] if name else []
    return _tag("span", "", *label, _tag("span", _MONO if name == "key" else "", _own(value)))


def _own(text: str) -> Markup:
    """Write an id, whose direction is its own affair."""
    return _tag("bdi", "", _line(text))


def _part(part: Part) -> Markup:
    match part:
        case Words():
            return _words(part)
        case Note():
            return _note(part)
        case Fold():
            return _fold(part)
        case Said():
            return _said(part)
        case Table():
            return _table(part)
        case Tree():
            return _tree(part)
        case _:
            assert_never(part)


def _words(words: Words) -> Markup:
    if words.is_code:
        style = f"{_WRAP};{_MONO};background:{_TINT};border-radius:4px;padding:4px 8px;margin:2px 0"
        return _tag("div", style, _text(words.text), dir="ltr")
    return _tag("div", _WRAP, _text(words.text), dir="auto")


def _note(note: Note) -> Markup:
    style = f"font-size:0.92em;margin:2px 0;{_TONES[note.tone]}"
    return _tag("div", style, _line(note.text))


def _fold(fold: Fold) -> Markup:
    tone = "" if fold.tone == "plain" else f"font-weight:600;{_TONES[fold.tone]}"
    label = _tag("span", f"{_MONO}", _own(fold.label))
    hint = _tag("span", f"margin-left:0.6em;{tone or _FAINT}", _own(fold.hint))
    summary = _tag("summary", "cursor:pointer", label, *([hint] if fold.hint else []))
    inside = _tag("div", "margin:2px 0 4px 16px", *map(_part, fold.body))
    return _tag("details", "margin:4px 0", summary, inside)


def _said(said: Said) -> Markup:
    edge = f"border-left:3px solid {_ROLES.get(said.role, _OTHER)}"
    who = _tag("span", "font-weight:600", _own(said.who))
    when = _tag("span", f"font-size:0.85em;margin-left:0.8em;{_FAINT}", _line(said.when))
    head = _tag("div", "", who, *([when] if said.when else []))
    return _tag("div", f"{edge};padding:0 0 0 10px;margin:10px 0 0", head, *map(_part, said.body))


def _table(table: Table) -> Markup:
    heads = _row("th", table.heads, table.numbers, f"font-weight:600;border-bottom:{_EDGE}")
    rows = (_row("td", cells, table.numbers, "font-weight:normal") for cells in table.rows)
    # Notebooks style tables and their cells: what matters is said at each.
    style = (
        "border-collapse:collapse;border:none;margin:8px 0 2px;table-layout:auto;"
        "font:inherit;color:inherit"
    )
    return _tag("table", style, _tag("thead", "", heads), _tag("tbody", "", *rows))


def _row(name: str, cells: Iterable[str], numbers: frozenset[int], style: str) -> Markup:
    style = f"{style};padding:3px 20px 3px 0;vertical-align:top"
    return _tag(
        "tr",
        "background:transparent",
        *(
            _tag(name, f"{style};text-align:{'right' if i in numbers else 'left'}", _own(cell))
            for i, cell in enumerate(cells)
        ),
    )


def _tree(tree: Tree) -> Markup:
    return _tag("div", "margin:8px 0 0", *map(_twig, tree.twigs))


def _twig(twig: Twig) -> Markup:
    name = _tag("span", "font-weight:600", _own(twig.name))
    style = f"margin-left:0.6em{';' + _FAINT if twig.twigs else ''}"
    value = _tag("span", style, _own(twig.value))
    if not twig.twigs:
        return _tag("div", "margin-left:15px", name, value)
    inside = _tag(
        "div", f"margin-left:5px;padding-left:12px;border-left:{_EDGE}", *map(_twig, twig.twigs)
    )
    return _tag("details", "", _tag("summary", "cursor:pointer", name, value), inside, open="")
