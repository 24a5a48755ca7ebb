"""The commands ``agents``, ``users`` and ``sessions``: what there is."""

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from langchain_redis_memory.commands.connecting import with_memory
from langchain_redis_memory.commands.output import (
    AsJson,
    console,
    duration,
    emit,
    in_quotes,
    moment,
    progress_bar,
    tell,
)
from langchain_redis_memory.display.words import counted, one_line
from langchain_redis_memory.memory import RedisMemory

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="Which agent.", show_default=False)]
User = Annotated[str, typer.Argument(metavar="USER", help="Which user.", show_default=False)]
Session = Annotated[
    str, typer.Argument(metavar="SESSION", help="Which session.", show_default=False)
]


@with_memory
def agents(memory: RedisMemory, *, as_json: AsJson = False) -> None:
    """List the agents that have something stored."""
    _list(memory.agents(), "agent", memory.address, as_json=as_json)


@with_memory
def users(
    memory: RedisMemory,
    agent: Annotated[
        str | None,
        typer.Argument(
            metavar="AGENT", show_default="all agents, and profiles for all", help="Whose users."
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the users of whom something is stored."""
    _list(memory.users(agent), "user", memory.address, as_json=as_json)


@with_memory
def sessions(
    memory: RedisMemory,
    agent: Agent,
    user: User,
    *,
    limit: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="How many at most.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List a user's sessions with an agent, the one that was active last first."""
    page = memory.sessions(agent, user, limit=limit)
    if as_json:
        for info in page:
            emit({"agent": agent, "user": user} | {n: getattr(info, n) for n in info.__slots__})
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("session", overflow="fold")
        table.add_column("messages", justify="right")
        table.add_column("last active (UTC)", no_wrap=True)
        table.add_column("expires in", no_wrap=True)
        for info in page:
            active, left = moment(info.last_active), duration(info.ttl)
            table.add_row(Text(one_line(info.session)), f"{info.messages:,}", active, left)
        if page:
            console().print(table)
        else:
            tell(f"{in_quotes(user)} has no sessions with {in_quotes(agent)} in {memory.address}.")
    if page.next is not None:
        tell("There are more; these were active last.", "dim")


def _list(names: Iterable[str], kind: str, address: str, *, as_json: bool) -> None:
    """Print names as they come, of which there may be millions."""
    found, are_seen = 0, sys.stdout.isatty()
    with ExitStack() as bar:
        advance = bar.enter_context(progress_bar("Looking through all keys"))
        for found, name in enumerate(names, 1):
            if are_seen:
                bar.close()  # it would stand among them
            else:
                advance(0, counted(found, kind))
            if as_json:
                emit({kind: name})
            else:
                sys.stdout.write(f"{one_line(name)}\n")
    if not found:
        tell(f"There are no {kind}s in {address}.")
