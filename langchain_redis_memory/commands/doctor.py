"""The command ``doctor``: what is wrong with a memory or its server, and what to do."""

from collections import Counter
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from langchain_redis_memory.commands.connecting import with_memory
from langchain_redis_memory.commands.output import AsJson, console, emit, safe_line
from langchain_redis_memory.commands.stats import going_through_keys
from langchain_redis_memory.display.words import counted
from langchain_redis_memory.inspection.doctor import Diagnosis
from langchain_redis_memory.inspection.findings import Finding
from langchain_redis_memory.memory import RedisMemory

_STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}


@with_memory
def doctor(
    memory: RedisMemory,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at the server only, not at all keys.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Let a warning count as a problem.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with the server and what it holds; exit with 1 if there is a problem.

    Nothing that is stored changes. What the server does not tell is noted.
    """
    with going_through_keys() as progress:
        found = memory.doctor(keys=not quick, progress=progress)
    if as_json:
        for finding in found.findings:
            emit(finding)
    else:
        _show(found)
    grave = {"problem", "warning"} if strict else {"problem"}
    raise typer.Exit(1 if found.level in grave else 0)


def _show(found: Diagnosis) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found.findings:
        level = Text(finding.level, _STYLES[finding.level])
        table.add_row(level, finding.subject, _told(finding))
    levels = Counter(finding.level for finding in found.findings)
    words = [counted(levels[name], name) for name in ("problem", "warning", "note") if levels[name]]
    console().print(table, "", f"{', '.join(words) or 'All is well'}.", sep="\n")


def _told(finding: Finding) -> Text:
    text = Text(safe_line(finding.text))
    if finding.remedy:
        text.append(f"\n-> {safe_line(finding.remedy)}", "dim")
    return text
