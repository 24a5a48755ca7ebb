"""The command ``langchain-redis-memory``; what it can do stands in the folder ``commands``.

Typer and rich come with the extra ``cli``. This module does without them, so that the command can
say what is missing.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from langchain_redis_memory.errors import ConfigurationError, RedisMemoryError

if TYPE_CHECKING:
    import typer

_EXTRA = {"typer", "rich", "click"}
_MISSING = 'The command needs the extra "cli": pip install "langchain-redis-memory[cli]"'


def main() -> None:
    """Run the command and exit.

    With 0 when it went well, 1 when it did not, 2 when it was called wrongly, and 130 when Ctrl-C
    has stopped it.
    """
    _prepare_streams()
    try:
        _load_app()(prog_name="langchain-redis-memory")
    except KeyboardInterrupt:  # while it was loading
        sys.exit(130)
    except RedisMemoryError as error:
        _fail(str(error), 2 if isinstance(error, ConfigurationError) else 1)
    except OSError as error:  # of a file that was named; where Redis is, it is one of ours
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", 1)
    finally:
        _flush()


def _load_app() -> typer.Typer:
    try:
        app: typer.Typer = import_module("langchain_redis_memory.commands.app").app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.exit(_MISSING)
    return app


def _fail(text: str, code: int) -> NoReturn:
    from langchain_redis_memory.display.words import one_line  # noqa: PLC0415 - needed seldom

    # It may name a file, an id or what the server said.
    sys.stderr.write(f"Error: {one_line(' '.join(text.split()))}\n")
    sys.exit(code)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has left, as head does; Python would flush once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_streams() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever called; in their order they get its number
            number = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
        elif isinstance(stream, TextIOWrapper):
            # A reply may hold what the terminal's encoding lacks; that must not end it.
            stream.reconfigure(errors="replace")
