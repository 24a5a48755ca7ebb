"""What commands print: data on stdout; questions, progress and what happened on stderr.

Whatever is stored is shown as text: what a terminal would act on is shown by its code, and nothing
of it is read as rich's markup.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from threading import Timer
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, an object a line, and nothing else.")
]

_SECONDS_UNSHOWN = 0.5  # what is done by then needs no bar

# Control characters but for line ends and tabs, what turns the direction of text around, other
# ends of lines, and halves of surrogate pairs, which no terminal takes.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def console() -> Console:
    """Give the console for data."""
    return Console(highlight=False, markup=False, emoji=False)


def say(text: str) -> None:
    """Say what became of it, on stdout."""
    console().print(Text(text), soft_wrap=True)


def tell(text: str, style: str = "") -> None:
    """Say something that is no data, on stderr."""
    there = Console(stderr=True, highlight=False, markup=False, emoji=False)
    there.print(Text(text, style), soft_wrap=True)


def safe(text: str) -> str:
    r"""Show what a terminal would act on by its code, such as ``\x1b``."""
    return _ACTIVE.sub(lambda found: ascii(found[0])[1:-1], text)


def safe_line(text: str) -> str:
    """Give a text as one line."""
    return safe(" ".join(text.split()))


def in_quotes(text: str) -> str:
    """Name an id within a sentence."""
    return f'"{safe_line(text)}"'


def emit(record: Any) -> None:
    """Print a dict or a dataclass as a line of JSON, in ASCII, whatever the terminal's encoding."""
    content = asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
    sys.stdout.write(json.dumps(content, default=_moment) + "\n")


def _moment(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    raise TypeError(type(value).__name__)


def moment(when: datetime | None) -> str:
    """Write a time for people, in UTC."""
    return "" if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float | None) -> str:
    """Write how long something still lives; None for ever."""
    return "never" if seconds is None else str(timedelta(seconds=round(seconds)))


def counted(count: int, thing: str) -> str:
    """Write how many there are: "1 message", "1,200 messages"."""
    plural = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{count:,} {thing if count == 1 else plural}"


@contextmanager
def progress_bar(label: str, total: int | None = None) -> Iterator[Callable[[int, str], None]]:
    """Show a bar at a terminal, once something takes long.

    Args:
        label: What is being done.
        total: How much there is to do; None if nobody knows.

    Yields:
        Tells how much is done, and that in words.
    """
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[done]}", markup=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # data goes where it was sent
        redirect_stderr=False,
        disable=not sys.stderr.isatty(),
    )
    task = progress.add_task(label, total=total, done="")
    timer = Timer(_SECONDS_UNSHOWN, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done, words: progress.update(task, completed=done, done=words)
    finally:
        timer.cancel()
        timer.join()  # it may be starting at this moment
        progress.stop()
