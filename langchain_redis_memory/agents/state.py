"""What an agent's state holds of its turn, and how steps of the agent read and write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NotRequired

from langchain.agents.middleware.types import AgentState, ExtendedModelResponse, PrivateStateAttr
from langchain_core.messages import RemoveMessage, SystemMessage
from langgraph.channels import UntrackedValue
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command

from langchain_redis_memory.agents.thread import Record, said

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ModelRequest, ModelResponse

    from langchain_redis_memory.agents.beginning import Begun

State = Mapping[str, Any]

_TURN, _RUN = "redis_memory", "redis_memory_run"


class MemoryState(AgentState[Any]):
    """An agent's state, and what is known of its turn."""

    redis_memory: NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]
    # Of one run alone, and changed in place: whether some of the turn is stored already.
    redis_memory_run: NotRequired[Annotated[dict[str, bool], UntrackedValue, PrivateStateAttr]]


def record_in(state: State) -> Record | None:
    """Give what is known of the turn, or of the one before."""
    return state.get(_TURN)


def turn_in(state: State) -> Record | None:
    """Give what is known of the turn, if there is one."""
    record = record_in(state)
    return record if record and record["token"] else None


def fails(state: State) -> None:
    """Note that the turn may be stored in part; whoever called may try the step again."""
    state.get(_RUN, {})["has_failed"] = True


def has_failed(state: State) -> bool:
    """Tell whether the turn may be stored in part; of a run before, nobody here knows."""
    return bool(state.get(_RUN, {"has_failed": True})["has_failed"])


def beginning_with(begun: Begun) -> Command[Any]:
    """Make the update of the state as the turn begins."""
    # As pairs: in a dict, LangGraph would stream the earlier messages as if they were new.
    update: list[tuple[str, Any]] = [(_TURN, begun.record), (_RUN, {"has_failed": False})]
    if begun.thread is not None:
        update.append(("messages", [RemoveMessage(id=REMOVE_ALL_MESSAGES), *begun.thread]))
    return Command(update=update)


def ending_with(record: Record) -> dict[str, Any]:
    """Make the update of the state as the turn ends."""
    return {_TURN: record}


def instructed(request: ModelRequest[Any]) -> ModelRequest[Any]:
    """Put what is known of the user behind the agent's own instructions."""
    turn = turn_in(request.state)
    if turn is None or not turn["profile"]:
        return request
    system = _with_text(request.system_message, turn["profile"])
    return request.override(system_message=system)


def _with_text(system: SystemMessage | None, text: str) -> SystemMessage:
    if system is None:
        return SystemMessage(text)
    content: str | list[Any] = system.content
    if isinstance(content, str):
        content = f"{content}\n\n{text}" if content else text
    else:
        content = [*content, {"type": "text", "text": f"\n\n{text}"}]
    return system.model_copy(update={"content": content})


def noted(request: ModelRequest[Any], response: ModelResponse[Any]) -> ExtendedModelResponse[Any]:
    """Note with a model's response what was said before it: the state may lose that."""
    turn = turn_in(request.state)
    if turn is None:
        return ExtendedModelResponse(response)
    so_far = said(turn, request.state["messages"])
    if so_far == turn["said"]:
        return ExtendedModelResponse(response)
    return ExtendedModelResponse(response, Command(update={_TURN: {**turn, "said": so_far}}))


def output_of(state: State) -> dict[str, Any]:
    """Give what the agent's caller would be given."""
    return {name: state[name] for name in ("messages", "structured_response") if name in state}
