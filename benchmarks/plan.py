"""What is measured: groups of entries that are measured by turns, so that they can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.conversations import LAST

FORMS = ("messages", "dict", "prompt")
WAYS = ("sync", "async")

NAMES = {
    "ours": "this package",
    "in_memory": "LangChain's in-memory history",
    "reused": "langchain-community, object reused",
    "documented": "langchain-community, as documented",
    "llama_index": "llama-index `RedisChatStore`",
    "openai_agents": "openai-agents `RedisSession`",
    "bare": "redis-py pipeline, of bytes",
    "encoding": "redis-py pipeline, of LangChain's JSON",
    "redis_benchmark": "redis-benchmark, of bytes",
}
"""The peers, and what the tables call them."""

LANGCHAIN = ("ours", "in_memory", "reused", "documented")
"""Those that a runnable can be given."""

_WRITERS = ("documented", "encoding")
"""Those whose reading is that of others."""
ASLEEP = "cores asleep, "
"""How the groups are called that are measured with cores that may sleep."""
LONG = 1_000
"""The length of a history of which a window is read."""


@dataclass(frozen=True)
class Entry:
    """What one peer does in a group.

    Args:
        peer: Who does it.
        work: What, by its name in `benchmarks.worker`.
        options: How.
    """

    peer: str
    work: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Entries that are measured by turns.

    Args:
        name: What targets and tables know it by.
        entries: By name; that of a peer if it has but one.
        counted: Whether the server counts what one call of each sends.
        asleep: Whether cores may sleep meanwhile; see `benchmarks.cores`.
        many: Whether many calls are made at once, on any core.
    """

    name: str
    entries: dict[str, Entry]
    counted: bool = False
    asleep: bool = False
    many: bool = False


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Args:
        seconds: How long each entry is measured in all, about.
        limit: Seconds after which all entries should be done; who comes late is measured shorter.
        rounds: How often each is measured at least.
        turns: Lengths of histories that turns are taken on.
        reads: Lengths of histories that are read.
        sessions: How many take turns on one event loop.
        threads: How many take turns at the same time.
        imports: In how many fresh processes each thing is imported.
        keys: How many other keys there are while sessions are listed and cleared.
    """

    seconds: float = 1.5
    limit: float = 400
    rounds: int = 3
    turns: tuple[int, ...] = (0, 20, 100, 1_000)
    reads: tuple[int, ...] = (10, 100, 1_000, 10_000)
    sessions: int = 200
    threads: int = 16
    imports: int = 7
    keys: int = 1_000_000

    @property
    def slice(self) -> float:
        """Seconds that an entry is measured at a time."""
        return self.seconds / 40


FULL = Scale()
SHORT = Scale(
    seconds=0.03,
    rounds=1,
    turns=(20,),
    reads=(100, 1_000),
    sessions=20,
    threads=4,
    imports=1,
    keys=10_000,
)
"""Enough to see that it works; its figures say nothing."""


def groups(scale: Scale) -> list[Group]:
    """Give all groups."""
    return [
        # First what takes long for one round; the rest can be measured shorter if it gets late.
        *_storing(scale),
        _crowd("sessions", scale.sessions),
        _crowd("threads", scale.threads),
        *(_turns(form, way, size) for form in FORMS for way in WAYS for size in scale.turns),
        *_asleep(),
    ]


def _storing(scale: Scale) -> list[Group]:
    longest = max(scale.reads)
    last = {
        **_of_all("last", size=longest, count=LAST),
        **{
            f"ours, of {size}": Entry("ours", "last", {"size": size, "count": LAST, "way": "sync"})
            for size in scale.reads
            if LAST < size < longest
        },
    }
    return [
        Group("add", _of_all("add", more=_WRITERS, size=20), counted=True),
        *(Group(f"read {size}", _of_all("read", size=size)) for size in scale.reads),
        Group("last 20", last, counted=True),
        Group(
            "exchange", _of_all("exchange", more=("documented", "encoding"), size=20), counted=True
        ),
    ]


def _of_all(work: str, more: tuple[str, ...] = (), **options: Any) -> dict[str, Entry]:
    sync = ("ours", "reused", *more, "llama_index", "bare")
    entries = {peer: Entry(peer, work, {**options, "way": "sync"}) for peer in sync}
    for peer in ("ours", "llama_index", "openai_agents", "bare"):
        entries[f"{peer}, async"] = Entry(peer, work, {**options, "way": "async"})
    if work in ("add", "last"):
        entries["redis_benchmark"] = Entry("redis_benchmark", work, options)
    return entries


def _turns(form: str, way: str, size: int) -> Group:
    options = {"form": form, "way": way, "size": size}
    entries = {peer: Entry(peer, "turn", options) for peer in LANGCHAIN}
    if size == LAST:
        long = {**options, "size": LONG, "window": LAST}
        entries["ours, window of 20 in 1,000"] = Entry("ours", "turn", long)
    return Group(f"turn {form} {way} {size}", entries, counted=size == LAST)


def _asleep() -> list[Group]:
    add = {
        peer: Entry(peer, "add", {"size": LAST, "way": "sync"})
        for peer in ("ours", "reused", "bare", "encoding")
    }
    turns = {
        f"turn {form} {way} {LAST}": {
            peer: Entry(peer, "turn", {"form": form, "way": way, "size": LAST})
            for peer in ("ours", "in_memory")
        }
        for form in FORMS
        for way in WAYS
    }
    return [
        Group(f"{ASLEEP}{name}", entries, asleep=True)
        for name, entries in {"add": add, **turns}.items()
    ]


def _crowd(work: str, sessions: int) -> Group:
    options = {"sessions": sessions, "form": "messages", "size": 20}
    return Group(work, {peer: Entry(peer, work, options) for peer in LANGCHAIN}, many=True)
