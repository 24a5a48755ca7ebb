"""Turns of many callers at once, each with a text of its own, and a record of how each ended."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableLambda

from langchain_redis_memory import RedisMemoryError, TurnNotSavedError
from langchain_redis_memory.storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_redis_memory import RedisMemory
    from langchain_redis_memory.runnable import RunnableWithRedisHistory

AGENT = "faults"
FLAVOURS = ("sync", "async")
HASTY = RetryPolicy(attempts=100, initial=0.02, maximum=0.2, deadline=2.0)
"""Gives up soon, so that a short fault shows what becomes of turns that could not be saved."""

_PATIENCE = 30
"""Seconds until callers whose turns all fail are given up on."""

_BREATH = 0.01
"""Seconds that a caller waits after an error, so that refusals do not come by the thousand."""


@dataclass(slots=True)
class Attempt:
    """One turn that a caller tried."""

    session: str
    text: str
    caller: int
    began: float
    ended: float = 0.0
    error: BaseException | None = None
    cancelled: bool = False

    @property
    def acknowledged(self) -> bool:
        """Whether the caller was told that the turn is stored."""
        return bool(self.ended) and self.error is None and not self.cancelled

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass
class Record:
    """How turns ended; appended to from any thread."""

    deadline: float
    """Seconds that the memory's policy gives an operation."""
    attempts: list[Attempt] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Replies that belong to somebody else: what was read, and who read it."""


class Load:
    """Turns of many callers at once on one memory, from entering the block until leaving it.

    Two callers share each session, so that writers meet.

    Args:
        memory: Where they are stored; it is closed when the load ends.
        flavour: ``"sync"`` for threads, ``"async"`` for tasks of one event loop.
        callers: How many at once.
        turns: How many each; None to go on until the block is left.
        padding: Characters that each text is longer by.
        speaking: Makes what takes the turns, which is called with a text and a config; by
            default a chain with a history.
    """

    def __init__(
        self,
        memory: RedisMemory,
        flavour: str,
        *,
        callers: int = 8,
        turns: int | None = None,
        padding: int = 0,
        speaking: Callable[[RedisMemory, Record], Any] | None = None,
    ) -> None:
        self.name = uuid.uuid4().hex[:12]
        self.flavour = flavour
        self.record = Record(memory._connection.policy.deadline)
        self.sessions = [f"{self.name}.{number}" for number in range((callers + 1) // 2)]
        self._memory = memory
        self._chat = (speaking or remembering)(memory, self.record)
        self._callers = callers
        self._turns = turns
        self._padding = "." * padding
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._turns is None:
            self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def go_on(self, seconds: float) -> None:
        """Let it run for a time, and at least until a new turn of each caller was acknowledged."""
        now = time.monotonic()
        time.sleep(seconds)
        while self._served_since(now) < self._callers:
            assert self._thread.is_alive(), self._failure
            assert time.monotonic() < now + _PATIENCE, "turns are acknowledged no more"
            time.sleep(0.01)

    def _served_since(self, then: float) -> int:
        turns = reversed(list(self.record.attempts))
        recent = itertools.takewhile(lambda turn: turn.began > then - _PATIENCE, turns)
        return len({turn.caller for turn in recent if turn.began > then and turn.acknowledged})

    def _run(self) -> None:
        try:
            if self.flavour == "async":
                asyncio.run(self._all_tasks())
            else:
                self._all_threads()
        except BaseException as error:
            self._failure = error

    def _all_threads(self) -> None:
        threads = [threading.Thread(target=self._calls, args=(i,)) for i in range(self._callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._memory.close()

    async def _all_tasks(self) -> None:
        await asyncio.gather(*(self._acalls(caller) for caller in range(self._callers)))
        await self._memory.aclose()

    def _calls(self, caller: int) -> None:
        for attempt in self._attempts(caller):
            if not turn(self._chat, attempt):
                time.sleep(_BREATH)

    async def _acalls(self, caller: int) -> None:
        for attempt in self._attempts(caller):
            if not await aturn(self._chat, attempt):
                await asyncio.sleep(_BREATH)

    def _attempts(self, caller: int) -> Any:
        number = 0
        session = self.sessions[caller // 2]
        while not self._over.is_set() and number != self._turns:
            text = f"{session}|{caller}|{number}|{self._padding}"
            attempt = Attempt(session, text, caller, time.monotonic())
            self.record.attempts.append(attempt)
            yield attempt
            number += 1


def remembering(memory: RedisMemory, record: Record, **options: Any) -> RunnableWithRedisHistory:
    """Wrap a model that says what it was told, and notes what it should not have seen."""

    def answer(messages: list[BaseMessage]) -> AIMessage:
        note_strays(record, messages)
        return AIMessage(f"re: {messages[-1].content}")

    async def aanswer(messages: list[BaseMessage]) -> AIMessage:
        return answer(messages)

    model = RunnableLambda(answer, aanswer)
    return memory.with_history(model, agent=AGENT, **{"window": 4, **options})


def note_strays(record: Record, messages: list[BaseMessage]) -> None:
    """Note the messages that a model should not have seen: those of another session."""
    mine = session_in(str(messages[-1].content))
    record.wrong.extend(
        f"{mine} was given {message.content!r:.80}"
        for message in messages
        if session_in(str(message.content).removeprefix("re: ")) != mine
    )


def turn(chat: Any, attempt: Attempt) -> bool:
    """Take a turn, note how it ended, and tell whether it was acknowledged."""
    try:
        chat.invoke(attempt.text, config_of(attempt.session))
    except Exception as error:
        attempt.error = error
    attempt.ended = time.monotonic()
    return attempt.acknowledged


async def aturn(chat: Any, attempt: Attempt) -> bool:
    """See `turn`; a task that is cancelled notes that too."""
    try:
        await chat.ainvoke(attempt.text, config_of(attempt.session))
    except asyncio.CancelledError:
        attempt.cancelled = True
        raise
    except Exception as error:
        attempt.error = error
    attempt.ended = time.monotonic()
    return attempt.acknowledged


def session_in(text: str) -> str:
    """Tell the session that a text was said in."""
    return text.partition("|")[0]


def config_of(session: str) -> Any:
    """Give the config that names a session; its user is named after it."""
    return {"configurable": {"session_id": session, "user_id": f"user of {session}"}}


def named(error: BaseException) -> str:
    """Name the class of an error, and with a turn that was not saved also why."""
    name = type(error).__name__
    if isinstance(error, TurnNotSavedError):
        return f"{name}({type(error.__cause__).__name__})"
    return name


def is_ours(error: BaseException) -> bool:
    """Tell whether an error is of the library's own tree, all the way down."""
    if isinstance(error, TurnNotSavedError):
        return isinstance(error.__cause__, RedisMemoryError)
    return isinstance(error, RedisMemoryError)
