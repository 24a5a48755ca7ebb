"""Whether anybody watches a call, and its context if nobody does: without what is for tracers."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from langchain_core.callbacks import CallbackManager
from langchain_core.runnables.config import var_child_runnable_config

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextvars import Context

    from langchain_core.runnables import RunnableConfig

T = TypeVar("T")


def is_watched(config: RunnableConfig) -> bool:
    """Tell whether somebody watches a call: its callbacks, a tracer, or LangChain's debugging."""
    return bool(CallbackManager.configure(config.get("callbacks")).handlers)


def context_of(config: RunnableConfig) -> Context:
    """Make the context of a call, as LangChain's `set_config_context` does.

    Args:
        config: The call's own. What names our own run is taken off: it is not the runnable's.
    """
    config.pop("run_name", None)
    config.pop("run_id", None)
    context = copy_context()
    context.run(var_child_runnable_config.set, config)
    return context


class Within(Generic[T]):
    """Awaits a coroutine in a context, so that what it sets there stays there.

    LangChain gives it a task of its own, for which the event loop goes round two more times. Here
    it is a part of the task that awaits it, whose cancellation is its own.
    """

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, T]) -> None:
        self._context = context
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, T]:
        run, coroutine = self._context.run, self._coroutine
        try:
            step = run(coroutine.send, None)
            while True:
                try:
                    sent = yield step
                except BaseException as error:  # noqa: BLE001 - it is raised where it was awaited
                    step = run(coroutine.throw, error)
                else:
                    step = run(coroutine.send, sent)
        except StopIteration as end:
            result: T = end.value
            return result
