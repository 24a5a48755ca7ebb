"""The agent: a prompt and a model, around which the memory reads and writes each turn."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from logging import getLogger
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langchain_redis_memory import RedisMemory, RedisMemoryError, TurnNotSavedError

from .schemas import Reply, RunRequest, readable

# What was said only ever stands in messages of its author. Instructions come with each request;
# below them stands the user's profile, a line an entry, which no stored text can break out of.
_PROMPT = ChatPromptTemplate(
    [("system", "{system}"), ("placeholder", "{history}"), ("human", "{prompt}")]
)

_logger = getLogger(__name__)


class ModelFailedError(Exception):
    """The model gave no answer; its own error is the cause."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a reply."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a reply, and whether the turn was remembered; see `Reply`."""

    memory: bool


class Chat:
    """Answers, and remembers.

    Args:
        memory: Where conversations are kept.
        model: What answers.
    """

    def __init__(self, memory: RedisMemory, model: BaseChatModel) -> None:
        self._memory = memory
        self._model = model

    async def answer(self, request: RunRequest) -> Reply:
        """Answer a turn, and store it.

        Raises:
            RedisMemoryError: The memory cannot be used.
            ModelFailedError: The model gave no answer.
        """
        turn = _Turn(self._memory)
        try:
            message = await self._agent(turn, request).ainvoke(*_input(request))
        except TurnNotSavedError as error:
            _log_not_saved(error)
            return Reply(reply=_text(error.reply), memory=False)
        except RedisMemoryError:
            raise
        except Exception as error:
            raise ModelFailedError from error
        return Reply(reply=_text(message), memory=turn.is_remembered)

    async def stream(self, request: RunRequest) -> AsyncGenerator[Token | Done]:
        """Answer a turn piece by piece, and store it; the last piece is a `Done`.

        Closing it before its end stores the part that was given.

        Raises:
            RedisMemoryError: See `answer`.
            ModelFailedError: See `answer`.
        """
        turn = _Turn(self._memory)
        pieces = self._agent(turn, request).astream(*_input(request))
        try:
            async with aclosing(cast("AsyncGenerator[BaseMessage]", pieces)):
                async for piece in pieces:
                    if text := _text(piece):
                        yield Token(text)
        except TurnNotSavedError as error:
            _log_not_saved(error)
            yield Done(memory=False)
        except RedisMemoryError:
            raise
        except Exception as error:
            raise ModelFailedError from error
        else:
            yield Done(memory=turn.is_remembered)

    def _agent(self, turn: "_Turn", request: RunRequest) -> Runnable[Any, BaseMessage]:
        # Wrapping takes some microseconds, so each turn has an agent of its own.
        agent = self._memory.with_history(
            RunnableLambda(turn.begin) | self._model,
            agent=request.agent_name,
            input_messages_key="prompt",
            history_messages_key="history",
            profile_key="profile",
        )
        return cast("Runnable[Any, BaseMessage]", agent)


class _Turn:
    """Notes whether a turn had its memory.

    Redis may go away or come back while the model answers. So it looks at how things stand right
    after the conversation was read, and at the end whether any write was dropped since. That may
    be another turn's, where Redis went away meanwhile; but none is called remembered that was not.
    """

    def __init__(self, memory: RedisMemory) -> None:
        self._memory = memory
        self._was_read = False
        self._dropped = 0

    async def begin(self, given: dict[str, Any]) -> PromptValue:
        """Make the prompt; the conversation and the profile have just been read."""
        self._was_read = self._memory.available
        self._dropped = self._memory.dropped_writes
        system = "\n\n".join(filter(None, (given["instructions"], given["profile"])))
        return await _PROMPT.ainvoke({**given, "system": system})

    @property
    def is_remembered(self) -> bool:
        """Whether it was read, and, at its end, was written."""
        return self._was_read and self._memory.dropped_writes == self._dropped


def _input(request: RunRequest) -> tuple[dict[str, str], RunnableConfig]:
    ids = {"user_id": request.user_id, "session_id": request.thread_id}
    given = {"prompt": request.prompt, "instructions": request.instructions}
    return given, {"configurable": ids}


def _text(message: BaseMessage) -> str:
    return readable(message.text)


def _log_not_saved(error: TurnNotSavedError) -> None:
    _logger.error("a turn was answered and not saved: %s", error.reason)
