"""Measures the entries of a group by turns, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import ContenderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.cores import Cores
    from benchmarks.plan import Entry, Group, Scale
    from benchmarks.server import CountedServer

Rounds = dict[str, list[float]]
"""Each figure of an entry, in each round."""
_FOR_QUARTILES = 3
"""How many rounds it takes to tell how they spread."""


@dataclass
class Results:
    """All that was measured.

    Args:
        setup: The machine and what was installed, by what it is.
        rounds: Figures by group and entry.
        sent: What one call of an entry sent: commands, trips, connections.
        missing: What was not measured, and why.
    """

    setup: dict[str, Any] = field(default_factory=dict)
    rounds: dict[str, dict[str, Rounds]] = field(default_factory=lambda: defaultdict(dict))
    sent: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    missing: list[str] = field(default_factory=list)

    def value(self, group: str, entry: str, figure: str = "seconds") -> float | None:
        """Give a figure of all rounds: the mean of all calls, of others the median of the rounds.

        What seldom happens is in few rounds of a peer that makes few calls in each, and in most
        rounds of a faster one: a median of means would leave it out of the one alone.

        Returns:
            The figure; None if it was not measured.
        """
        rounds = self.rounds.get(group, {}).get(entry, {})
        values = rounds.get(figure)
        if not values:
            return None
        if figure == "mean":
            return statistics.fmean(values, weights=rounds["calls"])
        return statistics.median(values)

    def add(self, group: str, entry: str, figures: Mapping[str, float]) -> None:
        """Take the figures of a round."""
        rounds = self.rounds[group].setdefault(entry, {})
        for name, value in figures.items():
            rounds.setdefault(name, []).append(float(f"{value:.4g}"))

    def spread(self) -> float:
        """Tell how far the middle half of an entry's rounds reaches, as a share of its median."""
        return statistics.median(
            (upper - lower) / median
            for entries in self.rounds.values()
            for figures in entries.values()
            if len(figures.get("seconds", ())) >= _FOR_QUARTILES
            for lower, median, upper in [statistics.quantiles(figures["seconds"], n=4)]
        )

    def write(self, path: Path) -> None:
        """Keep them in a file."""
        path.write_text(json.dumps(vars(self)) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read such a file."""
        return cls(**json.loads(path.read_text()))


class Measuring:
    """Measures groups into results.

    Args:
        contenders: By peer.
        server: What they use.
        results: Where the figures go.
        cores: Of this machine.
        scale: How long.
        until: When all should be done, by `time.perf_counter`.
    """

    def __init__(
        self,
        contenders: Mapping[str, Contender],
        server: CountedServer,
        results: Results,
        *,
        cores: Cores,
        scale: Scale,
        until: float,
    ) -> None:
        self._contenders = contenders
        self._server = server
        self._cores = cores
        self._scale = scale
        self._results = results
        self._until = until

    def measure(self, groups: Sequence[Group]) -> Iterator[Group]:
        """Measure one group after the other, and name each before."""
        left = sum(len(group.entries) for group in groups)
        for group in groups:
            yield group
            seconds = min(self._scale.seconds, (self._until - time.perf_counter()) / left)
            with self._cores.asleep() if group.asleep else nullcontext():
                self._measure(group, seconds * len(group.entries))
            left -= len(group.entries)

    def _measure(self, group: Group, seconds: float) -> None:
        there = {
            name: entry for name, entry in group.entries.items() if entry.peer in self._contenders
        }
        for name, entry in list(there.items()):
            if not self._is_ready(group, name, entry):
                del there[name]
        with self._placed(there.values()) if group.many else nullcontext():
            self._rounds(group.name, there, seconds)
        for peer in {entry.peer for entry in there.values()}:
            with suppress(ContenderError):  # it was told already
                self._contenders[peer].finish()
        self._server.empty()

    @contextmanager
    def _placed(self, entries: Iterable[Entry]) -> Iterator[None]:
        peers = [self._contenders[entry.peer] for entry in entries]
        self._server.place("anywhere")
        for peer in peers:
            peer.place("anywhere")
        try:
            yield
        finally:
            self._server.place("server")
            for peer in peers:
                peer.place("caller")

    def _is_ready(self, group: Group, name: str, entry: Entry) -> bool:
        contender = self._contenders[entry.peer]
        try:
            contender.prepare(name, entry.work, entry.options)
            contender.run(name, self._scale.slice / 2)
            if group.counted:
                self._count(group.name, name, contender)
        except ContenderError as failure:
            self._fail(group.name, name, failure)
            return False
        return True

    def _count(self, group: str, name: str, contender: Contender) -> None:
        with self._server.counting() as count:
            contender.once(name)
        self._results.sent[group][name] = vars(count)
        self._results.add(group, name, {"trips": count.trips})

    def _rounds(self, group: str, entries: dict[str, Entry], seconds: float) -> None:
        end = time.perf_counter() + seconds
        names = list(entries)
        done = 0
        while names and (done < self._scale.rounds or time.perf_counter() < end):
            for name in _from(names, done):
                try:
                    self._run(group, name, self._contenders[entries[name].peer])
                except ContenderError as failure:
                    self._fail(group, name, failure)
                    names.remove(name)
            done += 1

    def _run(self, group: str, name: str, contender: Contender) -> None:
        before = self._server.connections()
        figures = contender.run(name, self._scale.slice)
        opened = self._server.connections() - before
        self._results.add(group, name, {**figures, "connections": opened})

    def _fail(self, group: str, name: str, failure: ContenderError) -> None:
        self._results.missing.append(f"{group}, {name}: {failure}")


def _from(names: list[str], turn: int) -> Iterable[str]:
    # Each begins in its turn, so that nobody has always the same one before.
    start = turn % len(names)
    return [*names[start:], *names[:start]]
