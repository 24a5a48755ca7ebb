"""One turn with a runnable, as data: what it is given, and what is to be stored. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, ToolMessage
from typing_extensions import override

from langchain_redis_memory.conversation import new_token
from langchain_redis_memory.errors import ConfigurationError, RedisMemoryError, TurnNotSavedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_core.callbacks import BaseCallbackManager
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

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
    policy: Policy
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
        if self.policy.on_interrupted == "discard":
            return []
        return self.new + cut_short(self.shapes.outgoing_part(pieces, [*self.history, *self.new]))

    def record_failed(self) -> list[BaseMessage]:
        """Give the messages to store when the runnable failed."""
        return self.new if self.policy.keep_failed_input else []

    def not_saved(
        self, error: Exception, output: Any, messages: Sequence[BaseMessage]
    ) -> TurnNotSavedError:
        """Make the error that hands the turn back."""
        # Only our own errors are known to hold no text of a message.
        reason = str(error) if isinstance(error, RedisMemoryError) else type(error).__name__
        if messages:
            return TurnNotSavedError(reason, output, messages, self.token)
        return TurnNotSavedError(reason, output, self.new)


class RunEnd(BaseCallbackHandler):
    """Sees what the wrapped runnable's own run ends with, if that is a dict.

    LangGraph streams updates, tokens or events; the state is what `invoke` would give.
    """

    run_inline = True
    ignore_llm = True
    ignore_chat_model = True
    state: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, config: RunnableConfig) -> Self:
        """Watch the run that is about to begin with this config."""
        end = cls()
        # Of that run alone: the runs within it have no need to tell us anything.
        cast("BaseCallbackManager", config["callbacks"]).add_handler(end, inherit=False)
        return end

    @override
    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.state = outputs if isinstance(outputs, Mapping) else None


def cut_short(messages: Iterable[BaseMessage]) -> list[BaseMessage]:
    """Make what was sent of a reply fit to be stored: marked, and without unanswered calls.

    The last of the agent's messages has ``response_metadata["interrupted"]``. A tool call without
    its result would make chat models refuse the conversation from then on, and so would a message
    without content or one that ends in half a block.
    """
    kept = list(messages)
    answered = {message.tool_call_id for message in kept if isinstance(message, ToolMessage)}
    for position, message in enumerate(kept):
        if isinstance(message, AIMessage) and not _is_answered(message, answered):
            kept[position:] = [_only_text(message)]
            break
    if kept and isinstance(kept[-1], AIMessage):
        last = _without_half_block(kept.pop())
        kept += [last] if last.content else []
    for position in reversed(range(len(kept))):
        if isinstance(kept[position], AIMessage):
            metadata = {**kept[position].response_metadata, "interrupted": True}
            kept[position] = kept[position].model_copy(update={"response_metadata": metadata})
            break
    return kept


def _is_answered(message: AIMessage, answered: set[str]) -> bool:
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    return all(call["id"] in answered for call in calls)


# Blocks arrive in order, so only the last ones can lack their end: the name of a call, the
# signature of a thought.
_CAN_BE_HALF = re.compile("tool|call|thinking|reasoning|json")


def _without_half_block(message: BaseMessage) -> BaseMessage:
    content = message.content
    if isinstance(content, str):
        return message
    end = len(content)
    while (
        end
        and isinstance(block := content[end - 1], dict)
        and _CAN_BE_HALF.search(str(block.get("type")))
    ):
        end -= 1
    return message.model_copy(update={"content": content[:end]})


def _only_text(message: AIMessage) -> AIMessage:
    content = message.content
    if not isinstance(content, str):
        content = [
            block for block in content if isinstance(block, str) or block.get("type") == "text"
        ]
    return AIMessage(
        content,
        id=message.id,
        name=message.name,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
    )
