"""The wire and the server fail while agents of `create_agent` take turns, by way of the middleware.

Each turn calls a tool, so that four messages are stored whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from faults.cancelling import cancelled
from faults.crashes import killed
from faults.load import AGENT, Record, note_strays
from faults.proxy import Break
from faults.scenario import Scenario, during_load
from faults.wire import HELD, broken_wire, refused
from langchain_redis_memory import RedisMemoryMiddleware

if TYPE_CHECKING:
    from langchain_redis_memory import RedisMemory


@tool
def look(text: str) -> str:
    """Look something up."""
    return text


class _Model(BaseChatModel):
    """Looks up what it was told, and says it; notes what it should not have seen."""

    record: Any

    @property
    def _llm_type(self) -> str:
        return "faults"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = str(messages[-1].content)
        note_strays(self.record, messages)
        if isinstance(messages[-1], HumanMessage):
            call = {"name": "look", "args": {"text": text}, "id": text}
            reply = AIMessage(text, tool_calls=[call])
        else:
            reply = AIMessage(f"re: {text}")
        return ChatResult(generations=[ChatGeneration(message=reply)])

    async def _agenerate(self, *args: Any, **options: Any) -> ChatResult:
        return self._generate(*args, **options)

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self


class _Speaking:
    """An agent, called as a chain with a history is."""

    def __init__(self, memory: RedisMemory, record: Record) -> None:
        middleware = RedisMemoryMiddleware(memory, agent=AGENT, window=4)
        self._agent = create_agent(_Model(record=record), [look], middleware=[middleware])

    def invoke(self, text: str, config: Any) -> Any:
        """Take a turn."""
        return self._agent.invoke({"messages": [HumanMessage(text)]}, config)

    async def ainvoke(self, text: str, config: Any) -> Any:
        """See `invoke`."""
        return await self._agent.ainvoke({"messages": [HumanMessage(text)]}, config)


def _agents(name: str, inject: Any, *brief: str, proxied: bool = True) -> Scenario:
    run = during_load(inject, proxied=proxied, load={"speaking": _Speaking})
    return Scenario(f"agents: {name}", run, ("standalone", "Cluster"), brief=brief)


SCENARIOS = [
    _agents(Break.BEFORE.value, broken_wire(Break.BEFORE, 0.2), "standalone"),
    _agents(Break.COMMAND.value, broken_wire(Break.COMMAND, 0.2), "standalone"),
    _agents(Break.AFTER.value, broken_wire(Break.AFTER, 0.2), "standalone", "Cluster"),
    _agents(Break.REPLY.value, broken_wire(Break.REPLY, 0.2), "standalone"),
    _agents(Break.STALL.value, broken_wire(Break.STALL, 0.3, HELD), "standalone"),
    _agents("connections refused for 3 s, deadline of 2 s", refused, "standalone"),
    Scenario(
        "agents: server killed (SIGKILL), restarted from its append-only file",
        during_load(killed, load={"speaking": _Speaking}),
        ("standalone",),
    ),
    Scenario(
        "agents: cancelled at random moments, 24 callers",
        cancelled(_Speaking),
        ("standalone", "Cluster"),
        flavours=("async",),
        brief=("standalone",),
    ),
]
