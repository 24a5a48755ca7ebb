"""How an agent's turn begins: what is asked of Redis, and what comes of the answer. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from langchain_redis_memory.agents.thread import Asked, Record
from langchain_redis_memory.conversation import new_token
from langchain_redis_memory.recall import Recalled, recalling
from langchain_redis_memory.rendering import render
from langchain_redis_memory.storage.codec import encode_messages

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.storage.steps import Steps
    from langchain_redis_memory.summaries.policy import SummaryPolicy


class Begun(NamedTuple):
    """A turn that has begun."""

    record: Record
    """What is known of it."""
    thread: list[BaseMessage] | None
    """What the messages in the agent's state are to be; None if they stay."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A turn that is about to begin.

    Args:
        user: Whose it is.
        session: In which of the user's conversations.
        conversation: That conversation.
        profiles: The keys of what is known of the user.
        thread: The messages in the agent's state.
        asked: The same, parted.
    """

    user: str
    session: str
    conversation: Conversation
    profiles: tuple[str, ...]
    thread: list[BaseMessage]
    asked: Asked

    summaries: SummaryPolicy | None = None

    def reading(self) -> Steps[Recalled]:
        """Ask for what the agent is to know, in one round trip."""
        return recalling(
            self.conversation,
            self.profiles,
            with_ids=self.asked.may_be_stored,
            summaries=self.summaries,
        )

    def begin(self, recalled: Recalled) -> Begun:
        """Put what is stored in front of what is new.

        Raises:
            UnstorableError: A new message could not be stored, whatever the reply is.
        """
        before, sent, new = self.asked.join(recalled.reading, self.conversation.key)
        token = new_token()
        encode_messages(new, token)
        record = Record(
            user=self.user,
            session=self.session,
            token=token,
            after=before[-1].id if before else None,
            said=new,
            profile=render([], recalled.profile),
            outside=recalled.reading.outside,
        )
        shown = [*before, *sent]
        return Begun(record, None if shown == self.thread else shown)
