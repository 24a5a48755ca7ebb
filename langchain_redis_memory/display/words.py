r"""Text for people: what cannot be seen is written so that it can, and what is long is cut.

Control characters, what is invisible, what turns text around and lone surrogates are written as
JSON writes them (``\u202e``). So nothing that is stored can move a cursor, colour a terminal,
reorder what stands beside it or pass for another id, and all of it can be encoded.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

# Not U+200C and U+200D, which join letters and emoji; line breaks and tabs are text.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b"
    r"\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb"
    r"\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_BREAKS = re.compile(r"[\n\t]")
_LONGEST_LINE = 2000
_UNITS = (("day", 86_400), ("h", 3600), ("min", 60))


def seen(text: str) -> str:
    """Write text of several lines so that all of it is seen."""
    return _UNSEEN.sub(_escaped, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Write text so that it stays in its line, and none that differs looks alike: a name, an id."""
    return _BREAKS.sub(_escaped, _UNSEEN.sub(_escaped, text))


def in_line(text: str) -> str:
    """Write a line of at most 2,000 characters; see `one_line`."""
    start, more = cut(text, _LONGEST_LINE)
    return f"{one_line(start)}…" if more else one_line(start)


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def cut(text: str, longest: int) -> tuple[str, int]:
    """Give the beginning of a text, and how many characters are left out."""
    return text[:longest], max(0, len(text) - longest)


def counted(number: int, what: str) -> str:
    """Write a number of things: ``1 entry``, ``2 entries``, ``1,200 keys``."""
    if number != 1:
        what = f"{what[:-1]}ies" if what.endswith("ry") else f"{what}s"
    return f"{number:,} {what}"


def sized(octets: int) -> str:
    """Write a number of bytes."""
    return f"{octets / 1000:,.0f} kB" if octets >= 1000 else counted(octets, "byte")  # noqa: PLR2004 - kilo


def moment(when: datetime, after: datetime | None = None) -> str:
    """Write a time, without the day if it is that of the one before."""
    same_day = after is not None and after.date() == when.date()
    return f"{when:%H:%M}" if same_day else f"{when:%Y-%m-%d %H:%M}"


def lasting(seconds: float) -> str:
    """Write a time to live, in its two largest units: ``6 days 23 h``."""
    for (name, size), (smaller, part) in zip(_UNITS, (*_UNITS[1:], ("s", 1)), strict=True):
        left = round(seconds / part) * part
        if left >= size:
            more = left % size // part
            first = counted(left // size, name) if name == "day" else f"{left // size} {name}"
            return f"{first} {more} {smaller}" if more else first
    return f"{round(seconds)} s" if round(seconds) else "less than 1 s"


def expiry(seconds: float | None) -> str:
    """Tell of a time to live; None for never."""
    return "never expires" if seconds is None else f"expires in {lasting(seconds)}"
