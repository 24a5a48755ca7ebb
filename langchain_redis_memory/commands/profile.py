"""The commands ``profile get``, ``set``, ``edit`` and ``delete``: what is known of a user."""

import sys
from typing import Annotated, Any

import typer

from langchain_redis_memory.commands.connecting import with_memory
from langchain_redis_memory.commands.editing import Draft, object_of, pretty
from langchain_redis_memory.commands.listing import User
from langchain_redis_memory.commands.output import AsJson, emit, in_quotes, say, tell
from langchain_redis_memory.commands.removing import DryRun, Yes
from langchain_redis_memory.commands.stopping import (
    agreed,
    may_ask,
    told_when_stopped,
    whole_steps,
)
from langchain_redis_memory.display.words import seen
from langchain_redis_memory.errors import RedisMemoryError
from langchain_redis_memory.memory import RedisMemory
from langchain_redis_memory.profiles.profile import Profile
from langchain_redis_memory.profiles.versioned import time_to_live
from langchain_redis_memory.storage.exact import are_equal, encode_value

OfAgent = Annotated[
    str | None,
    typer.Option("--agent", show_default="the one for all", help="The profile for this agent."),
]

profile = typer.Typer(no_args_is_help=True, help="Read and change what is known of a user.")


@profile.command("get")
@with_memory
def get(memory: RedisMemory, user: User, *, agent: OfAgent = None, as_json: AsJson = False) -> None:
    """Print a profile; its expiry is not put off."""
    found = memory.profile(user, agent=agent, ttl=None)
    if not found.exists():
        raise RedisMemoryError(f"there is no profile {_whose(user, agent)}")
    _print(found.get(), as_json=as_json)


@profile.command("set")
@with_memory
def set_(
    memory: RedisMemory,
    user: User,
    value: Annotated[
        str,
        typer.Argument(
            metavar="JSON", show_default=False, help="A JSON object; - reads it from stdin."
        ),
    ],
    *,
    agent: OfAgent = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of all that is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Merge a JSON object into a profile (null removes an entry), and print the result."""
    is_piped = value == "-"
    data = object_of(
        sys.stdin.buffer.read() if is_piped else value, "stdin" if is_piped else "the argument"
    )
    there = _to_be_written(memory, user, agent)
    with whole_steps():  # it is one request, whose end can be told
        if replace:
            there.set(data)
        else:
            data = there.update(data)
    _print(data, as_json=as_json)


@profile.command("edit")
@with_memory
def edit(memory: RedisMemory, user: User, *, agent: OfAgent = None) -> None:
    """Edit a profile with $VISUAL or $EDITOR; what others change meanwhile is not overwritten."""
    before = memory.profile(user, agent=agent, ttl=None).get()

    def store(data: dict[str, Any]) -> None:
        def unless_changed(now: dict[str, Any]) -> dict[str, Any]:
            if not _same(now, before):
                raise RedisMemoryError("the profile was changed meanwhile; nothing was written")
            return data

        _to_be_written(memory, user, agent).modify(unless_changed)

    with Draft(before) as draft, told_when_stopped(lambda: "Nothing was changed."):
        data = draft.edited()
        if data is None or _same(data, before):
            say("Nothing was changed.")
            draft.discard()
        else:
            with whole_steps():  # it is one request, whose end can be told
                store(data)
            draft.discard()
            say(f"The profile {_whose(user, agent)} is stored.")


@profile.command("delete")
@with_memory
def delete(
    memory: RedisMemory,
    user: User,
    *,
    agent: OfAgent = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove a profile."""
    may_ask(yes=yes, dry_run=dry_run)
    there, whose = memory.profile(user, agent=agent, ttl=None), _whose(user, agent)
    with told_when_stopped(lambda: "Nothing was removed."):
        if not there.exists():
            say(f"There is no profile {whose}.")
            return
        if dry_run:
            say(f"This would remove the profile {whose}.")
            return
        if not yes:
            tell(f"This removes the profile {whose}, at {memory.address}.")
            if not agreed("Remove it?"):
                tell("Nothing was removed.")
                raise typer.Exit(1)
    with whole_steps():
        there.delete()
    say(f"Removed the profile {whose}.")


def _to_be_written(memory: RedisMemory, user: str, agent: str | None) -> Profile[dict[str, Any]]:
    """Give a profile that expires as the settings say, or else when it would have expired."""
    there = memory.profile(user, agent=agent)
    if there.read_ttl_ms:
        return there
    return memory.profile(user, agent=agent, ttl=there.connection.run(time_to_live(there.key)))


def _whose(user: str, agent: str | None) -> str:
    return f"of {in_quotes(user)}" + (f" for {in_quotes(agent)}" if agent is not None else "")


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return are_equal(encode_value(one, "profile"), encode_value(other, "profile"))


def _print(data: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(data)
    else:
        sys.stdout.write(seen(pretty(data)) + "\n")
