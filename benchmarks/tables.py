"""The tables of the page: each from the results, as Markdown."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import million_keys
from benchmarks.layout import NONE, cell, duration, name_of, table
from benchmarks.plan import ASLEEP, FORMS, LANGCHAIN, NAMES, WAYS
from benchmarks.targets import MIB, TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Results

_FORMS = {"messages": "messages", "dict": "a dict", "prompt": "prompt and model"}
_SOME = {
    "add": "add a turn",
    **{f"turn {form} {way} 20": f"a turn, {_FORMS[form]}, {way}" for form in FORMS for way in WAYS},
}
"""Groups of which more is told, and what they are called."""


def tables(results: Results) -> dict[str, str]:
    """Make all tables, by the names that the page has for their places."""
    return {
        "setup": _setup(results),
        "targets": _targets(results),
        "missing": _missing(results),
        "add": _storing(results, ["add"], ["a turn of two messages"]),
        "read": _storing(results, *_lengths(results)),
        "read mean": _read_mean(results),
        "exchange": _storing(results, ["exchange"], ["read 20 messages, add a turn"]),
        "turns sync": _turns(results, "sync"),
        "turns async": _turns(results, "async"),
        "asleep": _asleep(results),
        "crowds": _crowds(results),
        "sent": _sent(results),
        "imports": _imports(results),
        "stored": _stored(results),
        "million keys": _million_keys(results),
        "look": _look(results),
    }


def _setup(results: Results) -> str:
    setup = results.setup
    rows = [
        ["processor", setup["processor"]],
        ["cores", setup["cores"]],
        ["memory", setup["memory"]],
        ["system", setup["system"]],
        ["server", setup["server"]],
        ["conversations", setup["conversations"]],
        ["measured on", setup["date"]],
        ["load when it began", f"{setup['load']:.1f}, of the minute before"],
        ["took", f"{setup['took'] / 60:.1f} minutes"],
        [
            "spread",
            f"the middle half of an entry's rounds spans {results.spread():.0%} of its median",
        ],
    ]
    rows += [
        [NAMES[peer], ", ".join(f"{package} {version}" for package, version in versions.items())]
        for peer, versions in setup["versions"].items()
    ]
    return table(["", ""], rows)


def _targets(results: Results) -> str:
    rows = []
    for heading, targets in TARGETS.items():
        rows.append([f"**{heading}**", "", "", ""])
        for target in targets:
            measured = target.measured(results)
            if measured is None:
                verdict, told = "**not measured**", NONE
            else:
                verdict = "met" if target.is_met(measured) else "**falls short**"
                told = f"{_figure(measured)} {target.unit_name}".strip()
            rows.append([target.text, target.limit, told, verdict])
    return table(["", "aim", "measured", ""], rows)


def _figure(measured: float) -> str:
    return f"{measured:,.0f}" if measured >= 1000 else f"{measured:.3g}"  # noqa: PLR2004 - digits


def _missing(results: Results) -> str:
    if not results.missing:
        return "All peers were measured."
    lines = "\n".join(f"> - {what}" for what in results.missing)
    return f"> **Not measured:**\n>\n{lines}"


def _entries(results: Results, groups: Sequence[str]) -> list[str]:
    there = {name for group in groups for name in results.rounds.get(group, {})}
    order = list(NAMES)
    return sorted(there, key=lambda name: (", async" in name, order.index(name.partition(", ")[0])))


def _storing(results: Results, groups: Sequence[str], heads: Sequence[str]) -> str:
    rows = []
    for name in _entries(results, groups):
        if ", of " in name:
            continue
        # What is asynchronous is compared with ours on an event loop.
        own = "ours, async" if name.endswith("async") else "ours"
        rows.append([name_of(name), *(cell(results, group, name, own) for group in groups)])
    return table(["", *heads], rows)


def _lengths(results: Results) -> tuple[list[str], list[str]]:
    reads = [group for group in results.rounds if group.startswith("read ")]
    sizes = [int(group.split()[1]) for group in reads]
    heads = [*(f"all {size:,}" for size in sizes), f"the last 20 of {max(sizes):,}"]
    return [*reads, "last 20"], heads


def _read_mean(results: Results) -> str:
    groups, heads = _lengths(results)
    rows = [
        [name_of(name), *(cell(results, group, name, figure="mean") for group in groups[:-1])]
        for name in _entries(results, groups[:-1])
        if "async" not in name
    ]
    return table(["", *heads[:-1]], rows)


def _asleep(results: Results) -> str:
    rows = []
    for group, what in _SOME.items():
        for entry in results.rounds.get(ASLEEP + group, {}):
            cells = (
                cell(results, group, entry),
                cell(results, group, entry, figure="mean"),
                cell(results, ASLEEP + group, entry),
            )
            rows.append([what, name_of(entry), *cells])
    return table(["", "", "median", "mean", "median, with cores that may sleep"], rows)


def _turns(results: Results, way: str) -> str:
    groups = [group for group in results.rounds if group.startswith(f"turn messages {way} ")]
    sizes = [group.rsplit(" ", 1)[1] for group in groups]
    rows = []
    for form in FORMS:
        rows.append([f"**{_FORMS[form]}**", *("" for _ in sizes)])
        for peer in LANGCHAIN:
            cells = (cell(results, f"turn {form} {way} {size}", peer) for size in sizes)
            rows.append([NAMES[peer], *cells])
        windowed = results.value(f"turn {form} {way} 20", "ours, window of 20 in 1,000")
        last = [duration(windowed) if size == "1000" else "" for size in sizes]
        rows.append(["this package, with a window of 20", *last])
    return table(["messages stored before", *(f"{int(size):,}" for size in sizes)], rows)


def _crowds(results: Results) -> str:
    rows = []
    for peer in LANGCHAIN:
        stall = results.value("sessions", peer, "stall")
        connections = results.value("sessions", peer, "connections")
        rows.append(
            [
                NAMES[peer],
                cell(results, "sessions", peer, figure="mean"),
                duration(stall),
                NONE if connections is None else f"{connections:.0f}",
                cell(results, "threads", peer, figure="mean"),
            ]
        )
    heads = ["a turn of many sessions", "longest stall", "connections", "a turn of many threads"]
    return table(["", *heads], rows)


def _sent(results: Results) -> str:
    rows = []
    groups = {**_SOME, "exchange": "read and add", "last 20": "the last 20"}
    for group, what in groups.items():
        for entry, sent in results.sent.get(group, {}).items():
            if entry in ("in_memory", "redis_benchmark") or ", of " in entry or "window" in entry:
                continue
            rows.append([what, name_of(entry), *_counts(sent)])
    return table(["", "", "commands", "trips", "connections"], rows)


def _counts(sent: dict[str, Any]) -> list[str]:
    commands = (
        f"{times} {command}" if times > 1 else command
        for command, times in sent["commands"].items()
    )
    return [", ".join(commands), str(sent["trips"]), str(sent["connections"])]


def _imports(results: Results) -> str:
    names = {
        "package": "`import langchain_redis_memory`",
        "RedisMemory": "`from langchain_redis_memory import RedisMemory`",
        "history": "the first history, over langchain-community's class and its redis",
        "history and redis": "the same, over langchain-community's class alone",
        "langchain-community": "langchain-community's `RedisChatMessageHistory`",
        "LangChain's wrapper": "LangChain's `RunnableWithMessageHistory`",
    }
    rows = []
    for case, name in names.items():
        taken = results.value("imports", case, "bytes")
        loaded = [
            f"`{module}`"
            for module in ("numpy", "langchain_community", "langchain_core.runnables")
            if results.value("imports", case, module)
        ]
        rows.append(
            [
                name,
                duration(results.value("imports", case)),
                NONE if taken is None else f"{taken / MIB:.1f} MiB",
                ", ".join(loaded) or "none of them",
            ]
        )
    return table(["", "time", "memory", "loaded then"], rows)


def _stored(results: Results) -> str:
    rows = [
        [NAMES[peer], f"{results.value('stored', peer, 'bytes'):.0f}"]
        for peer in results.rounds.get("stored", {})
    ]
    return table(["", "bytes a message"], rows)


def _million_keys(results: Results) -> str:
    groups = {f"list {n}": (f"list {n} sessions", "one ZRANGE") for n in million_keys.SESSIONS}
    groups["clear"] = ("clear a session", "SCAN of all keys with COUNT 1000")
    rows = [
        [
            what,
            duration(results.value(group, "ours")),
            f"{plain}: {cell(results, group, 'bare')}",
        ]
        for group, (what, plain) in groups.items()
    ]
    return table(["", "this package", "plain redis-py"], rows)


def _look(results: Results) -> str:
    names = {
        "stats": "`memory.stats`",
        "doctor": "`memory.doctor`",
        "nothing": "as many commands that do nothing",
    }
    rows = []
    for entry, name in names.items():
        value = partial(results.value, "look", entry)
        commands, long_holds, calls = value("commands"), value("long holds"), value("progress")
        few, many = value("bytes among few"), value("bytes")
        rows.append(
            [
                name,
                duration(value("seconds")),
                *(NONE if n is None else f"{n:,.0f}" for n in (commands, calls)),
                duration(value("held")),
                NONE if long_holds is None else f"{long_holds:.0f}",
                NONE if few is None or many is None else f"{few / MIB:.1f}, {many / MIB:.1f} MiB",
            ]
        )
    heads = ["takes", "commands", "calls of progress", "longest hold", "holds over 1 ms"]
    return table(["", *heads, "memory among 1,000 keys, and all"], rows)
