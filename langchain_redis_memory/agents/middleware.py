"""The middleware that gives agents of `langchain.agents.create_agent` a memory.

A turn is one read before the agent runs and one append after it. What is known of the turn in
between stands in the agent's state, where a checkpointer keeps it: runs share one middleware, and
one that was interrupted may be resumed by another process.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from langchain.agents.middleware.types import AgentMiddleware
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from typing_extensions import override

from langchain_redis_memory.agents.beginning import Beginning, Begun
from langchain_redis_memory.agents.ids import ids_of
from langchain_redis_memory.agents.saved import AgentTurn, PartlyStored
from langchain_redis_memory.agents.state import (
    MemoryState,
    State,
    beginning_with,
    ending_with,
    fails,
    has_failed,
    instructed,
    noted,
    output_of,
    record_in,
    turn_in,
)
from langchain_redis_memory.agents.thread import Record, asked, closed, complete, ended, said
from langchain_redis_memory.agents.tools import profile_tools as tools_for
from langchain_redis_memory.chats import Chats
from langchain_redis_memory.conversation import Conversation
from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.part import DEFAULT_USER, check_flag
from langchain_redis_memory.recall import known
from langchain_redis_memory.saving import Saver
from langchain_redis_memory.storage.steps import afollow, follow
from langchain_redis_memory.summaries.policy import check_policy
from langchain_redis_memory.telemetry.switch import turn_span
from langchain_redis_memory.turn import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from langchain.agents.middleware.types import (
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
        ToolCallRequest,
    )
    from langchain_core.messages import BaseMessage, ToolMessage
    from langgraph.runtime import Runtime
    from langgraph.types import Command

    from langchain_redis_memory.memory import RedisMemory
    from langchain_redis_memory.summaries.policy import SummaryPolicy


class RedisMemoryMiddleware(AgentMiddleware[Any, Any, Any]):
    """Remembers each session of an agent, for `langchain.agents.create_agent`.

    The agent is called with ``config={"configurable": {"session_id": ..., "user_id": ...}}``, or
    with a context that has these; ``thread_id`` is the session if none is named, and the user is
    "default". A turn is one read, whose messages come first in the agent's state, and one append
    of all that was said in it.

    Args:
        memory: Where conversations are.
        agent: Which agent the sessions belong to.
        profile: Whether the agent's instructions end with what is known of the user.
        profile_tools: Whether the agent has tools to note and forget what its user prefers.
        keep_failed_steps: Whether a turn that fails is stored up to its last complete step.
        on_save_error: Whether a turn that could not be stored raises `TurnNotSavedError` or
            is logged.
        summary: How older turns are folded into a summary that comes ahead of the window; None
            for no summary.
        limits: See `RedisMemory.history`.

    Raises:
        ConfigurationError: An argument cannot be used.
    """

    state_schema = MemoryState

    def __init__(
        self,
        memory: RedisMemory,
        *,
        agent: str,
        profile: bool = True,
        profile_tools: bool = False,
        keep_failed_steps: bool = False,
        on_save_error: Literal["raise", "log"] = "raise",
        summary: SummaryPolicy | None = None,
        **limits: Any,
    ) -> None:
        if not isinstance(memory, Chats):
            raise ConfigurationError(f"memory must be a RedisMemory, not a {type(memory).__name__}")
        # Refuses what cannot be used.
        conversation = memory.conversation(agent, DEFAULT_USER, "any", **limits)
        if summary is not None:
            check_policy(summary, conversation.limits)
        check_flag("profile", profile)
        check_flag("profile_tools", profile_tools)
        check_flag("keep_failed_steps", keep_failed_steps)
        self._memory = memory
        self._agent = agent
        self._limits = limits
        self._profile = profile
        self._keep_failed = keep_failed_steps
        self._summary = summary
        self._saver = Saver(Policy(on_save_error))
        self.tools = tools_for(memory, agent) if profile_tools else []

    # The beginning: a node of the graph

    @override
    def before_agent(  # type: ignore[override] # any node may give a Command
        self, state: State, runtime: Runtime[Any]
    ) -> Command[Any]:
        return beginning_with(self._begin(state, runtime))

    @override
    async def abefore_agent(  # type: ignore[override] # the same
        self, state: State, runtime: Runtime[Any]
    ) -> Command[Any]:
        return beginning_with(await self._abegin(state, runtime))

    def _begin(self, state: State, runtime: Runtime[Any]) -> Begun:
        beginning = self._beginning(state, runtime)
        with turn_span("read"):
            return beginning.begin(follow(beginning.conversation.connection, beginning.reading()))

    async def _abegin(self, state: State, runtime: Runtime[Any]) -> Begun:
        beginning = self._beginning(state, runtime)
        steps = beginning.reading()
        with turn_span("read"):
            return beginning.begin(await afollow(beginning.conversation.connection, steps))

    def _beginning(self, state: State, runtime: Runtime[Any]) -> Beginning:
        configurable = get_config().get("configurable", {})
        user, session = ids_of(configurable, runtime.context)
        conversation = self._conversation(user, session)
        _refuse_a_second_memory(configurable.get("message_history"), conversation)
        record = record_in(state)
        if record and (record["user"], record["session"]) != (user, session):
            raise ConfigurationError(
                f"the thread is session {record['session']!r} of user {record['user']!r}, not "
                f"session {session!r} of user {user!r}; a session has a thread_id of its own"
            )
        profiles = (self._memory.profile(user), self._memory.profile(user, agent=self._agent))
        return Beginning(
            user,
            session,
            conversation,
            tuple(map(known, profiles)) if self._profile else (),
            state["messages"],
            asked(state["messages"], record, keep_failed=self._keep_failed),
            self._summary,
        )

    def _conversation(self, user: str, session: str) -> Conversation:
        return self._memory.conversation(self._agent, user, session, **self._limits)

    # Its steps, any of which may fail

    @override
    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ExtendedModelResponse[Any]:
        with self._keeping(request.state):
            return noted(request, handler(instructed(request)))

    @override
    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ExtendedModelResponse[Any]:
        async with self._akeeping(request.state):
            return noted(request, await handler(instructed(request)))

    @override
    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        with self._keeping(request.state):
            return handler(request)

    @override
    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        async with self._akeeping(request.state):
            return await handler(request)

    @contextmanager
    def _keeping(self, state: State) -> Iterator[None]:
        """Store the steps before one that fails, if they are to be stored."""
        try:
            yield
        except BaseException as error:
            if turn := self._failed(state, error):
                self._saver.save_aside(turn, lambda: turn.messages)
            raise

    @asynccontextmanager
    async def _akeeping(self, state: State) -> AsyncIterator[None]:
        """See `_keeping`."""
        try:
            yield
        except BaseException as error:
            if turn := self._failed(state, error):
                await self._saver.asave_aside(turn, lambda: turn.messages)
            raise

    def _failed(self, state: State, error: BaseException) -> AgentTurn | None:
        record = turn_in(state)
        # An interrupt is no failure: the run is resumed.
        if record is None or not self._keep_failed or isinstance(error, GraphBubbleUp):
            return None
        turn = self._turn(record, complete(said(record, state["messages"])), state)
        fails(state)
        return turn

    def _turn(self, record: Record, messages: list[BaseMessage], state: State) -> AgentTurn:
        conversation = self._conversation(record["user"], record["session"])
        in_part = self._keep_failed and has_failed(state)
        where = PartlyStored(conversation) if in_part else conversation
        folding = (conversation, self._summary, record["outside"]) if self._summary else None
        return AgentTurn(where, record["token"], messages, folding)

    # The end: a node again

    @override
    def after_agent(self, state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        # Another middleware can end a run before this one began it.
        record = turn_in(state) or self._begin(state, runtime)[0]
        self._saver.save(self._ended(record, state), output_of(state))
        return ending_with(closed(record, state["messages"]))

    @override
    async def aafter_agent(self, state: State, runtime: Runtime[Any]) -> dict[str, Any]:
        record = turn_in(state) or (await self._abegin(state, runtime))[0]
        await self._saver.asave(self._ended(record, state), output_of(state))
        return ending_with(closed(record, state["messages"]))

    def _ended(self, record: Record, state: State) -> AgentTurn:
        return self._turn(record, ended(record, state["messages"]), state)


def _refuse_a_second_memory(history: object, mine: Conversation) -> None:
    # What is around the agent would store each turn too, and the messages that it had read. Its
    # class is not asked for: it builds on one that LangChain 2.0 will not have.
    other = getattr(history, "conversation", None)
    if not isinstance(other, Conversation) or other.key != mine.key:
        return
    if other.connection.server.address == mine.connection.server.address:
        raise ConfigurationError(
            "with_history remembers this conversation around the agent, so each turn would be "
            "stored twice; give it an agent without RedisMemoryMiddleware, or call the agent itself"
        )
