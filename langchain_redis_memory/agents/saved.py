"""An agent's turn that is to be stored, of which a part may be stored already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.conversation import new_token
from langchain_redis_memory.errors import TurnNotSavedError
from langchain_redis_memory.turn import fresh, reason_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.saving import Appendable
    from langchain_redis_memory.storage.connection import Connection
    from langchain_redis_memory.summaries.policy import SummaryPolicy


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """A turn as `saving.Saver` takes it."""

    conversation: Appendable
    token: str
    messages: list[BaseMessage]
    folds: tuple[Conversation, SummaryPolicy, int] | None = None

    def due(
        self, messages: Sequence[BaseMessage]
    ) -> tuple[Conversation, SummaryPolicy, int] | None:
        """Tell what is to be folded when these messages are stored."""
        if self.folds is None or not messages:
            return None
        conversation, policy, outside = self.folds
        return conversation, policy, outside + len(messages)

    def record(self, output: Any) -> list[BaseMessage]:
        """Give the messages to store."""
        del output  # they were told from it already
        return self.messages

    def not_saved(
        self, error: BaseException, output: Any, messages: Sequence[BaseMessage]
    ) -> TurnNotSavedError:
        """Make the error that hands the turn back."""
        return TurnNotSavedError(reason_of(error), output, messages, self.token)


@dataclass(frozen=True, slots=True)
class PartlyStored:
    """A conversation that may hold the steps of a turn before one that failed.

    The turn went on: a middleware tried that step again, or a checkpointed run was resumed. What
    was stored is found by the token, and only then read, to store the rest.
    """

    conversation: Conversation

    @property
    def connection(self) -> Connection:
        """Where it is."""
        return self.conversation.connection

    @property
    def key(self) -> str:
        """Its key."""
        return self.conversation.key

    def append(self, messages: Sequence[BaseMessage], token: str) -> bool:
        """Store those of a turn's messages that are not there yet."""
        if self.conversation.append(messages, token, repeat=True):
            return True
        rest = fresh(messages, self.conversation.read(with_ids=True).ids)
        return self.conversation.append(rest, new_token())

    async def aappend(self, messages: Sequence[BaseMessage], token: str) -> bool:
        """See `append`."""
        if await self.conversation.aappend(messages, token, repeat=True):
            return True
        rest = fresh(messages, (await self.conversation.aread(with_ids=True)).ids)
        return await self.conversation.aappend(rest, new_token())
