"""The command ``show``: a conversation to read."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
)
from rich.console import Group
from rich.table import Table
from rich.text import Text

from langchain_redis_memory.commands.connecting import with_memory
from langchain_redis_memory.commands.listing import Agent, Session, User
from langchain_redis_memory.commands.output import (
    AsJson,
    console,
    duration,
    emit,
    in_quotes,
    moment,
    safe_line,
)
from langchain_redis_memory.display.words import counted, one_line, seen
from langchain_redis_memory.errors import CorruptedDataError, RedisMemoryError
from langchain_redis_memory.memory import RedisMemory
from langchain_redis_memory.sessions.looking import Looked, look_at
from langchain_redis_memory.storage.codec import MISSHAPEN

_ROLES = {"human": "user", "ai": "assistant"}
_STYLES = {"user": "bold green", "assistant": "bold cyan", "system": "bold magenta"}
_CALLS = {"tool_use", "tool_call", "function_call", "input_json_delta"}
"""Content blocks that repeat what is in a message's tool calls."""


@with_memory
def show(
    memory: RedisMemory,
    agent: Agent,
    user: User,
    session: Session,
    *,
    last: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="How many of the last messages.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Show tool calls, results and instructions whole.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a session as a transcript; its expiry is not put off.

    A message that is damaged is told between the others, and fails the command at its end.
    """
    conversation = memory.conversation(agent, user, session)
    found = conversation.connection.run(look_at(conversation, last))
    if not found.length:
        raise RedisMemoryError(
            f"there is no session {in_quotes(session)} of {in_quotes(user)} with "
            f"{in_quotes(agent)} in {memory.address}, or it has expired"
        )
    messages = found.messages()
    if as_json:
        for message, stored in messages:
            if isinstance(message, BaseMessage):
                # As `message_to_dict`, which warns of fields that LangChain itself assigns past the
                # checks of the class, and quotes them.
                data = message.model_dump(warnings=False)
                emit({"stored": stored, "type": message.type, "data": data})
    else:
        out = console()
        out.print(Text(one_line(f"{agent} / {user} / {session}"), "bold"))
        out.print(_told(found), style="dim", end="\n\n")
        for row in _rows(messages, full=full):
            out.print(row)
    _refuse_damage([message for message, _ in messages if isinstance(message, CorruptedDataError)])


def _refuse_damage(damaged: list[CorruptedDataError]) -> None:
    if len(damaged) == 1:
        raise damaged[0]
    if damaged:
        elements = ", ".join(str(error.position) for error in reversed(damaged))
        raise RedisMemoryError(
            f"several messages are damaged: elements {elements} of {damaged[0].key!r}, of which 0 "
            "is the newest; look at each with LINDEX, then repair it with LSET or clear the session"
        )


def _told(found: Looked) -> str:
    shown = len(found.elements)
    some = f"the last {shown} of " if shown < found.length else ""
    active = moment(found.last_active)
    ends = "never expires" if found.ttl is None else f"expires in {duration(found.ttl)}"
    times = f"last active {active} UTC, {ends}" if active else ends
    return f"{some}{counted(found.length, 'message')}\n{times}"


def _rows(
    messages: Iterable[tuple[BaseMessage | CorruptedDataError, datetime | None]], *, full: bool
) -> Iterator[Table | Text]:
    """Give a row a message, and the day where it changes."""
    day: date | None = None
    for message, stored in messages:
        if stored is not None and stored.astimezone(UTC).date() != day:
            day = stored.astimezone(UTC).date()
            yield Text(f"{day} (UTC)", "dim")
        row = Table.grid(padding=(0, 2, 0, 0), expand=True)
        row.add_column(width=8, style="dim")
        row.add_column(width=9, overflow="ellipsis", no_wrap=True)
        row.add_column(ratio=1, overflow="fold")
        time = moment(stored).rpartition(" ")[2]
        row.add_row(time, *_said(message, full))
        yield row


def _said(message: BaseMessage | CorruptedDataError, full: bool) -> tuple[Text, Group]:
    """Give who says something, and what."""
    if isinstance(message, CorruptedDataError):
        where = f"no stored message ({message.reason}), element {message.position} of the list"
        return Text("damaged", "red"), Group(Text(where, "red"))
    try:
        role, lines = _role(message), list(_lines(message, full))
    except MISSHAPEN as error:  # some fields are stored past the checks of the message's class
        why = f"[a field is of an odd type ({type(error).__name__}); --json shows it]"
        return Text(one_line(str(message.type)), "dim"), Group(Text(why, "dim"))
    return Text(role, _STYLES.get(role, "dim")), Group(*lines)


def _role(message: BaseMessage) -> str:
    kind = message.role if isinstance(message, ChatMessage) else message.type
    kind = kind.removesuffix("Chunk").removesuffix("Message")
    return one_line(_ROLES.get(kind.lower(), kind))


def _lines(message: BaseMessage, full: bool) -> Iterator[Text]:
    text = message.text
    if isinstance(message, ToolMessage | FunctionMessage):
        failed = isinstance(message, ToolMessage) and message.status == "error"
        before = f"← {message.name or 'result'}{' failed' if failed else ''}: "
        yield _folded(before, text, full, "red" if failed else "dim")
    elif isinstance(message, SystemMessage):
        yield _folded("", text, full, "dim")
    elif text:
        yield Text(seen(text))
    for kind in _other_blocks(message):
        yield Text(f"[{one_line(kind)}]", "dim")
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            yield _folded(f"→ {call['name']}", _arguments(call["args"], full), full, "yellow")
        for wrong in message.invalid_tool_calls:
            before = f"→ {wrong['name'] or 'a tool'} (no JSON): "
            yield _folded(before, wrong["args"] or "", full, "red")


def _folded(before: str, text: str, full: bool, style: str) -> Text:
    if full:
        return Text(seen(before + text), style)
    return Text(safe_line(before + text), style, no_wrap=True, overflow="ellipsis")


def _arguments(arguments: dict[str, Any], full: bool) -> str:
    if full:
        return " " + json.dumps(arguments, ensure_ascii=False, indent=2)
    pairs = (f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in arguments.items())
    return f"({', '.join(pairs)})"


def _other_blocks(message: BaseMessage) -> Iterator[str]:
    content = message.content if isinstance(message.content, list) else []
    for block in content:
        kind = str(block.get("type")) if isinstance(block, dict) else "text"
        if kind != "text" and kind not in _CALLS:
            yield kind
