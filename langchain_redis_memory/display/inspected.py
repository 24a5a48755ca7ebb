"""What a memory holds, and what was found wrong with it, as cards."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple
from typing import TYPE_CHECKING

from langchain_redis_memory.display.cards import Card, Note, Part, Table, Tone
from langchain_redis_memory.display.words import counted, lasting
from langchain_redis_memory.inspection.figures import EXPIRIES, KIND_NAMES, in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_redis_memory.inspection.doctor import Diagnosis
    from langchain_redis_memory.inspection.figures import OwnerStats, Stats
    from langchain_redis_memory.inspection.findings import Finding, Level

_TONES: dict[Level, Tone] = {"warning": "warning", "problem": "problem"}


def stats_card(stats: Stats) -> Card:
    """Show what a memory holds, and whose it is."""
    counts = (counted(stats.sessions, "session"), counted(stats.messages, "message"))
    facts = [("", text) for text in (*counts, counted(stats.keys, "key"))]
    if stats.bytes is not None:
        facts.append(("", in_bytes(stats.bytes)))
    body = (*_tables(stats), *map(_note, stats.findings))
    return Card("Stats", "", tuple(facts), body or (Note("It holds nothing yet."),))


def diagnosis_card(diagnosis: Diagnosis) -> Card:
    """Show what was found, from the connection to the contents."""
    levels = Counter(finding.level for finding in diagnosis.findings)
    grave: tuple[Level, ...] = ("problem", "warning", "note")
    facts = tuple(("", counted(levels[level], level)) for level in grave if levels[level])
    body = tuple(map(_note, diagnosis.findings))
    return Card("Doctor", "", facts or (("", "all is well"),), body)


def _note(finding: Finding) -> Note:
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    level = "" if finding.level == "ok" else f" ({finding.level})"
    text = f"{finding.subject}{level}: {finding.text}{remedy}"
    return Note(text, _TONES.get(finding.level, "plain"))


def _tables(stats: Stats) -> Iterator[Part]:
    kinds = [(name, stats.kinds[kind]) for kind, name in KIND_NAMES.items()]
    rows = [
        (name, _number(held.keys), _size(held.bytes), *map(_number, astuple(held.expiries)))
        for name, held in kinds
        if held.keys
    ]
    if rows:
        expiries = (f"expire in {EXPIRIES[0]}", *EXPIRIES[1:])
        yield _table(("kind", "keys", "size", *expiries), rows)
    yield from _owners("agent", stats.agents, is_all=stats.all_agents)
    yield from _owners("user", stats.users, is_all=stats.all_users)
    if stats.largest:
        rows = [
            (
                *(one.agent, one.user, one.session),
                _number(one.messages),
                _size(one.bytes),
                "never" if one.ttl is None else lasting(one.ttl),
            )
            for one in stats.largest
        ]
        heads = ("agent", "user", "largest session", "messages", "size", "expires in")
        yield _table(heads, rows, names=3)


def _owners(kind: str, owners: Iterable[OwnerStats], *, is_all: bool) -> Iterator[Table]:
    rows = [
        (owner.name, _number(owner.sessions), _number(owner.messages), _size(owner.bytes))
        for owner in owners
    ]
    if rows:
        yield _table(
            (kind if is_all else f"{kind} (at least)", "sessions", "messages", "size"), rows
        )


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], names: int = 1) -> Table:
    return Table(heads, tuple(rows), frozenset(range(names, len(heads))))


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


def _size(size: int) -> str:
    return in_bytes(size) if size else ""
