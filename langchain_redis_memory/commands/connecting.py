"""Where a command's memory is: the options that say so, and the memory that they name."""

from __future__ import annotations

import inspect
import os
import re
import sys
from functools import wraps
from getpass import getpass
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.memory import RedisMemory
from langchain_redis_memory.settings.memory_settings import MemorySettings
from langchain_redis_memory.settings.redis_settings import RedisSettings

if TYPE_CHECKING:
    from collections.abc import Callable

_PANEL = "Where the memory is"
_PASSWORD = re.compile(r":[^@]*@|password", re.IGNORECASE)
"""What a URL with a password has; what may be one is taken for one."""

Url = Annotated[
    str | None,
    typer.Option(
        envvar="REDIS_URL",
        show_envvar=True,
        show_default=False,
        rich_help_panel=_PANEL,
        help="A Redis server, such as redis://alice@localhost:6379/0; no password.",
    ),
]
Embedded = Annotated[
    Path | None,
    typer.Option(
        "--embedded",
        "--directory",
        file_okay=False,
        show_default=False,
        rich_help_panel=_PANEL,
        metavar="DIRECTORY",
        help="The data of an embedded server. Default: what REDIS__... say, or else "
        "langchain-redis-memory in ~/.local/share.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        rich_help_panel=_PANEL,
        help="What every key starts with. Default: what MEMORY__NAMESPACE says, or else agent.",
    ),
]
AskPassword = Annotated[
    bool,
    typer.Option("--ask-password", rich_help_panel=_PANEL, help="Ask for the server's password."),
]

_OPTIONS = {
    "url": (Url, None),
    "embedded": (Embedded, None),
    "namespace": (Namespace, None),
    "ask_password": (AskPassword, False),
}


def with_memory(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where its memory is, and open that for its run.

    Args:
        command: Takes the memory first, then what is its own.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _OPTIONS.items()
    ]
    context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in [context, *own, *added]]

    @wraps(command)
    def run(context: typer.Context, **given: Any) -> None:
        where = {name: given.pop(name) for name in _OPTIONS}
        by_hand = {name for name in where if _given_by_hand(context, name)}
        with open_memory(by_hand, **where) as memory:
            command(memory, **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def open_memory(
    by_hand: set[str],
    *,
    url: str | None,
    embedded: Path | None,
    namespace: str | None,
    ask_password: bool,
) -> RedisMemory:
    """Open the memory that options and environment name.

    It raises an error when Redis is away, whatever MEMORY__ON_UNAVAILABLE says: who looks must not
    be told that nothing is there.

    Args:
        by_hand: Which of the options were given on the command line.
        url: See `Url`, as for the rest.
        embedded: The directory of an embedded server.
        namespace: What every key starts with.
        ask_password: Whether to ask for the password.

    Raises:
        ConfigurationError: They cannot be used, or name more than one server.
    """
    if {"url", "embedded"} <= by_hand:
        raise ConfigurationError("give either --url or --directory (--embedded), not both")
    if "url" in by_hand and url is not None:
        _check_by_hand(url)
    options: dict[str, Any] = {"on_unavailable": "error"}
    if namespace is not None:
        options["namespace"] = namespace
    from_environment = RedisSettings().given() if not {"url", "embedded"} & by_hand else {}
    if from_environment and url:
        raise ConfigurationError(
            "REDIS_URL and REDIS__... both name a server; unset one of them, or give --url"
        )
    options = MemorySettings().options() | options
    if url and not embedded:
        return RedisMemory.from_url(url, **options, **(_asked() if ask_password else {}))
    if ask_password:
        raise ConfigurationError("--ask-password is for the server of a URL; give --url")
    if from_environment:
        return RedisMemory.from_settings(**options)
    return RedisMemory.embedded(embedded or _default_directory(), **options)


def _given_by_hand(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _check_by_hand(url: str) -> None:
    if not url:  # of a variable that is not set, as one may fear
        raise ConfigurationError("--url must not be empty")
    # Anyone on this machine can read the arguments of a process.
    scheme, _, rest = unquote(url).partition("://")
    if _PASSWORD.search(rest or scheme):
        raise ConfigurationError(
            "--url must hold no password, as everyone on this machine can see it; put the whole "
            "URL into the environment (REDIS_URL), or add --ask-password"
        )


def _asked() -> dict[str, Any]:
    if not sys.stdin.isatty():
        raise ConfigurationError("--ask-password needs a terminal; put the URL into REDIS_URL")
    return {"password": getpass("Password: ", stream=sys.stderr)}


def _default_directory() -> Path:
    """Follow the XDG base directory specification, by which a relative path does not count."""
    configured = Path(os.environ.get("XDG_DATA_HOME", ""))
    base = configured if configured.is_absolute() else Path.home() / ".local" / "share"
    return base / "langchain-redis-memory"
