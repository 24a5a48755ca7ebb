"""Ctrl-C: what it leaves is whole, and is told; the exit code is 130."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from langchain_redis_memory.commands.output import tell
from langchain_redis_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NOTED = "\nStopping when what is being written is whole; Ctrl-C again stops at once.\n"


@contextmanager
def told_when_stopped(account: Callable[[], str]) -> Iterator[None]:
    """Say what Ctrl-C has left.

    Args:
        account: Tells what was done, and how to go on.
    """
    try:
        yield
    except KeyboardInterrupt:
        tell(f"Stopped. {account()}")
        raise typer.Exit(130) from None


@contextmanager
def whole_steps() -> Iterator[Callable[[], None]]:
    """Put Ctrl-C off to where nothing is half-done; a second one is heeded at once.

    Yields:
        To be called there.
    """
    asked = False

    def note(*_: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        os.write(2, _NOTED.encode())  # a handler may interrupt a write of the stream's own

    def stop_here() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop_here
    finally:
        signal.signal(signal.SIGINT, before)


def may_ask(*, yes: bool, dry_run: bool = False) -> None:
    """Refuse to go on where nobody can be asked.

    Raises:
        ConfigurationError: Somebody must be asked, and stdin is no terminal.
    """
    if not (yes or dry_run or sys.stdin.isatty()):
        raise ConfigurationError(
            "nobody can be asked, as the input is no terminal; add --yes to do it without asking, "
            "or --dry-run to see what would be done"
        )


def agreed(question: str) -> bool:
    """Ask; what is not yes is no."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
