"""The commands ``export``, ``import`` and ``adopt``: conversations to and from elsewhere."""

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from langchain_redis_memory.commands.connecting import with_memory
from langchain_redis_memory.commands.foreign import conversations_in, ids_by
from langchain_redis_memory.commands.output import AsJson, emit, progress_bar, say
from langchain_redis_memory.commands.removing import DryRun
from langchain_redis_memory.commands.stopping import told_when_stopped, whole_steps
from langchain_redis_memory.display.words import counted
from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.memory import RedisMemory
from langchain_redis_memory.moving.archive_file import opened
from langchain_redis_memory.moving.restoring import Progress, Transfer


class OnConflict(StrEnum):
    """What to do where something else is stored."""

    ERROR = "error"
    SKIP = "skip"
    REPLACE = "replace"


class Source(StrEnum):
    """Where conversations come from."""

    COMMUNITY = "langchain-community"
    LLAMA_INDEX = "llama-index"
    OPENAI = "openai"


Library = Literal["langchain-community", "llama-index"]
Conflict = Annotated[
    OnConflict,
    typer.Option(help="Where something else is stored: stop there, leave it, or replace it."),
]
_SAFE_TO_REPEAT = "repeat the command for the rest, nothing is stored twice."


@with_memory
def export(
    memory: RedisMemory,
    file: Annotated[
        Path, typer.Argument(dir_okay=False, help="Where to; what ends in .gz is compressed.")
    ],
    *,
    agent: Annotated[
        str | None, typer.Option(show_default="all", help="Only what this agent keeps.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(show_default="all", help="Only what is kept of this user.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write conversations and profiles to a file, which appears when it is complete."""
    kept = "No file was written; one that was there is as it was."
    with told_when_stopped(lambda: kept), progress_bar("Exporting") as advance:
        done = memory.export(
            file, agent, user, progress=lambda so_far: advance(0, _in_words(so_far))
        )
    _report("Exported", done, as_json=as_json)


@with_memory
def import_(
    memory: RedisMemory,
    file: Annotated[Path, typer.Argument(help="What export has written.")],
    *,
    on_conflict: Conflict = OnConflict.ERROR,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Restore what export has written; repeating it adds nothing."""
    with _stored("Importing", _announced(file), dry_run=dry_run) as progress:
        done = memory.import_(
            file, on_conflict=on_conflict.value, dry_run=dry_run, progress=progress
        )
    _report("This would import" if dry_run else "Imported", done, as_json=as_json)


@with_memory
def adopt(
    memory: RedisMemory,
    source: Annotated[
        Source, typer.Argument(show_default=False, help="How the conversations are kept.")
    ],
    file: Annotated[
        Path | None,
        typer.Argument(
            show_default=False,
            help="For openai: a JSON list of messages, or a line for each conversation: "
            '{"conversation": ID, "messages": [...]}.',
        ),
    ] = None,
    *,
    agent: Annotated[
        str, typer.Option(show_default=False, help="Whose conversations they become.")
    ],
    user: Annotated[
        str | None, typer.Option(show_default="default", help="For openai: of which user.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(help="For openai: which session a list of messages becomes.")
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(show_default="message_store:", help="What the keys of the others begin with."),
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="What follows in a key, such as {user}/{session}; other keys are left alone.",
        ),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what was stored here and read back.")
    ] = False,
    on_conflict: Conflict = OnConflict.ERROR,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take over conversations of other libraries; repeating it adds nothing twice."""
    how: dict[str, Any] = {"on_conflict": on_conflict.value, "dry_run": dry_run}
    with _stored("Adopting", None, dry_run=dry_run) as progress:
        if source is Source.OPENAI:
            if file is None or prefix is not None or ids is not None or remove:
                raise ConfigurationError(
                    "openai takes a FILE, and neither --prefix nor --ids nor --remove"
                )
            done = Transfer()
            for whose, which, messages in conversations_in(file, user, session):
                done += memory.adopt(messages, agent=agent, user=whose, session=which, **how)
                progress(done)
        else:
            if file is not None or user is not None or session is not None:
                raise ConfigurationError(
                    f"{source.value} takes --prefix and --ids, and no FILE, --user or --session: "
                    "its conversations are read from the server"
                )
            where: dict[str, Any] = {} if prefix is None else {"prefix": prefix}
            where |= {} if ids is None else {"ids": ids_by(ids)}
            done = memory.adopt(
                cast("Library", source.value),
                agent=agent,
                remove=remove,
                progress=progress,
                **where,
                **how,
            )
    _report("This would adopt" if dry_run else "Adopted", done, as_json=as_json)


@contextmanager
def _stored(label: str, total: int | None, *, dry_run: bool) -> Iterator[Progress]:
    """Show how far it is, and heed Ctrl-C between two conversations."""
    so_far = Transfer()

    def account() -> str:
        if dry_run:
            return "Nothing was stored."
        return f"Whole so far: {_in_words(so_far)}; {_SAFE_TO_REPEAT}"

    with (
        told_when_stopped(account),
        whole_steps() as stop_here,
        progress_bar(label, total) as advance,
    ):

        def progress(done: Transfer) -> None:
            nonlocal so_far
            so_far = done
            each = done.sessions + done.profiles + done.unchanged + done.skipped
            advance(each, _in_words(done))
            stop_here()

        yield progress


def _announced(path: Path) -> int | None:
    """Tell how many lines an export says it has; None if it says nothing."""
    with suppress(Exception), opened(path) as file:  # whatever is wrong with it, the import tells
        last = json.loads(deque(file, 1)[0])
        return int(last["sessions"]) + int(last["profiles"])
    return None


def _report(what: str, done: Transfer, *, as_json: bool) -> None:
    if as_json:
        emit(done)
    else:
        say(f"{what} {_in_words(done)}.")


def _in_words(done: Transfer) -> str:
    stored = f"{counted(done.sessions, 'session')} with {counted(done.messages, 'message')}"
    others = done.profiles or done.unchanged or done.skipped
    parts = ["nothing new" if others and not (done.sessions or done.profiles) else stored]
    if done.profiles:
        parts.append(counted(done.profiles, "profile"))
    if done.unchanged:
        parts.append(f"{done.unchanged:,} already there")
    if done.skipped:
        parts.append(f"{done.skipped:,} left out, as something else is there")
    return ", ".join(parts)
