"""The largest of many, found without keeping all."""

from __future__ import annotations

import heapq
from itertools import count

from langchain_redis_memory.inspection.figures import OwnerStats, SessionSize

_KEPT = 2000
"""Of how many owners figures are kept at least; twice as many are there at times."""


class Owners:
    """Figures by owner: of all of them, or of those that have most if there are very many."""

    def __init__(self) -> None:
        self._by_name: dict[str, OwnerStats] = {}
        self.is_whole = True

    def of(self, name: str) -> OwnerStats:
        """Give the figures of an owner, to add to."""
        found = self._by_name.get(name)
        if found is None:
            if len(self._by_name) == 2 * _KEPT:
                # Who has little and is forgotten begins anew: what is told of him is too low.
                self.is_whole = False
                self._by_name = {owner.name: owner for owner in self.most(_KEPT)}
            found = self._by_name[name] = OwnerStats(name)
        return found

    def most(self, number: int) -> tuple[OwnerStats, ...]:
        """Give those that have most."""
        return tuple(heapq.nlargest(number, self._by_name.values(), key=_weight))


def _weight(owner: OwnerStats) -> tuple[int, int, int]:
    return owner.bytes, owner.messages, owner.sessions


class Largest:
    """The largest sessions of those that were shown.

    Args:
        number: How many.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._heap: list[tuple[int, int, int, SessionSize]] = []
        self._order = count()

    def add(self, size: SessionSize) -> None:
        """Show a session."""
        entry = (size.bytes, size.messages, -next(self._order), size)
        if len(self._heap) < self._number:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def found(self) -> tuple[SessionSize, ...]:
        """Give them, the largest first."""
        return tuple(entry[-1] for entry in sorted(self._heap, reverse=True))
