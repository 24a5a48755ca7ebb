"""The command line: its commands and the options that belong to none of them."""

from typing import Annotated

import typer

from langchain_redis_memory._version import __version__
from langchain_redis_memory.commands.chat import chat
from langchain_redis_memory.commands.demo import demo
from langchain_redis_memory.commands.doctor import doctor
from langchain_redis_memory.commands.listing import agents, sessions, users
from langchain_redis_memory.commands.moving import adopt, export, import_
from langchain_redis_memory.commands.profile import profile
from langchain_redis_memory.commands.removing import clear, forget
from langchain_redis_memory.commands.show import show
from langchain_redis_memory.commands.stats import stats

_HELP = {"help_option_names": ["--help", "-h"]}
_PANELS = {
    "Try it": [demo, chat],
    "Look": [agents, users, sessions, show],
    "Look after it": [stats, doctor],
    "Remove": [clear, forget],
    "Move": [export, import_, adopt],
}

# Typer's own tracebacks may show local variables, and with them a URL and its password.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, context_settings=_HELP)
for panel, commands in _PANELS.items():
    for command in commands:
        name = command.__name__.rstrip("_")
        app.command(name, rich_help_panel=panel)(command)
app.add_typer(profile, name="profile", rich_help_panel="Look")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"langchain-redis-memory {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Memory in Redis that LangChain agents can trust.

    Exit codes: 0 it went well, 1 it did not, 2 it was called wrongly, 130 stopped by Ctrl-C.
    """
