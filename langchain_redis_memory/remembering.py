"""Reads, calls the runnable, appends: the run within a `RunnableWithRedisHistory`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable
from typing_extensions import override

from langchain_redis_memory.shapes import joined
from langchain_redis_memory.turn import RunEnd, Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from langchain_core.callbacks import (
        AsyncCallbackManagerForChainRun,
        CallbackManagerForChainRun,
    )
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig
    from langchain_core.runnables.graph import Graph
    from langchain_core.runnables.utils import ConfigurableFieldSpec

    from langchain_redis_memory.errors import TurnNotSavedError
    from langchain_redis_memory.history import RedisChatMessageHistory
    from langchain_redis_memory.shapes import Shapes
    from langchain_redis_memory.turn import Policy

_PATIENCE = 1.0  # seconds

_logger = logging.getLogger("langchain_redis_memory")


class Remembering(Runnable[Any, Any]):
    """Reads, calls the runnable, appends: the run that traces show as the wrapper."""

    name = "RunnableWithMessageHistory"

    def __init__(self, runnable: Runnable[Any, Any], shapes: Shapes, policy: Policy) -> None:
        self._runnable = runnable
        self._shapes = shapes
        self._policy = policy
        self._saving: set[asyncio.Task[None]] = set()

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

    # Calls

    @override
    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return self._call_with_config(self._answer, input, config, **kwargs)

    def _answer(
        self,
        value: Any,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        turn = self._turn(value, config)
        self._load(turn, run_manager)
        try:
            output = self._runnable.invoke(turn.given, config, **kwargs)
        except BaseException:
            self._save_aside(turn, turn.record_failed)
            raise
        self._save(turn, output)
        return output

    @override
    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await self._acall_with_config(self._aanswer, input, config, **kwargs)

    async def _aanswer(
        self,
        value: Any,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        turn = self._turn(value, config)
        await self._aload(turn, run_manager)
        try:
            output = await self._runnable.ainvoke(turn.given, config, **kwargs)
        except BaseException:
            await self._asave_aside(turn, turn.record_failed)
            raise
        await self._asave(turn, output)
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
            self._save_aside(turn, lambda: turn.record_part(sent))
            raise
        except BaseException:
            self._save_aside(turn, turn.record_failed)
            raise
        self._save(turn, end.state or joined(sent))

    @override
    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async def inputs() -> AsyncIterator[Any]:
            yield input

        stream = self._atransform_stream_with_config(inputs(), self._apieces, config, **kwargs)
        async with aclosing(stream):  # type: ignore[type-var]  # an async generator in truth
            async for piece in stream:
                yield piece

    async def _apieces(
        self,
        inputs: AsyncIterator[Any],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        turn = self._turn(await anext(inputs), config)
        await self._aload(turn, run_manager)
        end = RunEnd.of(config)
        sent: list[Any] = []
        try:
            async for piece in self._runnable.astream(turn.given, config, **kwargs):
                sent.append(piece)
                yield piece
        except (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt):
            await self._asave_aside(turn, lambda: turn.record_part(sent))
            raise
        except BaseException:
            await self._asave_aside(turn, turn.record_failed)
            raise
        await self._asave(turn, end.state or joined(sent))

    # Reading

    def _turn(self, value: Any, config: RunnableConfig) -> Turn:
        history: RedisChatMessageHistory = config["configurable"]["message_history"]
        new = self._shapes.incoming(value)
        return Turn(history.conversation, self._shapes, self._policy, value, new)

    def _load(self, turn: Turn, run_manager: CallbackManagerForChainRun) -> None:
        manager = run_manager.get_child()
        if not manager.handlers:
            turn.begin(turn.conversation.read(with_ids=turn.has_ids))
            return
        run = manager.on_chain_start(None, turn.value, name="load_history")
        try:
            turn.begin(turn.conversation.read(with_ids=turn.has_ids))
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end(turn.history)

    async def _aload(self, turn: Turn, run_manager: AsyncCallbackManagerForChainRun) -> None:
        manager = run_manager.get_child()
        if not manager.handlers:
            turn.begin(await turn.conversation.aread(with_ids=turn.has_ids))
            return
        run = await manager.on_chain_start(None, turn.value, name="load_history")
        try:
            turn.begin(await turn.conversation.aread(with_ids=turn.has_ids))
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end(turn.history)

    # Saving

    def _save(self, turn: Turn, output: Any) -> None:
        messages: list[BaseMessage] = []
        try:
            messages = turn.record(output)
            turn.conversation.append(messages, turn.token)
        except Exception as error:  # noqa: BLE001 - whatever it is, the reply must reach the caller
            self._tell(turn, turn.not_saved(error, output, messages), error)

    async def _asave(self, turn: Turn, output: Any) -> None:
        messages: list[BaseMessage] = []
        try:
            messages = turn.record(output)
            await turn.conversation.aappend(messages, turn.token)
        except asyncio.CancelledError:
            # The reply is complete, perhaps sent: it is stored, and by its token only once.
            await self._asave_aside(turn, lambda: messages)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the reply must reach the caller
            self._tell(turn, turn.not_saved(error, output, messages), error)

    def _tell(self, turn: Turn, error: TurnNotSavedError, cause: Exception) -> None:
        if self._policy.on_save_error == "raise":
            raise error from cause
        _log(turn, error)

    def _save_aside(self, turn: Turn, messages: Callable[[], list[BaseMessage]]) -> None:
        # Another exception is on its way to the caller, and must not be replaced by ours.
        try:
            turn.conversation.append(messages(), turn.token)
        except Exception as error:  # noqa: BLE001 - see above
            _log(turn, turn.not_saved(error, None, ()))

    async def _asave_aside(self, turn: Turn, messages: Callable[[], list[BaseMessage]]) -> None:
        async def save() -> None:
            try:
                await turn.conversation.aappend(messages(), turn.token)
            except (Exception, asyncio.CancelledError) as error:
                _log(turn, turn.not_saved(error, None, ()))
                if isinstance(error, asyncio.CancelledError):
                    raise

        # The caller's task may be cancelled, again and again; this one is not. Nor does a caller
        # who has left wait for a server that is away.
        task = asyncio.ensure_future(save())
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)
        await asyncio.wait([task], timeout=_PATIENCE)


def _log(turn: Turn, error: TurnNotSavedError) -> None:
    # Without the traceback, whose causes may quote texts.
    _logger.error("a turn of %s was not saved: %s", turn.conversation.key, error.reason)
