"""What commands print: data on stdout; questions, progress and what happened on stderr.

Whatever is stored is shown as text: what a terminal would act on is shown by its code, and nothing
of it is read as rich's markup.
"""

from __future__ import annotations

import json
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

from langchain_redis_memory.display.words import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, an object a line, and nothing else.")
]

_SECONDS_UNSHOWN = 0.5  # what is done by then needs no bar


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


def safe_line(text: str) -> str:
    """Give a text as one line, whose breaks are spaces."""
    return one_line(" ".join(text.split()))


def in_quotes(text: str) -> str:
    """Name an id within a sentence."""
    return f'"{one_line(text)}"'


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
        if progress.live.is_started:
            progress.stop()
