"""What goes with the list of a session at other keys: its summary, its place in its user's index.

Both are to live as long as the list, so each read and each append says so to them too, by commands
of one key each: a cluster that moves a slot refuses those whose keys are not all there, such as a
summary that does not exist.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from langchain_redis_memory import scripts
from langchain_redis_memory.storage.keys import may_be_kept, summary_of
from langchain_redis_memory.storage.operation import Command, ScriptCall, Standing, StandingCall

_Commands = tuple[Command | ScriptCall, ...]


class SessionEntry(NamedTuple):
    """Where a session stands in the index of its user: the index's key, and the id in it."""

    key: str
    member: str

    @classmethod
    def of(cls, session: str) -> SessionEntry:
        """Tell it of a session's key: see `storage.keys`; an encoded id has no colon."""
        owner, _, member = session.rpartition(":")
        return cls(f"{owner}:sessions", member)


def extend(key: str, ttl: int, entry: SessionEntry | None) -> _Commands:
    """Put off the expiry of what goes with a list that was read.

    Args:
        key: The key of the list.
        ttl: The time to live in milliseconds; 0 for never.
        entry: Where the session stands in its user's index; None if nowhere.
    """
    if entry is None or not ttl:
        return ()
    return _kept(key, ttl, entry, False) if may_be_kept(key) else _made(key, ttl, entry, False)


def touch(key: str, ttl: int, entry: SessionEntry | None) -> _Commands:
    """Put off the expiry of what goes with a list that is written, and enter it in the index.

    The arguments are those of `extend`; with a `ttl` of 0 the summary and the index stay for ever.
    """
    if entry is None:
        return ()
    return _kept(key, ttl, entry, True) if may_be_kept(key) else _made(key, ttl, entry, True)


def _made(key: str, ttl: int, entry: SessionEntry, enters: bool) -> _Commands:
    summary = summary_of(key)
    lasts = ("PEXPIRE", summary, ttl) if ttl else ("PERSIST", summary)
    index = (
        scripts.TOUCH_INDEX.on(entry.key, entry.member, ttl)
        if enters
        else scripts.EXTEND_INDEX.on(entry.key, ttl)
    )
    return Standing(lasts), StandingCall(index)


# Each turn of a session sends the same: to make it takes three times as long as to find it.
_kept = lru_cache(maxsize=2048)(_made)
