"""What is aimed at: each a figure of ours, beside another one or by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.plan import FORMS, WAYS

if TYPE_CHECKING:
    from benchmarks.measure import Results

MS, MIB = 1e-3, 2**20


@dataclass(frozen=True)
class Target:
    """One aim.

    Args:
        text: What is aimed at.
        group: Where it is measured.
        ours: The entry that is judged.
        other: The entry that it is compared with; None for a figure by itself.
        most: The most that the figure, or its ratio to the other's, may be.
        least: The least that the other's may be of ours.
        figure: Which figure.
        unit: What a figure by itself is divided by, to be told.
        unit_name: The name of that unit.
    """

    text: str
    group: str
    ours: str = "ours"
    other: str | None = None
    most: float | None = None
    least: float | None = None
    figure: str = "seconds"
    unit: float = 1
    unit_name: str = ""

    def measured(self, results: Results) -> float | None:
        """Give the figure or the ratio that the aim is about; None if it was not measured."""
        own = results.value(self.group, self.ours, self.figure)
        if own is None or self.other is None:
            return own if own is None else own / self.unit
        other = results.value(self.group, self.other, self.figure)
        if other is None or not other or not own:
            return None
        return other / own if self.least is not None else own / other

    def is_met(self, measured: float) -> bool:
        """Tell whether that is enough."""
        if self.least is not None:
            return measured >= self.least
        assert self.most is not None
        return measured <= self.most

    @property
    def limit(self) -> str:
        """Tell what is enough."""
        bound = f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"
        return f"{bound} {self.unit_name}".strip()


def _turns() -> list[Target]:
    most = {"messages": 0.70, "dict": 0.40, "prompt": 0.40}
    return [
        *(
            Target(
                f"a turn at 20 messages, {_FORM_NAMES[form]}, {way}: of LangChain's in-memory "
                "wrapper",
                f"turn {form} {way} 20",
                other="in_memory",
                most=most[form],
            )
            for form in FORMS
            for way in WAYS
        ),
        *(
            Target(
                f"a turn with a window of 20 in 1,000, {_FORM_NAMES[form]}, {way}: of ours at 20",
                f"turn {form} {way} 20",
                ours="ours, window of 20 in 1,000",
                other="ours",
                most=1.1,
            )
            for form in FORMS
            for way in WAYS
        ),
    ]


_FORM_NAMES = {"messages": "messages", "dict": "dict", "prompt": "prompt and model"}


def _imports() -> list[Target]:
    return [
        Target(
            f"{text}: {what}",
            "imports",
            ours=case,
            most=most,
            figure=figure,
            unit=unit,
            unit_name=unit_name,
        )
        for case, text, most_bytes in (
            ("package", "`import langchain_redis_memory`", 2),
            ("history", "the first history, over langchain-community's class with redis", 4),
        )
        for what, most, figure, unit, unit_name in (
            ("time", 25, "seconds", MS, "ms"),
            ("memory", most_bytes, "bytes", MIB, "MiB"),
        )
    ] + [
        Target(
            f"`import langchain_redis_memory`: `{module}` is not loaded",
            "imports",
            ours="package",
            most=0,
            figure=module,
        )
        for module in ("numpy", "langchain_community", "langchain_core.runnables")
    ]


TARGETS: dict[str, list[Target]] = {
    "Add a turn": [
        Target("trips", "add", figure="trips", most=1),
        Target("of a bare pipeline with expiry, of bytes", "add", other="bare", most=1.15),
        Target("of the same with LangChain's JSON", "add", other="encoding", most=1.15),
        Target("of langchain-community, object reused", "add", other="reused", most=0.40),
        Target("of langchain-community, as documented", "add", other="documented", most=0.07),
    ],
    "Read": [
        Target("the last 20 of 10,000: of a bare LRANGE", "last 20", other="bare", most=4),
        Target(
            "the last 20 of 10,000: langchain-community takes",
            "last 20",
            other="reused",
            least=400,
            unit_name="times as long",
        ),
        Target(
            "the last 20 of 10,000: of the last 20 of 100",
            "last 20",
            other="ours, of 100",
            most=1.1,
        ),
        Target("all of 1,000: of langchain-community", "read 1000", other="reused", most=0.40),
    ],
    "A full turn": _turns(),
    "200 sessions on one event loop": [
        Target(
            "LangChain's in-memory wrapper takes",
            "sessions",
            other="in_memory",
            least=1.3,
            figure="mean",
            unit_name="times as long",
        ),
        Target(
            "langchain-community takes",
            "sessions",
            other="reused",
            least=4,
            figure="mean",
            unit_name="times as long",
        ),
        Target("connections", "sessions", figure="connections", most=10),
        Target(
            "longest stall: of LangChain's in-memory wrapper",
            "sessions",
            other="in_memory",
            most=1.0,
            figure="stall",
        ),
    ],
    "Import": _imports(),
    "Looking at a million keys": [
        *(
            Target(
                f"`memory.{name}`: the longest that a command holds the server",
                "look",
                ours=name,
                most=1,
                figure="held",
                unit=MS,
                unit_name="ms",
            )
            for name in ("stats", "doctor")
        ),
        Target(
            "`memory.stats`: memory of the client",
            "look",
            ours="stats",
            most=2,
            figure="bytes",
            unit=MIB,
            unit_name="MiB",
        ),
    ],
    "This run": [
        Target("took", "run", most=10, unit=60, unit_name="min"),
    ],
}
