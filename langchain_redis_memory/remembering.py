"""Reads, calls the runnable, appends: the run within a `RunnableWithRedisHistory`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable
from typing_extensions import override

from langchain_redis_memory.pieces import AsyncPieces
from langchain_redis_memory.saving import Saver
from langchain_redis_memory.storage.steps import afollow, follow
from langchain_redis_memory.telemetry.switch import turn_span
from langchain_redis_memory.turn import RunEnd, Turn
from langchain_redis_memory.within import Within, context_of, is_watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from langchain_core.callbacks import (
        AsyncCallbackManagerForChainRun,
        CallbackManagerForChainRun,
    )
    from langchain_core.runnables import RunnableConfig
    from langchain_core.runnables.graph import Graph
    from langchain_core.runnables.utils import ConfigurableFieldSpec

    from langchain_redis_memory.history import RedisChatMessageHistory
    from langchain_redis_memory.recall import ProfilesOf
    from langchain_redis_memory.shapes import Shapes
    from langchain_redis_memory.turn import Policy


class Remembering(Runnable[Any, Any]):
    """Reads, calls the runnable, appends: the run that traces show as the wrapper."""

    name = "RunnableWithMessageHistory"

    def __init__(
        self,
        runnable: Runnable[Any, Any],
        shapes: Shapes,
        policy: Policy,
        profiles: ProfilesOf | None = None,
    ) -> None:
        self._runnable = runnable
        self._shapes = shapes
        self._policy = policy
        self._profiles = profiles
        self._saver = Saver(policy)

    @property
    @override
    def InputType(self) -> Any:
        return self._runnable.InputType

    @property
    @override
    def OutputType(self) -> Any:
        return self._runnable.OutputType

    @property
    @override
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        return self._runnable.config_specs

    @override
    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        return self._runnable.get_graph(config)

    # Calls: a run for those who watch it, or none of LangChain's work for a run when nobody does

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        assert config is not None  # noqa: S101 - the wrapper has merged one
        if is_watched(config):
            return self._call_with_config(self._answer, input, config, **kwargs)
        return context_of(config).run(self._answer, input, None, config, **kwargs)

    def _answer(
        self,
        value: Any,
        run_manager: CallbackManagerForChainRun | None,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        turn = self._turn(value, config)
        self._load(turn, run_manager)
        try:
            output = self._runnable.invoke(turn.given, config, **kwargs)
        except BaseException:
            self._saver.save_aside(turn, turn.record_failed)
            raise
        self._saver.save(turn, output)
        return output

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        assert config is not None  # noqa: S101 - the wrapper has merged one
        if is_watched(config):
            return await self._acall_with_config(self._aanswer, input, config, **kwargs)
        return await Within(context_of(config), self._aanswer(input, None, config, **kwargs))

    async def _aanswer(
        self,
        value: Any,
        run_manager: AsyncCallbackManagerForChainRun | None,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        turn = self._turn(value, config)
        await self._aload(turn, run_manager)
        try:
            output = await self._runnable.ainvoke(turn.given, config, **kwargs)
        except BaseException:
            await self._saver.asave_aside(turn, turn.record_failed)
            raise
        await self._saver.asave(turn, output)
        return output

    # Streams

    @override
    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        started: list[Generator[Any]] = []

        def answer(
            inputs: Iterator[Any],
            run_manager: CallbackManagerForChainRun,
            config: RunnableConfig,
            **kwargs: Any,
        ) -> Iterator[Any]:
            started.append(self._pieces(next(inputs), run_manager, config, **kwargs))
            return started[0]

        try:
            yield from self._transform_stream_with_config(iter([input]), answer, config, **kwargs)
        finally:
            # LangChain leaves it to the garbage collector to close what an abandoned stream held.
            for pieces in started:
                pieces.close()

    def _pieces(
        self,
        value: Any,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Generator[Any]:
        turn = self._turn(value, config)
        self._load(turn, run_manager)
        end = RunEnd.of(config)
        sent: list[Any] = []
        try:
            for piece in self._runnable.stream(turn.given, config, **kwargs):
                sent.append(piece)
                yield piece
        except (GeneratorExit, KeyboardInterrupt):
            self._saver.save_aside(turn, lambda: turn.record_part(sent))
            raise
        except BaseException:
            self._saver.save_aside(turn, turn.record_failed)
            raise
        self._saver.save(turn, turn.streamed(end.state, sent))

    @override
    def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async def inputs() -> AsyncIterator[Any]:
            yield input

        def answer(
            inputs: AsyncIterator[Any],
            run_manager: AsyncCallbackManagerForChainRun,
            config: RunnableConfig,
            **kwargs: Any,
        ) -> AsyncIterator[Any]:
            begin = partial(self._begin, inputs, run_manager, config, kwargs)
            return AsyncPieces(begin, self._saver)

        return self._atransform_stream_with_config(inputs(), answer, config, **kwargs)

    async def _begin(
        self,
        inputs: AsyncIterator[Any],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        kwargs: dict[str, Any],
    ) -> tuple[Turn, RunEnd, AsyncIterator[Any]]:
        turn = self._turn(await anext(inputs), config)
        await self._aload(turn, run_manager)
        end = RunEnd.of(config)
        return turn, end, self._runnable.astream(turn.given, config, **kwargs)

    # Reading

    def _turn(self, value: Any, config: RunnableConfig) -> Turn:
        configurable = config["configurable"]
        history: RedisChatMessageHistory = configurable["message_history"]
        new = self._shapes.incoming(value)
        profiles = self._profiles(configurable) if self._profiles else ()
        return Turn(history.conversation, self._shapes, self._policy, value, new, profiles)

    def _load(self, turn: Turn, run_manager: CallbackManagerForChainRun | None) -> None:
        manager = run_manager.get_child() if run_manager else None
        if manager is None or not manager.handlers:
            _read(turn)
            return
        run = manager.on_chain_start(None, turn.value, name="load_history")
        try:
            _read(turn)
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end(turn.history)

    async def _aload(self, turn: Turn, run_manager: AsyncCallbackManagerForChainRun | None) -> None:
        manager = run_manager.get_child() if run_manager else None
        if manager is None or not manager.handlers:
            await _aread(turn)
            return
        run = await manager.on_chain_start(None, turn.value, name="load_history")
        try:
            await _aread(turn)
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end(turn.history)


def _read(turn: Turn) -> None:
    with turn_span("read"):
        turn.begin(*follow(turn.conversation.connection, turn.reading()))


async def _aread(turn: Turn) -> None:
    with turn_span("read"):
        turn.begin(*await afollow(turn.conversation.connection, turn.reading()))
