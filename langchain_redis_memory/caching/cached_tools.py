"""LangChain tools that keep what they give."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.tools import FILTERED_ARGS, BaseTool, StructuredTool, Tool

from langchain_redis_memory.caching.cached import cached
from langchain_redis_memory.caching.fingerprint import state_of
from langchain_redis_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_redis_memory.caching.cached import Place
    from langchain_redis_memory.caching.options import Options


# What LangChain's class holds that a tool may compute with, too.
_COUNTING = {"name", "description", "tags", "metadata", "response_format"}
_NOT_COUNTING = {*BaseTool.model_fields, *BaseTool.__private_attributes__} - _COUNTING


def cached_tool(tool: Any, place: Place, options: Options) -> BaseTool:
    """Give a tool of the same class, with the same schema, that keeps its results; see `cached`.

    The arguments by which LangChain traces a run do not count. Whatever else it injects does: it
    may tell whose data the result is.

    Raises:
        ConfigurationError: It cannot be cached.
    """
    if not isinstance(tool, BaseTool):
        raise ConfigurationError(f"a {type(tool).__name__} cannot be cached; cache what it calls")
    keep = partial(cached, place=place, options=options, aside=FILTERED_ARGS)
    if type(tool) not in (StructuredTool, Tool):
        return _of_other_class(tool, keep, options)
    functions: dict[str, Any] = {
        name: function
        for name in ("func", "coroutine")
        if (function := getattr(tool, name)) is not None
    }
    like = next(iter(functions.values()))  # what both give is the same
    return tool.model_copy(
        update={name: keep(function, like=like) for name, function in functions.items()}
    )


def _of_other_class(tool: BaseTool, keep: Any, options: Options) -> BaseTool:
    kind: Any = type(tool)
    # Without a name= that says it all, two tools of the class differ by what they hold.
    state = _nothing if options.name is not None else partial(state_of, without=_NOT_COUNTING)
    names = ["_run"] if kind._arun is BaseTool._arun else ["_run", "_arun"]  # noqa: SLF001 - LangChain's own test
    here: tuple[set[str], set[str]] = (set(), set())  # what each method computes
    methods = {
        name: keep(getattr(kind, name), like=kind, state=state, twins=twins)
        for name, twins in zip(names, (here, here[::-1]), strict=False)
    }
    as_it_was = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    copy = tool.model_copy()
    copy.__class__ = type(kind)(kind.__name__, (kind,), {**as_it_was, **methods})
    return copy


def _nothing(_tool: Any) -> None:
    return None
