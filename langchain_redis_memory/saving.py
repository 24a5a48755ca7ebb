"""Stores a turn when it has ended, well or not, and tells whoever must know when that fails."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from langchain_redis_memory.telemetry.switch import turn_span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.errors import TurnNotSavedError
    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.summaries.policy import SummaryPolicy
    from langchain_redis_memory.turn import Policy

# How long a caller who has left waits for a server that is away, in seconds.
_PATIENCE = 1.0

_logger = logging.getLogger("langchain_redis_memory")


class Appendable(Protocol):
    """Where a turn is stored: a `Conversation`, as far as that matters here."""

    @property
    def connection(self) -> Connection:
        """Where it is."""
        ...

    @property
    def key(self) -> str:
        """Its key."""
        ...

    def append(self, messages: Sequence[BaseMessage], token: str) -> bool:
        """Store messages, exactly once."""
        ...

    async def aappend(self, messages: Sequence[BaseMessage], token: str) -> bool:
        """See `append`."""
        ...


class EndedTurn(Protocol):
    """A turn that is to be stored: a `Turn`, or an agent's."""

    @property
    def conversation(self) -> Appendable:
        """Where it is stored."""
        ...

    @property
    def token(self) -> str:
        """What the append is known by."""
        ...

    def record(self, output: Any) -> list[BaseMessage]:
        """Give the messages to store."""
        ...

    def due(
        self, messages: Sequence[BaseMessage]
    ) -> tuple[Conversation, SummaryPolicy, int] | None:
        """Tell what `summaries.folding.fold` is to do when these messages are stored."""
        ...

    def not_saved(
        self, error: BaseException, output: Any, messages: Sequence[BaseMessage]
    ) -> TurnNotSavedError:
        """Make the error that hands the turn back."""
        ...


class Saver:
    """Stores turns as a policy says."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._saving: set[asyncio.Task[None]] = set()

    def save(self, turn: EndedTurn, output: Any) -> None:
        """Store a turn that was answered.

        Raises:
            TurnNotSavedError: It could not be stored, and the policy is to raise.
        """
        messages: list[BaseMessage] = []
        try:
            with turn_span("write"):
                messages = turn.record(output)
                turn.conversation.append(messages, turn.token)
        except Exception as error:  # noqa: BLE001 - whatever it is, the reply must reach the caller
            self._tell(turn, turn.not_saved(error, output, messages), error)
            return
        if due := turn.due(messages):
            from langchain_redis_memory.summaries.folding import fold  # noqa: PLC0415 - only who summarises loads it

            fold(*due)

    async def asave(self, turn: EndedTurn, output: Any) -> None:
        """See `save`."""
        messages: list[BaseMessage] = []
        try:
            with turn_span("write"):
                messages = turn.record(output)
                await turn.conversation.aappend(messages, turn.token)
        except asyncio.CancelledError:
            # The reply is complete, perhaps sent: it is stored, and by its token only once.
            await self.asave_aside(turn, lambda: messages)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the reply must reach the caller
            self._tell(turn, turn.not_saved(error, output, messages), error)
            return
        if due := turn.due(messages):
            from langchain_redis_memory.summaries.folding import afold  # noqa: PLC0415 - the same

            await afold(*due)

    def save_aside(self, turn: EndedTurn, messages: Callable[[], list[BaseMessage]]) -> None:
        """Store what is left of a turn while another exception is on its way to the caller.

        That one must not be replaced by ours: a failure goes to the log.
        """
        try:
            with turn_span("write"):
                turn.conversation.append(messages(), turn.token)
        except Exception as error:  # noqa: BLE001 - see above
            _log(turn, turn.not_saved(error, None, ()))

    async def asave_aside(self, turn: EndedTurn, messages: Callable[[], list[BaseMessage]]) -> None:
        """See `save_aside`; cancelling the caller, even again and again, does not stop it."""

        async def save() -> None:
            try:
                with turn_span("write"):
                    await turn.conversation.aappend(messages(), turn.token)
            except (Exception, asyncio.CancelledError) as error:
                _log(turn, turn.not_saved(error, None, ()))
                if isinstance(error, asyncio.CancelledError):
                    raise

        task = asyncio.ensure_future(save())
        ends = turn.conversation.connection.hold_open()
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)
        task.add_done_callback(lambda _: ends())
        await asyncio.wait([task], timeout=_PATIENCE)

    def _tell(self, turn: EndedTurn, error: TurnNotSavedError, cause: Exception) -> None:
        if self._policy.on_save_error == "raise":
            raise error from cause
        _log(turn, error)


def _log(turn: EndedTurn, error: TurnNotSavedError) -> None:
    # Without the traceback, whose causes may quote texts.
    _logger.error("a turn of %s was not saved: %s", turn.conversation.key, error.reason)
