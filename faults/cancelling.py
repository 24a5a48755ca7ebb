"""Operations cancelled at random moments: what is left of them must reach nobody else.

Every caller has a session and a key of its own, and looks at each reply: one that somebody else
asked for, left unread on a connection, would be seen by whoever uses the connection next.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

from faults.load import AGENT, Attempt, Load, Record, aturn, config_of, remembering
from faults.scenario import Scale, Scenario
from faults.verdict import Outcome, judge

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLERS = 24


class _Caller:
    """Somebody who asks for what is theirs, and loses patience now and then."""

    def __init__(self, number: int, name: str, memory: Any, record: Record, speaking: Any) -> None:
        self.session = f"{name}.{number}"
        self.cancelled = 0
        self._number = number
        self._memory = memory
        self._record = record
        self._chat = speaking(memory, record)
        ids = config_of(self.session)["configurable"]
        self._history = memory.history(AGENT, ids["user_id"], ids["session_id"], window=6)
        self._typical = 0.005

    async def call_until(self, enough: Any) -> None:
        """Ask and leave, until it is enough."""
        await self._memory.aset(f"value:{self.session}", self.session, ttl=600)
        number = 0
        while not enough():
            number += 1
            await self._call(random.choice((self._turn, self._value, self._messages)), number)

    async def _call(self, what: Any, number: int) -> None:
        began = time.monotonic()
        task = asyncio.create_task(what(number))
        # Any moment at all, from before it began until about when the reply is there.
        await asyncio.wait({task}, timeout=random.uniform(0, self._typical))
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            self.cancelled += 1
            self._typical *= 1.02
        else:
            self._typical = 0.9 * self._typical + 0.1 * (time.monotonic() - began)

    async def _turn(self, number: int) -> None:
        text = f"{self.session}|{self._number}|{number}|"
        attempt = Attempt(self.session, text, self._number, time.monotonic())
        self._record.attempts.append(attempt)
        await aturn(self._chat, attempt)

    async def _value(self, _: int) -> None:
        self._look_at(await self._memory.aget(f"value:{self.session}"))

    async def _messages(self, _: int) -> None:
        for message in await self._history.aget_messages():
            self._look_at(str(message.content).removeprefix("re: ").partition("|")[0])

    def _look_at(self, reply: str | None) -> None:
        if reply != self.session:
            self._record.wrong.append(f"{self.session} was given {reply!r:.80}")


def cancelled(speaking: Any = remembering) -> Callable[[Any, str, Scale], Outcome]:
    """Make the run of a scenario whose callers lose patience.

    Args:
        speaking: What takes their turns; see `Load`.
    """

    def run(stage: Any, flavour: str, scale: Scale) -> Outcome:
        memory = stage.memory()
        load = Load(stage.memory(), flavour, turns=3, speaking=speaking)
        record = load.record
        callers = [_Caller(i, f"{load.name}!", memory, record, speaking) for i in range(_CALLERS)]
        count = asyncio.run(_storm(memory, callers, scale.cancellations))
        with load:  # turns go on as ever
            pass
        outcome = judge(stage, record, flavour, expected=())
        outcome.cancelled = count
        return outcome

    return run


async def _storm(memory: Any, callers: list[_Caller], enough: int) -> int:

    def is_enough() -> bool:
        return sum(caller.cancelled for caller in callers) >= enough

    await asyncio.gather(*(caller.call_until(is_enough) for caller in callers))
    # No connection was lost: as many operations as ever go through at once.
    await asyncio.wait_for(asyncio.gather(*(memory.aping() for _ in range(50))), 10)
    await memory.aclose()
    return sum(caller.cancelled for caller in callers)


SCENARIOS = [
    Scenario("cancelled at random moments, 24 callers", cancelled(), flavours=("async",)),
]
