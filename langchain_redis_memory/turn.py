"""One turn with a runnable, as data: what it is given, and what is to be stored. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from langchain_core.callbacks import BaseCallbackHandler
from typing_extensions import override

from langchain_redis_memory.conversation import new_token
from langchain_redis_memory.errors import ConfigurationError, RedisMemoryError, TurnNotSavedError
from langchain_redis_memory.interrupted import cut_short, graph_state, sent_part
from langchain_redis_memory.part import check_flag
from langchain_redis_memory.recall import recalling
from langchain_redis_memory.rendering import render
from langchain_redis_memory.shapes import joined
from langchain_redis_memory.storage.codec import encode_messages
from langchain_redis_memory.summaries.message import is_summary

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from langchain_core.callbacks import BaseCallbackManager
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

    from langchain_redis_memory.conversation import Conversation
    from langchain_redis_memory.reading import Reading
    from langchain_redis_memory.recall import KnownProfile, Recalled
    from langchain_redis_memory.shapes import Shapes
    from langchain_redis_memory.storage.steps import Steps
    from langchain_redis_memory.summaries.policy import SummaryPolicy


@dataclass(frozen=True, slots=True)
class Policy:
    """What becomes of a turn that did not end well; see `RedisMemory.with_history`."""

    on_save_error: Literal["raise", "log"] = "raise"
    on_interrupted: Literal["keep", "discard"] = "keep"
    keep_failed_input: bool = False
    auto_save: bool = True
    summaries: SummaryPolicy | None = None

    def __post_init__(self) -> None:
        for name, known in (
            ("on_save_error", ("raise", "log")),
            ("on_interrupted", ("keep", "discard")),
        ):
            value = getattr(self, name)
            if value not in known:
                choice = " or ".join(map(repr, known))
                raise ConfigurationError(f"{name} must be {choice}, not {value!r:.80}")
        check_flag("auto_save", self.auto_save)


@dataclass(slots=True)
class Turn:
    """One turn: what was asked, what the runnable was given, and where it will be stored."""

    conversation: Conversation
    shapes: Shapes
    policy: Policy
    value: Any
    new: list[BaseMessage]
    profiles: Sequence[KnownProfile] = ()
    history: list[BaseMessage] = field(default_factory=list)
    outside: int = 0
    given: Any = None
    token: str = field(default_factory=new_token)

    @property
    def ids(self) -> list[str]:
        """The ids of the caller's messages, which could be stored already and sent once more."""
        return message_ids(self.new)

    def reading(self) -> Steps[Recalled]:
        """Ask for what the runnable is to know; see `recalling`."""
        return recalling(
            self.conversation, self.profiles, ids=self.ids, summaries=self.policy.summaries
        )

    def begin(self, reading: Reading, profile: Mapping[str, Any] | None = None) -> None:
        """Put the input together, without messages that are stored already.

        Raises:
            UnstorableError: A new message could not be stored, whatever the reply is.
        """
        # An agent's state that is sent again may hold the summary that a turn was given.
        asked = [message for message in self.new if not is_summary(message)]
        self.new = fresh(asked, reading.ids)
        if self.policy.auto_save:
            encode_messages(self.new, self.token)
        self.history = reading.messages
        self.outside = reading.outside
        known = render([], profile) if profile else ""
        self.given = self.shapes.given(self.value, self.history, self.new, known)

    def streamed(self, state: Mapping[str, Any] | None, pieces: Sequence[Any]) -> Any:
        """Give the output of a stream: what `invoke` would give, as far as that can be told.

        Args:
            state: What the run ended with, if that is a dict. Where a graph stands behind another
                step, LangChain has added up its pieces, of which only the last are left.
            pieces: What was sent.
        """
        output = state or joined(pieces)
        if isinstance(output, Mapping) and (self.shapes.output_key or "messages") not in output:
            return graph_state(pieces, self.shapes.output_key) or output
        return output

    def record(self, output: Any) -> list[BaseMessage]:
        """Give the messages to store."""
        if not self.policy.auto_save:
            return []
        return self.new + self.shapes.outgoing(output, [*self.history, *self.new])

    def due(
        self, messages: Sequence[BaseMessage]
    ) -> tuple[Conversation, SummaryPolicy, int] | None:
        """Tell what `summaries.folding.fold` is to do when these messages are stored."""
        if self.policy.summaries is None or not messages:
            return None
        return self.conversation, self.policy.summaries, self.outside + len(messages)

    def record_part(self, pieces: Sequence[Any]) -> list[BaseMessage]:
        """Give the messages to store when the reader left after these pieces."""
        if self.policy.on_interrupted == "discard" or not self.policy.auto_save:
            return []
        part = sent_part(pieces, self.shapes, [*self.history, *self.new])
        return self.new + cut_short(part)

    def record_failed(self) -> list[BaseMessage]:
        """Give the messages to store when the runnable failed."""
        return self.new if self.policy.keep_failed_input and self.policy.auto_save else []

    def not_saved(
        self, error: BaseException, output: Any, messages: Sequence[BaseMessage]
    ) -> TurnNotSavedError:
        """Make the error that hands the turn back."""
        reason = reason_of(error)
        if messages:
            return TurnNotSavedError(reason, output, messages, self.token)
        return TurnNotSavedError(reason, output, self.new)


def fresh(asked: Sequence[BaseMessage], stored: Collection[str]) -> list[BaseMessage]:
    """Give the messages that are not stored yet, each id once.

    Args:
        asked: What a client sent, perhaps once more.
        stored: The ids of what is stored.
    """
    # A client that sends everything again sends it in order: what stands before a message
    # that is stored was stored too, even if `max_messages` has let it go since.
    known = [i for i, message in enumerate(asked) if message.id in stored]
    new = asked[known[-1] + 1 :] if known else asked
    return list({message.id or n: message for n, message in enumerate(new)}.values())


def message_ids(messages: Iterable[BaseMessage]) -> list[str]:
    """Give the ids of those messages that have one."""
    return [message.id for message in messages if message.id and isinstance(message.id, str)]


def reason_of(error: BaseException) -> str:
    """Say why a turn was not saved: only our own errors are known to hold no text of it."""
    return str(error) if isinstance(error, RedisMemoryError) else type(error).__name__


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
