"""One turn with a runnable, as data: what it is given, and what is to be stored. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from langchain_redis_memory.conversation import new_token
from langchain_redis_memory.errors import ConfigurationError, RedisMemoryError, TurnNotSavedError
from langchain_redis_memory.shapes import cut_short, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from langchain_redis_memory.conversation import Conversation, Reading
    from langchain_redis_memory.shapes import Shapes


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of a turn that did not end well; see `RedisMemory.with_history`."""

    on_save_error: Literal["raise", "log"] = "raise"
    on_interrupted: Literal["keep", "discard"] = "keep"
    keep_failed_input: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("on_save_error", ("raise", "log")),
            ("on_interrupted", ("keep", "discard")),
        ):
            value = getattr(self, name)
            if value not in known:
                choice = " or ".join(map(repr, known))
                raise ConfigurationError(f"{name} must be {choice}, not {value!r:.80}")


@dataclass(slots=True)
class Turn:
    """One turn: what was asked, what the runnable was given, and where it will be stored."""

    conversation: Conversation
    shapes: Shapes
    value: Any
    new: list[BaseMessage]
    history: list[BaseMessage] = field(default_factory=list)
    given: Any = None
    token: str = field(default_factory=new_token)

    @property
    def has_ids(self) -> bool:
        """Whether the caller's messages could be stored already, sent once more."""
        return any(message.id for message in self.new)

    def begin(self, reading: Reading) -> None:
        """Put the input together, without messages that are stored already."""
        asked, seen = self.new, set(reading.ids)
        self.new = []
        for message in asked:
            if not message.id or message.id not in seen:
                self.new.append(message)
                seen.add(message.id or "")
        self.history = reading.messages
        resent = len(self.new) < len(asked)
        self.given = self.shapes.given(self.value, self.history, self.new, resent=resent)

    def record(self, output: Any) -> list[BaseMessage]:
        """Give the messages to store."""
        return self.new + self.shapes.outgoing(output, [*self.history, *self.new])

    def record_part(self, pieces: Sequence[Any]) -> list[BaseMessage]:
        """Give the messages to store when the reader left after these pieces."""
        reply = self.record(joined(pieces))[len(self.new) :] if pieces else []
        return self.new + cut_short(reply)

    def not_saved(
        self, error: Exception, output: Any, messages: Sequence[BaseMessage]
    ) -> TurnNotSavedError:
        """Make the error that hands the turn back."""
        # Only our own errors are known to hold no text of a message.
        reason = str(error) if isinstance(error, RedisMemoryError) else type(error).__name__
        if messages:
            return TurnNotSavedError(reason, output, messages, self.token)
        return TurnNotSavedError(reason, output, self.new)
