"""The `RunnableWithMessageHistory` that loses nothing.

LangChain's own class saves in a listener of its tracer, which swallows every exception, and finds
the new messages by counting, which fails when anybody else writes meanwhile. This one keeps its
interface and its traces: it reads, calls the runnable, and appends what is new; each once.

With langchain-core 2.0 `RunnableWithMessageHistory` goes away, and this file with it; nothing else
depends on it but `history`, and what is stored stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.runnables.base import RunnableBindingBase, coerce_to_runnable
from langchain_core.runnables.config import (
    ensure_config,
    merge_configs,
    var_child_runnable_config,
)
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.runnables.utils import ConfigurableFieldSpec
from typing_extensions import override

from langchain_redis_memory.conversation import Conversation
from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.remembering import Remembering
from langchain_redis_memory.shapes import Shapes
from langchain_redis_memory.turn import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from langchain_core.runnables import Runnable, RunnableConfig
    from langchain_core.runnables.graph import Graph

    from langchain_redis_memory.history import RedisChatMessageHistory
    from langchain_redis_memory.recall import ProfilesOf


def history_config() -> list[ConfigurableFieldSpec]:
    """Name the ids that a config holds."""
    return [
        ConfigurableFieldSpec(
            id="session_id",
            annotation=str,
            name="Session ID",
            description="Which conversation of the user; any string that is not empty.",
            default="",
            is_shared=True,
        ),
        ConfigurableFieldSpec(
            id="user_id",
            annotation=str,
            name="User ID",
            description="Whose conversation it is.",
            default="default",
            is_shared=True,
        ),
    ]


class RunnableWithRedisHistory(RunnableWithMessageHistory):  # type: ignore[no-redef]  # as the parent
    """A runnable that remembers each session; made by `RedisMemory.with_history`."""

    def __init__(
        self,
        runnable: Runnable[Any, Any] | Callable[..., Any],
        get_session_history: Callable[..., RedisChatMessageHistory],
        *,
        input_messages_key: str | None = None,
        output_messages_key: str | None = None,
        history_messages_key: str | None = None,
        policy: Policy | None = None,
        profile_key: str | None = None,
        profiles: ProfilesOf | None = None,
    ) -> None:
        shapes = Shapes(input_messages_key, output_messages_key, history_messages_key, profile_key)
        # The parent's own constructor builds the chain with the listener, and warns that it is
        # deprecated; neither is wanted here.
        RunnableBindingBase.__init__(
            self,
            bound=Remembering(coerce_to_runnable(runnable), shapes, policy or Policy(), profiles),
            get_session_history=get_session_history,
            input_messages_key=input_messages_key,
            output_messages_key=output_messages_key,
            history_messages_key=history_messages_key,
            history_factory_config=history_config(),
        )

    @property
    @override
    def OutputType(self) -> Any:
        return self.bound.OutputType

    @override
    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        return self.bound.get_graph(config)

    @override
    def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        # As in the parent, but without a generator around the stream: who closes it, closes it.
        kwargs = {**self.kwargs, **kwargs}
        return self.bound.astream(input, self._merge_configs(config), **kwargs)

    @override
    def _merge_configs(self, *configs: RunnableConfig | None) -> RunnableConfig:
        if self.config or var_child_runnable_config.get() or len(configs) != 1:
            config = ensure_config(merge_configs(self.config, *configs))
        else:  # there is nothing to merge
            config = ensure_config(configs[0])
            config["tags"] = sorted({*config["tags"]})
        if self.config_factories:
            made = (make(config) for make in self.config_factories)
            config = ensure_config(merge_configs(config, *made))
        configurable = config.get("configurable", {})
        ids = {
            spec.id: configurable.get(spec.id, spec.default) for spec in self.history_factory_config
        }
        if not ids["session_id"]:
            found = "an empty" if "session_id" in configurable else "no"
            instead = " (thread_id is LangGraph's)" if "thread_id" in configurable else ""
            raise ConfigurationError(
                f"{found} session_id was given{instead}; pass it in the config, such as "
                'config={"configurable": {"session_id": "s1", "user_id": "alice"}}'
            )
        history = self.get_session_history(**ids)
        if not isinstance(getattr(history, "conversation", None), Conversation):
            raise ConfigurationError(
                "get_session_history must give a RedisChatMessageHistory of this package, "
                f"not a {type(history).__module__}.{type(history).__name__}"
            )
        config["configurable"] = {**configurable, "message_history": history}
        return config
