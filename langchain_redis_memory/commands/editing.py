"""JSON that a person writes: in an editor, at the command line, on stdin."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from langchain_redis_memory.commands.output import tell
from langchain_redis_memory.commands.stopping import agreed
from langchain_redis_memory.errors import ConfigurationError, RedisMemoryError


def pretty(data: dict[str, Any]) -> str:
    """Write an object for people."""
    text = json.dumps(data, ensure_ascii=False, indent=2)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can name
        return json.dumps(data, indent=2)
    return text


def object_of(text: str | bytes, name: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        text: The text, of which the errors quote nothing; bytes are UTF-8.
        name: What it is called in errors.

    Raises:
        ConfigurationError: It is none, or has a name twice.
    """
    try:
        found = json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        problem = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        problem = str(error)
    else:
        if isinstance(found, dict):
            return found
        problem = "it is JSON, but no object: write {...}"
    raise ConfigurationError(f"{name} is no JSON object: {problem}")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


class Draft:
    """A JSON object in a file of its own, for an editor; nobody else can read it.

    The file goes with `discard`. When something fails before, it stays, and its place is told: what
    somebody has written is not lost.

    Args:
        data: What is to be edited.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self._before = pretty(data) + "\n"

    def __enter__(self) -> Self:
        descriptor, name = tempfile.mkstemp(prefix="profile-", suffix=".json")
        self._path = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self._before)
        return self

    def __exit__(self, *_: object) -> None:
        if self._path.exists():
            if self._text() == self._before:
                self.discard()
            else:
                tell(f"What you have written is in {self._path}.")

    def discard(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)

    def edited(self) -> dict[str, Any] | None:
        """Let it be edited until it can be read; None if it was left as it was.

        Raises:
            RedisMemoryError: The editor failed.
            ConfigurationError: It cannot be read, and is not to be edited again.
        """
        while True:
            _edit(self._path)
            if self._text() == self._before:
                return None
            try:
                return object_of(self._path.read_bytes(), "what you have written")
            except ConfigurationError as error:
                tell(f"{str(error).capitalize()}.")
                if not (sys.stdin.isatty() and agreed("Edit it again?")):
                    raise RedisMemoryError("nothing was written") from None

    def _text(self) -> str:
        return self._path.read_text(encoding="utf-8", errors="replace")


def _edit(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    # Ctrl-C is for the editor, which inherits no handler, as it would inherit SIG_IGN.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        done = subprocess.run([*shlex.split(editor), str(path)], check=False)  # noqa: S603 - the user's own choice
    except (OSError, ValueError) as error:
        raise RedisMemoryError(
            f"the editor cannot be run ({type(error).__name__}); set EDITOR to one"
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)
    if done.returncode:
        raise RedisMemoryError(f"the editor ended with {done.returncode}; nothing was written")
