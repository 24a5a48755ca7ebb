"""A page of sessions as a card, and as a table of pandas."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from langchain_redis_memory.display.cards import Card, Note, Part, Table
from langchain_redis_memory.display.words import counted, lasting
from langchain_redis_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from langchain_redis_memory.sessions.listing import SessionInfo, SessionPage

_MOST = 100
"""How many sessions are shown."""

_HEADS = ("session", "messages", "last active (UTC)", "expires in")


def page_card(page: SessionPage) -> Card:
    """Show a page of sessions, the one that was active last first."""
    body: list[Part] = [_table(page[:_MOST])] if page else [Note("There are none.")]
    if len(page) > _MOST:
        body.append(Note(f"and {counted(len(page) - _MOST, 'session')} more; see to_pandas()"))
    if page.next is not None:
        body.append(Note("There are more: sessions(..., after=page.next)."))
    return Card("Sessions", "", (("", counted(len(page), "session")),), tuple(body))


def info_card(info: SessionInfo) -> Card:
    """Show what is known of one session."""
    return Card("Session", info.session, (), (_table([info]),))


def frame(page: SessionPage) -> pd.DataFrame:
    """See `SessionPage.to_pandas`."""
    try:
        import pandas as pd  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigurationError(
            "to_pandas needs pandas, which is optional; install it with "
            'pip install "langchain-redis-memory[pandas]"'
        ) from error
    # Not numbers, whose unit is another one in pandas 2.
    ttls = [None if info.ttl is None else timedelta(seconds=info.ttl) for info in page]
    return pd.DataFrame(
        {
            # Objects: an id may be text that no other type of pandas takes.
            "session": pd.Series([info.session for info in page], dtype=object),
            "messages": pd.Series([info.messages for info in page], dtype="int64"),
            "last_active": pd.Series(
                [info.last_active for info in page], dtype="datetime64[us, UTC]"
            ),
            "ttl": pd.Series(ttls, dtype="timedelta64[ms]"),
        }
    )


def _table(infos: Sequence[SessionInfo]) -> Table:
    rows = (
        (
            info.session,
            f"{info.messages:,}",
            f"{info.last_active:%Y-%m-%d %H:%M:%S}",
            "never" if info.ttl is None else lasting(info.ttl),
        )
        for info in infos
    )
    return Table(_HEADS, tuple(rows), frozenset({1}))
