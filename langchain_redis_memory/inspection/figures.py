"""The figures of a memory: what `RedisMemory.stats` gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from langchain_redis_memory.display.shown import Shown

if TYPE_CHECKING:
    from langchain_redis_memory.display.cards import Card
    from langchain_redis_memory.inspection.findings import Finding

KeyKind = Literal["session", "summary", "profile", "index", "cached", "store", "other", "foreign"]
"""What a key holds.

"other" is what applications put below a session, "foreign" what else is in the namespace, also what
has a name of the memory's but another type.
"""

KIND_NAMES: dict[KeyKind, str] = {
    "session": "sessions",
    "summary": "summaries",
    "profile": "profiles",
    "index": "lists of sessions",
    "cached": "cached values",
    "store": "values of stores",
    "other": "below sessions",
    "foreign": "not the memory's",
}
"""What people call the keys of each kind, in the order in which they are told."""

EXPIRIES = ("<1 h", "1-24 h", "1-7 d", "later", "never")
"""What people call the fields of `Expiries`, in their order."""

_HOUR = 3_600_000
_BOUNDS = (("hour", _HOUR), ("day", 24 * _HOUR), ("week", 7 * 24 * _HOUR))
_NEVER = -1
"""What PTTL says of a key without expiry."""


@dataclass(slots=True)
class Expiries:
    """How many keys expire when.

    Attributes:
        hour: Within an hour.
        day: Within a day, but not within an hour.
        week: Within a week, but not within a day.
        later: Later than that.
        never: Never.
    """

    hour: int = 0
    day: int = 0
    week: int = 0
    later: int = 0
    never: int = 0

    def add(self, left: int) -> None:
        """Count a key that expires in so many milliseconds, as PTTL tells them."""
        if left == _NEVER:
            self.never += 1
            return
        name = next((name for name, most in _BOUNDS if left <= most), "later")
        setattr(self, name, getattr(self, name) + 1)


@dataclass(slots=True)
class KindStats:
    """The keys of one kind.

    Attributes:
        keys: How many there are.
        bytes: How much memory they take in Redis, about; 0 if the server does not tell.
        expiries: When they expire.
    """

    keys: int = 0
    bytes: int = 0
    expiries: Expiries = field(default_factory=Expiries)


@dataclass(slots=True)
class OwnerStats:
    """What an agent or a user has.

    Attributes:
        name: The id of the agent or of the user.
        sessions: Conversations.
        messages: The messages in them.
        bytes: How much memory all of their keys take, about; 0 if the server does not tell.
    """

    name: str
    sessions: int = 0
    messages: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class SessionSize:
    """A session that is among the largest.

    Attributes:
        agent: Whose conversation it is.
        user: With whom.
        session: Which one.
        messages: How many messages there are.
        bytes: How much memory they take, about; 0 if the server does not tell.
        ttl: Seconds until it expires; None for never.
    """

    agent: str
    user: str
    session: str
    messages: int
    bytes: int
    ttl: float | None


@dataclass(frozen=True, slots=True)
class Stats(Shown):
    """What a memory holds.

    Attributes:
        messages: The messages of all conversations.
        kinds: The keys by what they hold: ``"session"``, ``"summary"``, ``"profile"``,
            ``"index"``, ``"cached"``, ``"store"``, ``"other"`` (what applications put below a
            session), ``"foreign"`` (what else is in the namespace, and what is of another type).
        agents: The agents that have most, the first in front.
        users: The users that have most, with all agents that were asked for.
        largest: The largest sessions.
        tells_bytes: Whether the server told how much memory keys take. What a list takes is
            reckoned from its newest messages.
        all_agents: Whether the figures of agents are whole. There are too many of them to keep
            figures of each otherwise, and those that are given are the least that they have.
        all_users: The same of users.
        findings: What is not as it should be.
    """

    messages: int
    kinds: dict[KeyKind, KindStats]
    agents: tuple[OwnerStats, ...]
    users: tuple[OwnerStats, ...]
    largest: tuple[SessionSize, ...]
    tells_bytes: bool
    all_agents: bool
    all_users: bool
    findings: tuple[Finding, ...]

    @property
    def sessions(self) -> int:
        """How many conversations there are."""
        return self.kinds["session"].keys

    @property
    def keys(self) -> int:
        """How many keys there are in all."""
        return sum(kind.keys for kind in self.kinds.values())

    @property
    def bytes(self) -> int | None:
        """How much memory they take in Redis, about; None if the server does not tell."""
        return sum(kind.bytes for kind in self.kinds.values()) if self.tells_bytes else None

    def _card(self) -> Card:
        from langchain_redis_memory.display.inspected import stats_card  # noqa: PLC0415 - see `Shown`

        return stats_card(self)


def in_bytes(size: int) -> str:
    """Write how many bytes there are, for people."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:  # noqa: PLR2004 - four digits are more than one reads
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
