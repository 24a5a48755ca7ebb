"""The command ``demo``: conversations that survive the kill of the process that holds them."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from langchain_core.messages import AIMessage, BaseMessage
from rich.console import Console
from rich.table import Table

from langchain_redis_memory.commands import demo_worker
from langchain_redis_memory.commands.demo_worker import (
    CHAT_AGENT,
    REPLAY_AGENT,
    SESSION,
    USER,
    recorded_turns,
)
from langchain_redis_memory.commands.output import duration
from langchain_redis_memory.errors import RedisMemoryError
from langchain_redis_memory.memory import RedisMemory
from langchain_redis_memory.samples import load_conversations
from langchain_redis_memory.storage.keys import Keys

_NAME = "Alice"


def demo(
    *,
    directory: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            show_default="a temporary one",
            help="Where the embedded server keeps its data.",
        ),
    ] = None,
) -> None:
    """Chat, kill the process, and see that a new one goes on where it stopped."""
    show = Console(highlight=False)
    with _directory(directory) as path:
        remembered = _show_chat(show, path)
        _show_storage(show, path)
        results = _show_replay(show, path)
    _conclude(show, remembered, results)


@dataclass(frozen=True)
class _Worker:
    """A process that did its task, and was killed then."""

    pid: int
    turns: list[dict[str, Any]]


def _run(directory: Path, task: str, *arguments: str) -> _Worker:
    """Run a task in a process of its own, and kill that process once it has reported."""
    command = [sys.executable, "-m", demo_worker.__name__, str(directory), task, *arguments]
    with subprocess.Popen(  # noqa: S603 - our own module
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C is for the demo, which then lets the process go
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            report = json.loads(line or '{"error": "it reported nothing"}')
            if "turns" in report:
                process.kill()
        finally:
            process.communicate()  # after Ctrl-C as well: it must not outlive its directory
    if process.returncode != -signal.SIGKILL:
        reason = report.get("error", "it ended by itself")
        raise RedisMemoryError(f"the demo's process {process.pid} failed: {reason}")
    return _Worker(process.pid, report["turns"])


def _show_chat(show: Console, directory: Path) -> bool:
    show.rule("[bold]A conversation that survives a kill", align="left")
    first = _show_turns(show, directory, "start", f"My name is {_NAME}.", "I live in Lisbon.")
    show.print(f"[red]kill -9 {first.pid}[/]: that process is gone, a new one asks.\n")
    second = _show_turns(show, directory, "say", "What is my name?", "Where do I live?")
    show.print(
        f"[red]kill -9 {second.pid}[/]\n\n"
        "A turn takes 2 round trips to Redis, one to read and one to write. The first turn on a "
        "server that has just started takes 2 more, which bring it our two scripts.\n"
    )
    return _NAME in str(second.turns[0]["reply"])


def _show_turns(show: Console, directory: Path, task: str, *texts: str) -> _Worker:
    with show.status("a process starts and chats"):
        worker = _run(directory, task, *texts)
    table = _grid()
    process = f"process {worker.pid}"
    for text, turn in zip(texts, worker.turns, strict=True):
        table.add_row(process, "[bold]user[/]", text, "")
        table.add_row("", "[bold]offline model[/]", turn["reply"], f"{turn['trips']} round trips")
        process = ""
    show.print(table)
    return worker


def _show_storage(show: Console, directory: Path) -> None:
    show.rule("[bold]What Redis holds of it", align="left")
    with RedisMemory.embedded(directory) as memory:
        history = memory.history(CHAT_AGENT, USER, SESSION)
        table = _grid()
        table.add_row("messages", f"{history.key}  ({history.count()} messages)")
        table.add_row("sessions", Keys().sessions(CHAT_AGENT, USER))
        table.add_row("time to live", _lives(history.time_to_live()))
    show.print(table, "")


def _show_replay(show: Console, directory: Path) -> list[bool]:
    recorded = load_conversations()
    show.rule("[bold]Recorded conversations, with tool calls", align="left")
    for half in ("first", "second"):
        with show.status(f"a process replays the {half} half"):
            worker = _run(directory, f"replay-{half}-half")
        show.print(
            f"process {worker.pid} replayed {len(worker.turns)} turns, the {half} halves; "
            f"[red]kill -9 {worker.pid}[/]"
        )
    with RedisMemory.embedded(directory) as memory:
        stored = {name: memory.history(REPLAY_AGENT, USER, name).messages for name in recorded}
    show.print(_comparison(recorded, stored), "")
    return [stored[name] == recorded[name] for name in recorded]


def _comparison(
    recorded: dict[str, list[BaseMessage]], stored: dict[str, list[BaseMessage]]
) -> Table:
    table = Table("conversation", box=None, pad_edge=False)
    for heading in ("turns", "messages", "tool calls"):
        table.add_column(heading, justify="right")
    table.add_column("came back")
    for name, messages in recorded.items():
        calls = sum(len(m.tool_calls) for m in messages if isinstance(m, AIMessage))
        counts = (str(len(recorded_turns(messages))), str(len(messages)), str(calls))
        table.add_row(name, *counts, _verdict(messages, stored[name]))
    return table


def _verdict(recorded: list[BaseMessage], stored: list[BaseMessage]) -> str:
    if stored == recorded:
        return "[green]equal[/]"
    pairs = zip(recorded, stored, strict=False)
    equal = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(recorded), len(stored)))
    return f"[red]different from message {equal + 1} on[/]"


def _conclude(show: Console, remembered: bool, results: list[bool]) -> None:
    text = (
        f'"{_NAME}" was {"remembered" if remembered else "FORGOTTEN"}, '
        f"{sum(results)} of {len(results)} conversations came back equal."
    )
    if not (remembered and all(results)):
        raise RedisMemoryError(f"the demo failed: {text}")
    show.print(f"[bold green]The demo is done:[/] {text}")


@contextmanager
def _directory(chosen: Path | None) -> Iterator[Path]:
    if chosen:
        yield chosen
    else:
        with TemporaryDirectory(prefix="redis-memory-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    return table


def _lives(seconds: float | None) -> str:
    return "none: it never expires" if seconds is None else duration(seconds)
