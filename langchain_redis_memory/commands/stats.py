"""The command ``stats``: what a memory holds."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from langchain_redis_memory.commands.connecting import with_memory
from langchain_redis_memory.commands.output import (
    AsJson,
    console,
    duration,
    emit,
    progress_bar,
    safe_line,
)
from langchain_redis_memory.commands.stopping import told_when_stopped
from langchain_redis_memory.display.words import counted, one_line
from langchain_redis_memory.inspection.figures import (
    EXPIRIES,
    KIND_NAMES,
    OwnerStats,
    Stats,
    in_bytes,
)
from langchain_redis_memory.inspection.walking import Walked
from langchain_redis_memory.memory import RedisMemory


@with_memory
def stats(
    memory: RedisMemory,
    *,
    agent: Annotated[
        str | None, typer.Option(show_default="all", help="Count what this agent has.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(show_default="all", help="Count what is this user's.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, help="How many agents, users and sessions to name.")
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Count sessions, messages, bytes and expiries, and name the largest."""
    with going_through_keys() as progress:
        found = memory.stats(agent=agent, user=user, top=top, progress=progress)
    if as_json:
        emit(as_record(found))
    else:
        show(found, memory.address)


@contextmanager
def going_through_keys() -> Iterator[Callable[[Walked], None]]:
    """Show how far a walk through the keys has come; Ctrl-C ends it."""

    def progress(walked: Walked) -> None:
        share = walked.passed / walked.total if walked.total else 0
        advance(round(100 * share), counted(walked.found, "key"))

    stopped = told_when_stopped(lambda: "Nothing was changed.")
    with stopped, progress_bar("Going through all keys", 100) as advance:
        yield progress


def as_record(found: Stats) -> dict[str, object]:
    """Give what is printed as JSON."""
    whole = {"sessions": found.sessions, "keys": found.keys, "bytes": found.bytes}
    return whole | asdict(found)


def show(found: Stats, address: str) -> None:
    """Print it for people."""
    out = console()
    size = "" if found.bytes is None else f", {in_bytes(found.bytes)}"
    out.print(
        f"{address}: {counted(found.sessions, 'session')}, "
        f"{counted(found.messages, 'message')}, {counted(found.keys, 'key')}{size}"
    )
    if found.keys:
        out.print("", _by_kind(found), sep="\n")
        _print_owners(out, "agent", found.agents, whole=found.all_agents, sizes=found.tells_bytes)
        _print_owners(out, "user", found.users, whole=found.all_users, sizes=found.tells_bytes)
    if found.largest:
        out.print("", _largest(found), sep="\n")
    for finding in found.findings:
        out.print(Text(f"\n{finding.level}: {safe_line(finding.text)}; {finding.remedy}"))


def _by_kind(found: Stats) -> Table:
    table = _table("", "keys", "bytes", *EXPIRIES)
    for kind, name in KIND_NAMES.items():
        there = found.kinds[kind]
        if there.keys:
            expiries = asdict(there.expiries).values()
            table.add_row(name, *_figures(there.keys, _size(there.bytes), *expiries))
    table.title = "keys by when they expire"
    return table


def _print_owners(
    out: Console, kind: str, owners: Iterable[OwnerStats], *, whole: bool, sizes: bool
) -> None:
    table = _table(kind if whole else f"{kind} (at least)", "sessions", "messages", "bytes")
    for owner in owners:
        size = _size(owner.bytes) if sizes else ""
        table.add_row(Text(one_line(owner.name)), *_figures(owner.sessions, owner.messages, size))
    if table.row_count:
        out.print("", table, sep="\n")


def _largest(found: Stats) -> Table:
    table = _table("largest session", "messages", "bytes", "expires in")
    for one in found.largest:
        name = " / ".join(map(one_line, (one.agent, one.user, one.session)))
        size = _size(one.bytes) if found.tells_bytes else ""
        table.add_row(Text(name), *_figures(one.messages, size, duration(one.ttl)))
    return table


def _table(first: str, *rest: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="right")
    table.add_column(first, overflow="fold")
    for heading in rest:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _figures(*values: float | str) -> list[str]:
    return [value if isinstance(value, str) else f"{value:,}" for value in values]


def _size(size: int) -> str:
    return in_bytes(size) if size else ""
