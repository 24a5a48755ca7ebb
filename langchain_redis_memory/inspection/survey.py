"""Counting what a memory holds, key by key, in memory that does not grow with their number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from langchain_redis_memory.display.words import counted
from langchain_redis_memory.errors import StorageRejected
from langchain_redis_memory.inspection.figures import (
    KeyKind,
    KindStats,
    SessionSize,
    Stats,
)
from langchain_redis_memory.inspection.findings import Finding
from langchain_redis_memory.inspection.rankings import Largest, Owners
from langchain_redis_memory.inspection.walking import Walk
from langchain_redis_memory.part import check_progress
from langchain_redis_memory.storage.keys import encode_id
from langchain_redis_memory.storage.operation import Operation
from langchain_redis_memory.window import check_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_redis_memory.inspection.walking import Walked
    from langchain_redis_memory.storage.keys import Keys, Place
    from langchain_redis_memory.storage.operation import Command, Page
    from langchain_redis_memory.storage.steps import Steps

_TYPES: dict[KeyKind, bytes] = {
    "index": b"zset",
    "summary": b"string",
    "profile": b"string",
    "cached": b"string",
    "store": b"string",
}
"""What Redis type a key must have; a session tells by LLEN that it is no list."""

_GONE = -2
"""What PTTL says of a key that is not there."""

_NAMED = 5
"""How many keys of a kind are named in a finding."""

_TELLS = {
    "MEMORY USAGE": "how much memory keys take",
    "TYPE": "whether profiles, lists of sessions and caches are of the right type",
}
"""What is asked of each key if the server allows it, and what is not known otherwise."""

_SAMPLES = 50


@dataclass(slots=True)
class _Oddities:
    """Keys that are not as they should be: how many, and some of their names."""

    number: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, key: bytes) -> None:
        self.number += 1
        if len(self.names) < _NAMED:
            self.names.append(repr(key.decode(errors="backslashreplace")))

    def __str__(self) -> str:
        more = ", ..." if self.number > len(self.names) else ""
        return f"{counted(self.number, 'key')} ({', '.join(self.names)}{more})"


class Survey:
    """Counts the keys of a memory.

    Args:
        keys: Tell what a key holds.
        agent: Whose keys; None for those of all agents, and what belongs to none.
        user: Whose keys; None for those of all users, and what belongs to none.
        top: How many of the largest are named.

    Raises:
        ConfigurationError: An argument cannot be used.
    """

    samples: dict[KeyKind, list[bytes]]
    """Some sessions and profiles: those found first, which SCAN names in no order."""

    def __init__(
        self, keys: Keys, agent: str | None = None, user: str | None = None, top: int = 10
    ) -> None:
        for name, given in (("agent", agent), ("user_id", user)):
            if given is not None:
                encode_id(given, name)
        check_count("top", 0 if top is None else top)
        self._keys = keys
        self._agent = agent
        self._user = user
        self._top = top
        self._tells = set(_TELLS)
        self._store = f"{keys.namespace}:store:".encode()
        self._begin()

    def _begin(self) -> None:
        self._messages = 0
        self._kinds: dict[KeyKind, KindStats] = {kind: KindStats() for kind in get_args(KeyKind)}
        self._agents, self._users = Owners(), Owners()
        self._largest = Largest(self._top)
        self._damaged, self._refused, self._foreign = _Oddities(), _Oddities(), _Oddities()
        self.samples = {"session": [], "profile": []}

    def steps(self, progress: Callable[[Walked], object] | None = None) -> Steps[Stats]:
        """Give the steps that count all.

        Args:
            progress: Called with how far it has come.
        """
        check_progress(progress)
        is_all = self._agent is None and self._user is None
        every = self._keys.every("memory", self._agent, self._user)
        pattern = f"{self._keys.namespace}:*" if is_all else every
        yield from Walk(pattern, self._begin, self._look, progress).steps()
        if self._user is not None and self._agent is None:
            yield from self._look([self._keys.profile(self._user).encode()])
        return self._stats()

    def _look(self, page: Page) -> Steps[None]:
        meant = [(key, kind, place) for key in page for kind, place in self._meant(key)]
        if not meant:
            return
        asked = [self._asked(key, kind) for key, kind, _ in meant]
        replies = iter((yield _ask(asked, meant[0][0])))
        for (key, kind, place), commands in zip(meant, asked, strict=True):
            told = {str(command[0]): next(replies) for command in commands}
            self._take(key, kind, place, told)

    def _meant(self, key: bytes) -> list[tuple[KeyKind, Place | None]]:
        place = self._keys.place(key)
        if place is None:
            if self._agent is not None or self._user is not None:
                return []
            return [("store" if key.startswith(self._store) else "foreign", None)]
        is_meant = self._agent in (None, place.agent) and self._user in (None, place.user)
        return [(place.kind, place)] if is_meant else []

    def _asked(self, key: bytes, kind: KeyKind) -> list[Command]:
        asked: list[Command] = [("PTTL", key)]
        if kind == "session":
            asked.append(("LLEN", key))
        elif kind in _TYPES and "TYPE" in self._tells:
            asked.append(("TYPE", key))
        if "MEMORY USAGE" in self._tells:
            # Of a list it looks at five elements, unless asked for more.
            asked.append(("MEMORY USAGE", key))
        return asked

    def _take(self, key: bytes, kind: KeyKind, place: Place | None, told: dict[str, Any]) -> None:
        left, length = told["PTTL"], told.get("LLEN", 0)
        if left == _GONE:
            return
        if any(_is_refusal(reply) for reply in (left, length)):
            self._refused.add(key)
            return
        self._tells -= {name for name, reply in told.items() if _is_refusal(reply)}
        if isinstance(length, StorageRejected) or _is_of_another_type(kind, told.get("TYPE")):
            self._damaged.add(key)
            kind, length = "foreign", 0
        elif kind == "foreign":
            self._foreign.add(key)
        elif kind in self.samples and len(self.samples[kind]) < _SAMPLES:
            self.samples[kind].append(key)
        size = told.get("MEMORY USAGE")
        self._count(kind, place, length, size if isinstance(size, int) else 0, left)

    def _count(
        self, kind: KeyKind, place: Place | None, messages: int, size: int, left: int
    ) -> None:
        counted = self._kinds[kind]
        counted.keys += 1
        counted.bytes += size
        counted.expiries.add(left)
        self._messages += messages
        owners = ((self._agents, place.agent), (self._users, place.user)) if place else ()
        for ranking, name in owners:
            if name is not None:
                owner = ranking.of(name)
                owner.sessions += kind == "session"
                owner.messages += messages
                owner.bytes += size
        if kind == "session" and place and place.agent and place.user and place.session:
            ttl = left / 1000 if left >= 0 else None
            ids = (place.agent, place.user, place.session)
            self._largest.add(SessionSize(*ids, messages, size, ttl))

    def _stats(self) -> Stats:
        return Stats(
            messages=self._messages,
            kinds=self._kinds,
            agents=self._agents.most(self._top),
            users=self._users.most(self._top),
            largest=self._largest.found(),
            tells_bytes="MEMORY USAGE" in self._tells,
            all_agents=self._agents.is_whole,
            all_users=self._users.is_whole,
            findings=tuple(self._findings()),
        )

    def _findings(self) -> Iterator[Finding]:
        if self._damaged.number:
            yield Finding(
                "problem",
                "keys",
                f"of another type than belongs there: {self._damaged}; using them fails",
                "look at them with TYPE, and remove them with UNLINK if nobody needs them",
            )
        if self._refused.number:
            yield Finding(
                "warning",
                "keys",
                f"this Redis user may not look at {self._refused}; they are not counted",
                f"allow it the keys ~{self._keys.namespace}:* and the commands +pttl +llen",
            )
        if self._foreign.number:
            yield Finding(
                "note",
                "keys",
                f"in this namespace, but not the memory's: {self._foreign}",
                "keep them elsewhere, or give the memory another namespace",
            )
        if missing := [name for name in _TELLS if name not in self._tells]:
            commands = " ".join(f"+{name.lower().replace(' ', '|')}" for name in missing)
            yield Finding(
                "note",
                "keys",
                f"the server does not tell {' and '.join(_TELLS[name] for name in missing)}",
                f"allow this Redis user {commands}, if the service has it",
            )


def _ask(asked: Sequence[Sequence[Command]], first: bytes) -> Operation[Sequence[Any]]:
    commands = tuple(command for some in asked for command in some)
    key = first.decode(errors="backslashreplace")
    return Operation("looking at keys", commands, list, key, takes_refusals=True)


def _is_refusal(reply: object) -> bool:
    """Tell whether the server did not answer; that a key is of another type is an answer."""
    return isinstance(reply, StorageRejected) and reply.code != "WRONGTYPE"


def _is_of_another_type(kind: KeyKind, found: object) -> bool:
    return isinstance(found, bytes) and found not in (_TYPES[kind], b"none")
