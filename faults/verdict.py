"""What became of the turns: lost, doubled, half-stored, out of order, in the wrong session.

Decided by reading every conversation with a fresh client when the fault is over. Turns that could
not be saved are then stored once more, twice over, by their tokens, and all is read again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from faults.load import AGENT, config_of, is_ours, named, session_in
from langchain_redis_memory import TurnNotSavedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from faults.load import Attempt, Record
    from faults.stages import Stage


@dataclass
class Outcome:
    """One row of the table."""

    tried: int = 0
    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    half: int = 0
    disordered: int = 0
    wrong: int = 0
    cancelled: int = 0
    late: float = 0.0
    """Seconds beyond its deadline after which something ended."""
    errors: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Which promises were broken, and how."""

    def expect(self, what: str, *, holds: bool) -> None:
        """Note a promise that does not hold."""
        if not holds:
            self.broken.append(what)


def judge(
    stage: Stage,
    record: Record,
    flavour: str,
    *,
    expected: Iterable[str] | None = None,
    excused: Callable[[Attempt], bool] = lambda _: False,
) -> Outcome:
    """Read what is stored, and compare it with what callers were told.

    Args:
        stage: Where.
        record: What callers were told.
        flavour: How turns are stored again that could not be saved.
        expected: The errors that there must be, as `named` names them; None for any of ours.
        excused: Which acknowledged turns the servers themselves may have lost.
    """
    outcome = _told(record)
    stored = _stored(stage, record)
    _weigh(outcome, stored, [a for a in record.attempts if a.acknowledged and not excused(a)])
    unsaved = [a for a in record.attempts if isinstance(a.error, TurnNotSavedError)]
    if unsaved:
        _repair(stage, unsaved, flavour)
        again = _told(record)
        _weigh(again, _stored(stage, record), unsaved)
        outcome.notes.append(f"{len(unsaved)} stored again by token, exactly once")
        outcome.broken += [f"after the repair: {what}" for what in again.broken]
    if expected is not None:
        said = Counter(str(a.error.__cause__ or a.error) for a in record.attempts if a.error)
        outcome.expect(f"errors: {said.most_common(3)}", holds=set(outcome.errors) == set(expected))
    slowest = max((attempt.seconds for attempt in record.attempts), default=0)
    outcome.late = slowest - 2 * record.deadline  # a turn reads and writes
    outcome.notes.append(f"slowest turn {slowest:.2f} s")
    return outcome


def _told(record: Record) -> Outcome:
    attempts = record.attempts
    errors = [attempt.error for attempt in attempts if attempt.error]
    outcome = Outcome(
        tried=len(attempts),
        acknowledged=sum(attempt.acknowledged for attempt in attempts),
        cancelled=sum(attempt.cancelled for attempt in attempts),
        wrong=len(record.wrong),
        errors=Counter(map(named, errors)),
    )
    outcome.expect(f"a wrong reply: {record.wrong[:3]}", holds=not record.wrong)
    foreign = {repr(error) for error in errors if not is_ours(error)}
    outcome.expect(f"errors of another tree: {foreign}", holds=not foreign)
    return outcome


def _stored(stage: Stage, record: Record) -> dict[str, list[Any]]:
    sessions = dict.fromkeys(attempt.session for attempt in record.attempts)
    with stage.memory() as memory:
        return {session: memory.history(AGENT, *_ids(session)).messages for session in sessions}


def _ids(session: str) -> tuple[str, str]:
    ids = config_of(session)["configurable"]
    return ids["user_id"], ids["session_id"]


def _weigh(outcome: Outcome, stored: dict[str, list[Any]], owed: list[Attempt]) -> None:
    """Compare what is stored with the turns that must be there."""
    found: Counter[str] = Counter()
    places: dict[str, int] = {}
    for session, messages in stored.items():
        whole, odd = _turns_of(messages)
        found.update(whole)
        places.update({text: place for place, text in enumerate(whole)})
        outcome.half += len(odd)
        strays = [text for text in (*whole, *odd) if session_in(text) != session]
        outcome.wrong += len(strays)
        outcome.expect(f"stored with another session: {strays[:3]}", holds=not strays)
        outcome.expect(f"half-stored: {odd[:3]}", holds=not odd)
    outcome.found = len(found)
    lost = [attempt for attempt in owed if attempt.text not in found]
    doubled = [text for text, times in found.items() if times > 1]
    outcome.lost, outcome.doubled = len(lost), len(doubled)
    outcome.disordered = _disordered(owed, places)
    outcome.expect(f"lost: {[attempt.text for attempt in lost[:3]]}", holds=not lost)
    outcome.expect(f"doubled: {doubled[:3]}", holds=not doubled)
    outcome.expect("turns of one caller out of order", holds=not outcome.disordered)


def _turns_of(messages: list[Any]) -> tuple[list[str], list[str]]:
    """Tell the turns that are whole, and the messages that belong to none."""
    whole: list[str] = []
    odd: list[str] = []
    place = 0
    while place < len(messages):
        text = str(messages[place].content)
        steps = list(takewhile(lambda message: message.type != "human", messages[place + 1 :]))
        if messages[place].type == "human" and _is_answer(steps, text):
            whole.append(text)
            place += 1 + len(steps)
        else:
            odd.append(text)
            place += 1
    return whole, odd


def _is_answer(steps: list[Any], text: str) -> bool:
    """Tell whether these are a reply, or an agent's call of a tool, its result and a reply."""
    texts = [str(message.content) for message in steps]
    return texts in ([f"re: {text}"], [text, text, f"re: {text}"])


def _disordered(owed: list[Attempt], places: dict[str, int]) -> int:
    """Count the acknowledged turns that stand before an earlier one of the same caller."""
    latest: dict[tuple[str, int], int] = {}
    count = 0
    for attempt in owed:
        place = places.get(attempt.text)
        if place is None or not attempt.acknowledged:
            continue
        caller = (attempt.session, attempt.caller)
        count += place < latest.get(caller, -1)
        latest[caller] = max(place, latest.get(caller, -1))
    return count


def _repair(stage: Stage, unsaved: list[Attempt], flavour: str) -> None:
    twice = [attempt for attempt in unsaved for _ in range(2)]
    with stage.memory() as memory:
        if flavour == "async":
            asyncio.run(_arepair(memory, twice))
            return
        for attempt in twice:
            error: Any = attempt.error
            history = memory.history(AGENT, *_ids(attempt.session))
            history.add_messages(error.messages, token=error.token)


async def _arepair(memory: Any, unsaved: list[Attempt]) -> None:
    for attempt in unsaved:
        error: Any = attempt.error
        history = memory.history(AGENT, *_ids(attempt.session))
        await history.aadd_messages(error.messages, token=error.token)
    await memory.aclose()
