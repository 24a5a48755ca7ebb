"""What was removed or moved, and a summary, as cards."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from langchain_redis_memory.display.blocks import words
from langchain_redis_memory.display.cards import Card, Note, Table
from langchain_redis_memory.display.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_redis_memory.moving.restoring import Transfer
    from langchain_redis_memory.sessions.removing import Receipt
    from langchain_redis_memory.summaries.stored import Summary


def receipt_card(receipt: Receipt) -> Card:
    """Show what was removed, or would be."""
    counts = asdict(receipt)
    if counts.pop("dry_run"):
        return _counts("Would be removed", counts, "There is nothing to remove.")
    return _counts("Removed", counts, "There was nothing to remove.")


def transfer_card(transfer: Transfer) -> Card:
    """Show what was exported, imported or adopted."""
    return _counts("Transfer", asdict(transfer), "There was nothing to move.")


def summary_card(summary: Summary) -> Card:
    """Show a summary."""
    facts = (
        ("of", counted(summary.messages, "message")),
        ("written", f"{summary.written:%Y-%m-%d %H:%M} UTC"),
    )
    return Card("Summary", "", facts, words(summary.text))


def _counts(kind: str, counts: Mapping[str, int], none: str) -> Card:
    rows = tuple((name, f"{count:,}") for name, count in counts.items() if count)
    return Card(
        kind, body=(Table(("what", "how many"), rows, frozenset({1})) if rows else Note(none),)
    )
