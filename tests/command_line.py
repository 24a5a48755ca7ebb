"""The command as it is called: within the test's process, and as a process at a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

import langchain_redis_memory
from langchain_redis_memory.cli import main

COMMAND = [sys.executable, "-m", "langchain_redis_memory"]
SOURCE = Path(langchain_redis_memory.__file__).parent.parent


def environment(home, **more):
    """Give an environment that names no server, of a terminal of 80 columns."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "REDIS_URL" and not name.startswith(("REDIS__", "MEMORY__"))
    }
    ours = {"COLUMNS": "80", "PYTHONPATH": str(SOURCE), "HOME": str(home), "XDG_DATA_HOME": ""}
    return inherited | ours | more


@dataclass
class Done:
    """What a command has left."""

    code: int
    out: str
    err: str

    def records(self):
        """Read what it has printed as JSON, of which there is an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Person(io.StringIO):
    """Somebody at a terminal, who has typed ahead."""

    def isatty(self):
        return True


@pytest.fixture
def run_command(server, monkeypatch, capsys, tmp_path):
    """Run the command in this process, on the server of the test unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    clean = environment(tmp_path, REDIS_URL=server.url, NO_COLOR="1", TERM="dumb")

    def run(*arguments, piped=None, typed="", **variables):
        octets = piped.encode() if isinstance(piped, str) else piped
        stdin = Person(typed) if piped is None else io.TextIOWrapper(io.BytesIO(octets))
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "argv", ["langchain-redis-memory", *map(str, arguments)])
        named = patch.dict(os.environ, clean | variables, clear=True)
        with named, pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Done(ended.value.code or 0, out, err)

    return run


class Terminal:
    """A person's end of a terminal: reads until something shows, and types."""

    def __init__(self, descriptor, process):
        self.descriptor = descriptor
        self.process = process
        self.seen = ""

    def wait_for(self, text, within=60):
        """Read until the text shows, and give what came before it."""
        end = time.monotonic() + within
        while text not in self.seen:
            ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} did not show; what showed: {self.seen!r}"
            self.seen += os.read(self.descriptor, 4096).decode("utf-8", "replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        """Press keys."""
        os.write(self.descriptor, text.encode())

    def ended(self):
        """Wait for the end, and give the exit code and what was still to be read."""
        while True:
            try:
                read = os.read(self.descriptor, 4096)
            except OSError:  # as Linux tells that nobody is at the other end any more
                break
            if not read:
                break
            self.seen += read.decode("utf-8", "replace")
        return self.process.wait(60), self.seen


@contextmanager
def at_terminal(home, *arguments, **variables):
    """Run the command at a terminal of its own, of 80 columns."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        preexec_fn=lambda: os.login_tty(theirs),  # noqa: PLW1509 - it makes one system call
        cwd=home,
        env=environment(home, TERM="xterm", **variables),
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            os.close(ours)
