"""Tools by which an agent notes and forgets what its own user prefers, and nobody else.

Whose profile it is comes from the run. The model names a preference and its value, and whatever
else it passes is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from langchain.tools import ToolRuntime
from langchain_core.tools import StructuredTool
from pydantic import Field

from langchain_redis_memory.agents.ids import ids_of
from langchain_redis_memory.agents.state import turn_in
from langchain_redis_memory.rendering import render

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from langchain_redis_memory.memory import RedisMemory
    from langchain_redis_memory.profiles.profile import Profile

Name = Annotated[
    str,
    Field(description="What it is about, such as 'language'.", min_length=1, max_length=100),
]
Value = Annotated[
    str, Field(description="What the user prefers, such as 'Python'.", max_length=1000)
]
Run = ToolRuntime[Any, Any]


class _Preferences:
    """The preferences of the user whose turn it is.

    What is noted goes to the profile that all agents share; what the agent's own profile holds
    of the same name is changed too, as that stands on top.
    """

    def __init__(self, memory: RedisMemory, agent: str) -> None:
        self._memory = memory
        self._agent = agent

    def note_preference(self, key: Name, value: Value, runtime: Run) -> str:
        return self._change(runtime, key, value)

    async def anote_preference(self, key: Name, value: Value, runtime: Run) -> str:
        return await self._achange(runtime, key, value)

    def forget_preference(self, key: Name, runtime: Run) -> str:
        return self._change(runtime, key, None)

    async def aforget_preference(self, key: Name, runtime: Run) -> str:
        return await self._achange(runtime, key, None)

    def _change(self, runtime: Run, key: str, value: str | None) -> str:
        known: dict[str, Any] = {}
        for profile, is_shared in self._profiles(runtime):
            found = profile.get()
            if key in found or (is_shared and value is not None):
                found = profile.update({key: value})
            known |= found
        return _told(known)

    async def _achange(self, runtime: Run, key: str, value: str | None) -> str:
        known: dict[str, Any] = {}
        for profile, is_shared in self._profiles(runtime):
            found = await profile.aget()
            if key in found or (is_shared and value is not None):
                found = await profile.aupdate({key: value})
            known |= found
        return _told(known)

    def _profiles(self, runtime: Run) -> list[tuple[Profile[dict[str, Any]], bool]]:
        turn = turn_in(runtime.state)
        configurable = runtime.config.get("configurable", {})
        user = turn["user"] if turn else ids_of(configurable, runtime.context)[0]
        shared, own = self._memory.profile(user), self._memory.profile(user, agent=self._agent)
        return [(shared, True), (own, False)]


def profile_tools(memory: RedisMemory, agent: str) -> list[BaseTool]:
    """Make the tools.

    Args:
        memory: Where profiles are.
        agent: Whose tools they are.
    """
    of = _Preferences(memory, agent)
    return [
        StructuredTool.from_function(
            of.note_preference,
            of.anote_preference,
            description="Note a preference of the user, to be known in every conversation to come. "
            "A new value takes the place of the old one.",
        ),
        StructuredTool.from_function(
            of.forget_preference,
            of.aforget_preference,
            description="Forget a preference of the user.",
        ),
    ]


def _told(profile: dict[str, Any]) -> str:
    return render([], profile) or "No preferences of the user are known now."
