"""The command ``chat``: a conversation at the terminal that goes on where it stopped."""

import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from langchain_core.messages import BaseMessage, HumanMessage
from rich.console import Console

from langchain_redis_memory._version import __version__
from langchain_redis_memory.commands.connecting import with_memory
from langchain_redis_memory.display.words import seen
from langchain_redis_memory.errors import ConfigurationError, RedisMemoryError
from langchain_redis_memory.memory import RedisMemory

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_redis_memory.history import RedisChatMessageHistory
    from langchain_redis_memory.offline_model import OfflineChatModel

_TYPING_DELAY = 0.02  # seconds a word: one sees the offline model's reply come, and can stop it


@with_memory
def chat(
    memory: RedisMemory,
    *,
    session: Annotated[str, typer.Option(help="Which conversation to go on with.")] = "default",
    user: Annotated[str, typer.Option(help="Whose conversation it is.")] = "default",
    agent: Annotated[str, typer.Option(help="The agent the conversation belongs to.")] = "chat",
    model: Annotated[
        str | None,
        typer.Option(
            show_default="an offline model",
            help="A model that LangChain's init_chat_model takes, such as openai:gpt-5-mini.",
        ),
    ] = None,
) -> None:
    """Chat at the terminal; leave, come back, and go on where you stopped."""
    talker = _offline_model() if model is None else _load_model(model)
    with suppress(ImportError):
        import_module("readline")  # gives input() its line editing, where there is one
    conversation = _Conversation(
        chain=cast("Runnable[Any, BaseMessage]", memory.with_history(talker, agent=agent)),
        history=memory.history(agent, user, session),
        config={"configurable": {"user_id": user, "session_id": session}},
        model=model or "offline model",
        console=Console(highlight=False),
    )
    conversation.greet(memory.address, user, session)
    conversation.run()
    raise typer.Exit(1 if conversation.failed else 0)


@dataclass
class _Conversation:
    """A session at the terminal."""

    chain: "Runnable[Any, BaseMessage]"
    history: "RedisChatMessageHistory"
    config: "RunnableConfig"
    model: str
    console: Console
    failed: bool = False

    def greet(self, address: str, user: str, session: str) -> None:
        """Say where the conversation is kept, who answers, and what there was before."""
        earlier = self.history.count()
        self._say(f"langchain-redis-memory {__version__}, {address}", style="dim")
        if self.model == "offline model":
            self._say(
                "Offline model: no network, no key. It is no language model and answers only from "
                'what this conversation holds: say "My name is Alice.", then ask for it.',
                style="yellow",
            )
        self._say(f'Session "{session}" of user "{user}": {_counted(earlier)}.', style="bold")
        self._say(
            "Ctrl-C stops a reply, /clear forgets the session, /quit or Ctrl-D leaves.", style="dim"
        )

    def run(self) -> None:
        """Take lines until the user leaves."""
        while (line := self._read()) not in {None, "/quit"}:
            if line == "/clear":
                self.history.clear()
                self._say("The session is empty now.", style="dim")
            elif line.startswith("/"):
                self._say(
                    f"There is no {line.split()[0]}; there are /clear and /quit.", style="dim"
                )
            elif line:
                self._answer(line)

    def _read(self) -> str | None:
        try:
            line = input("you> ").strip()
        except EOFError:
            self.console.print()
            return None
        except KeyboardInterrupt:
            self._say("\n/quit or Ctrl-D leaves.", style="dim")
            return ""
        if not sys.stdin.isatty():
            self.console.out(line, highlight=False)  # a terminal shows what is typed, a pipe not
        return line

    def _answer(self, line: str) -> None:
        self.console.print(f"{self.model}> ", style="bold cyan", end="", markup=False)
        try:
            self._stream(line)
        except KeyboardInterrupt:
            self._say("\n(stopped; what was said so far is kept)", style="dim")
        except RedisMemoryError as error:
            self.failed = True
            self._say(f"\nError: {error}", style="red")
        except Exception as error:  # noqa: BLE001 - every provider of models has its own errors
            self.failed = True
            self._say(f"\nThe model failed: {type(error).__name__}: {error}", style="red")

    def _stream(self, line: str) -> None:
        pieces = self.chain.stream([HumanMessage(line)], self.config)
        # Closing tells the library that nobody reads on, so that it stores what was sent.
        with closing(cast("Generator[BaseMessage]", pieces)):
            for piece in pieces:
                self.console.out(seen(piece.text), highlight=False, end="")
        self.console.print()

    def _say(self, text: str, style: str) -> None:
        self.console.print(seen(text), style=style, markup=False, emoji=False)


def _offline_model() -> "OfflineChatModel":
    from langchain_redis_memory.offline_model import OfflineChatModel  # noqa: PLC0415 - takes a second to load

    return OfflineChatModel(delay=_TYPING_DELAY if sys.stdout.isatty() else 0)


def _load_model(name: str) -> "BaseChatModel":
    try:
        load = import_module("langchain.chat_models").init_chat_model
    except ModuleNotFoundError as error:
        raise ConfigurationError("--model needs LangChain: pip install langchain") from error
    try:
        return cast("BaseChatModel", load(name))
    except Exception as error:
        raise ConfigurationError(f"the model {name!r} cannot be used: {error}") from error


def _counted(messages: int) -> str:
    return "no earlier messages" if not messages else f"{messages} earlier messages"
