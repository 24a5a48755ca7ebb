"""The command line: its commands and the options that belong to none of them."""

from typing import Annotated

import typer

from langchain_redis_memory._version import __version__
from langchain_redis_memory.commands.chat import chat
from langchain_redis_memory.commands.demo import demo

# Typer's own tracebacks may show local variables, and with them a URL and its password.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(demo)
app.command()(chat)


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
    """Memory in Redis that LangChain agents can trust."""
