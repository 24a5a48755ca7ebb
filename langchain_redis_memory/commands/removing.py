"""The commands ``clear`` and ``forget``: what would be removed is told, and asked for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from langchain_redis_memory.commands.connecting import with_memory
from langchain_redis_memory.commands.listing import Agent, User
from langchain_redis_memory.commands.output import (
    AsJson,
    emit,
    in_quotes,
    progress_bar,
    say,
    tell,
)
from langchain_redis_memory.commands.stopping import (
    agreed,
    may_ask,
    told_when_stopped,
    whole_steps,
)
from langchain_redis_memory.display.words import counted
from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.memory import RedisMemory
from langchain_redis_memory.sessions.removing import Receipt

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]

_WORDS = {
    "sessions": "session",
    "messages": "message",
    "summaries": "summary",
    "profiles": "profile",
    "indexes": "list of sessions",
    "cached": "cached value",
    "other": "other key",
}


@with_memory
def clear(
    memory: RedisMemory,
    agent: Agent,
    user: Annotated[str | None, typer.Argument(show_default=False, help="Which user.")] = None,
    session: Annotated[
        str | None, typer.Argument(show_default=False, help="Which session.")
    ] = None,
    *,
    all_sessions: Annotated[
        bool, typer.Option("--all-sessions", help="All that the agent keeps of the user.")
    ] = False,
    all_users: Annotated[
        bool, typer.Option("--all-users", help="All that the agent keeps.")
    ] = False,
    keep_profiles: Annotated[
        bool, typer.Option("--keep-profiles", help="Leave the profiles for this agent.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a session, all that an agent keeps of a user, or all that it keeps."""
    remove: Callable[..., Receipt]
    if user is None and all_users and not all_sessions:
        what = f"all that {in_quotes(agent)} keeps"
        remove = partial(memory.clear_agent, agent, keep_profiles=keep_profiles)
    elif user is not None and session is None and all_sessions and not all_users:
        what = f"all that {in_quotes(agent)} keeps of {in_quotes(user)}"
        remove = partial(memory.clear_user, agent, user, keep_profiles=keep_profiles)
    elif user is not None and session is not None and not (all_sessions or all_users):
        what = f"session {in_quotes(session)} of {in_quotes(user)} with {in_quotes(agent)}"
        remove = partial(memory.clear_session, agent, user, session)
    else:
        raise ConfigurationError(
            "say what to clear: AGENT USER SESSION, AGENT USER --all-sessions, or AGENT --all-users"
        )
    _remove(memory, what, remove, dry_run=dry_run, yes=yes, as_json=as_json)


@with_memory
def forget(
    memory: RedisMemory,
    user: User,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove all that is kept of a user, by any agent."""
    what = f"all that is kept of {in_quotes(user)}"
    remove = partial(memory.forget_user, user)
    _remove(memory, what, remove, dry_run=dry_run, yes=yes, as_json=as_json)


def _remove(
    memory: RedisMemory,
    what: str,
    remove: Callable[..., Receipt],
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    may_ask(yes=yes, dry_run=dry_run)
    found = Receipt(dry_run=dry_run)
    if not yes or dry_run:
        with told_when_stopped(lambda: "Nothing was removed."):
            found = replace(_looked(remove), dry_run=dry_run)
            if found.keys and not dry_run:
                tell(f"This removes {what}, at {memory.address}: {_in_words(found)}.")
                if not agreed("Remove it?"):
                    tell("Nothing was removed.")
                    raise typer.Exit(1)
    done = found if dry_run or not (yes or found.keys) else _removed(remove, found.keys or None)
    if as_json:
        emit(done)
    else:
        say(_concluded(what, done, dry_run=dry_run))


def _looked(remove: Callable[..., Receipt]) -> Receipt:
    with progress_bar("Looking through all keys") as advance:
        return remove(dry_run=True, progress=lambda so_far: advance(0, _in_words(so_far)))


def _removed(remove: Callable[..., Receipt], total: int | None) -> Receipt:
    so_far = Receipt()

    def account() -> str:
        gone = _in_words(so_far) if so_far.keys else "nothing"
        return f"Removed so far: {gone}. The rest is as it was; repeat the command to remove it."

    with (
        told_when_stopped(account),
        whole_steps() as stop_here,
        progress_bar("Removing", total) as advance,
    ):

        def progress(receipt: Receipt) -> None:
            nonlocal so_far
            so_far = receipt
            advance(receipt.keys, _in_words(receipt))
            stop_here()

        return remove(progress=progress)


def _concluded(what: str, done: Receipt, *, dry_run: bool) -> str:
    if not done.keys:
        return f"There is nothing to remove of {what}."
    return f"{'This would remove' if dry_run else 'Removed'} {what}: {_in_words(done)}."


def _in_words(receipt: Receipt) -> str:
    there = [(getattr(receipt, name), word) for name, word in _WORDS.items()]
    return ", ".join(_counted(count, word) for count, word in there if count) or "nothing yet"


def _counted(count: int, word: str) -> str:
    if word == "list of sessions":
        return f"{count:,} {'list' if count == 1 else 'lists'} of sessions"
    return counted(count, word)
