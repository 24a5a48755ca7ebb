"""What a scenario is: a fault, where it makes sense, and what is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faults.load import FLAVOURS, HASTY, Load
from faults.stages import TOPOLOGIES
from faults.verdict import Outcome, judge

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of a fault.

    Args:
        seconds: How long a fault lasts that has no length of its own.
        cancellations: How many operations are cancelled, in each topology and flavour.
        slack: Seconds that the machine may take beyond a deadline.
    """

    seconds: float
    cancellations: int
    slack: float


FULL = Scale(seconds=2.0, cancellations=5500, slack=0.5)
# Other tests share the machine: only who waits for ever, or for many deadlines, is found out.
SMALL = Scale(seconds=0.3, cancellations=300, slack=5.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault.

    Args:
        name: What the table calls it.
        play: Injects it on a stage, in a flavour, and tells what became of it.
        topologies: Where it makes sense.
        flavours: Sync, async or both.
        brief: Where the small run shows it; None for everywhere.
    """

    name: str
    play: Callable[[Any, str, Scale], Outcome]
    topologies: tuple[str, ...] = TOPOLOGIES
    flavours: tuple[str, ...] = FLAVOURS
    brief: tuple[str, ...] | None = None

    def run(self, stage: Any, flavour: str, scale: Scale) -> Outcome:
        """Inject it, and tell what became of it and whether deadlines were kept."""
        outcome = self.play(stage, flavour, scale)
        outcome.expect(f"{outcome.late:.2f} s beyond a deadline", holds=outcome.late <= scale.slack)
        return outcome


def during_load(
    inject: Callable[[Any, Scale], None],
    *,
    proxied: bool = False,
    expected: tuple[str, ...] | None = None,
    load: dict[str, Any] | None = None,
    **options: Any,
) -> Callable[[Any, str, Scale], Outcome]:
    """Make the run of a scenario that injects its fault while turns go on.

    Args:
        inject: Lets the fault happen and puts things right again.
        proxied: Whether turns go by way of the proxies.
        expected: See `judge`.
        load: What `Load` takes.
        options: What `RedisMemory.from_url` takes.
    """

    def run(stage: Any, flavour: str, scale: Scale) -> Outcome:
        memory = stage.memory(proxied=proxied, **{"retry": HASTY, **options})
        with Load(memory, flavour, **(load or {})) as turns:
            turns.go_on(0.1)
            inject(stage, scale)
            turns.go_on(0.1)
        stage.heal()
        return judge(stage, turns.record, flavour, expected=expected)

    return run
