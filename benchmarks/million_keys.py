"""A million keys: sessions among them are listed and cleared, and all are looked at.

``python -m benchmarks.million_keys`` measures the second alone.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage

from langchain_redis_memory import RedisMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.measure import Results
    from benchmarks.server import CountedServer

SESSIONS = (1, 10, 100)
_INDEX = "agent:memory:support:alice:sessions"
_FILL = "for i = ARGV[1], ARGV[2] do redis.call('SET', 'other:' .. i, 'x') end"
_AT_ONCE = 20_000
"""How many keys one script makes: a server that is busy with one for 5 s refuses all else."""


def measure(server: CountedServer, results: Results, keys: int, rounds: int) -> None:
    """List 1, 10 and 100 sessions and clear one, among so many keys."""
    with RedisMemory.from_url(server.url(0)) as memory:
        alone = _peak_memory(lambda: _clear(memory))
        for first in range(1, keys + 1, _AT_ONCE):
            server.client.eval(_FILL, 0, first, min(first + _AT_ONCE - 1, keys))
        for sessions in SESSIONS:
            _fill(memory, sessions)
            _by_turns(
                results,
                f"list {sessions}",
                {
                    "ours": lambda: memory.sessions("support", "alice"),
                    "bare": lambda: server.client.zrange(_INDEX, 0, -1, withscores=True),
                },
                rounds * 20,
            )
        clearing = {"ours": lambda: _clear(memory), "bare": lambda: _scan(server.client)}
        _by_turns(results, "clear", clearing, rounds)
        among = _peak_memory(lambda: _clear(memory))
        results.add("clear", "ours", {"bytes alone": alone, "bytes": among})
    server.empty()
    look(server, results, keys, 1)


def look(server: CountedServer, results: Results, keys: int, rounds: int) -> None:
    """Have `stats` and `doctor` look at a few keys, and at so many; tell how long they held it.

    The server notes every command that took it longer than a millisecond (SLOWLOG). On a machine
    that is busy some do because the server itself had to wait, so a command that takes no time, and
    is sent as often as the others, is noted beside them.
    """
    with RedisMemory.from_url(server.url(0)) as memory:
        calls = {"stats": memory.stats, "doctor": memory.doctor}
        _fill_with_ours(server, 1, 1000)
        few = _peak_memory(memory.stats)
        _fill_with_ours(server, 1001, keys)
        for name, call in calls.items():
            for _ in range(rounds):
                found = _looked(server, call)
                results.add("look", name, found)
                print(f"{found['seconds']:4.0f} s  {name}, {found['held']:.6f} s", flush=True)
        figures = {"bytes among few": few, "bytes": _traced(memory.stats)}
        results.add("look", "stats", figures)
        commands = int(results.value("look", "stats", "commands") or 0)
        for _ in range(rounds):
            results.add("look", "nothing", _held(server, lambda: _send_nothing(server, commands)))
    server.empty()


_FILL_WITH_OURS = """
local text = string.rep('x', 300)
local element = '{"type":"human","data":{"type":"human","content":"' .. text .. '"}}'
for i = ARGV[1], ARGV[2] do
  local kind, agent = i % 10, 'agent:memory:agent' .. i % 7
  local user = agent .. ':user' .. i % 50000
  if kind < 6 then
    redis.call('RPUSH', user .. ':s' .. i, element, element)
    redis.call('EXPIRE', user .. ':s' .. i, 3600 + i)
  elseif kind < 8 then redis.call('ZADD', agent .. ':user' .. i .. ':sessions', i, 's')
  elseif kind == 8 then redis.call('SET', 'agent:profile:user' .. i, '{"language":"en"}')
  else redis.call('SET', agent .. ':execution_cache:' .. i, element, 'EX', 86400) end
end
"""
_LONG_SESSION = "agent:memory:agent0:user0:long"


def _fill_with_ours(server: CountedServer, first: int, last: int) -> None:
    """Make keys as a memory has them, and among the first a session of 100,000 messages."""
    for begin in range(first, last + 1, _AT_ONCE):
        end = min(begin + _AT_ONCE - 1, last)
        server.client.eval(_FILL_WITH_OURS, 0, begin, end)
    if first == 1:
        element = b'{"type":"human","data":{"type":"human","content":"' + b"x" * 300 + b'"}}'
        for _ in range(100):
            server.client.rpush(_LONG_SESSION, *[element] * 1000)


def _looked(server: CountedServer, call: Callable[..., object]) -> dict[str, float]:
    seen: list[int] = []
    figures = _held(server, lambda: call(progress=lambda walked: seen.append(walked.passed)))
    steps = [after - before for before, after in itertools.pairwise([0, *seen])]
    return {**figures, "progress": len(seen), "largest step": max(steps)}


def _held(server: CountedServer, call: Callable[[], object]) -> dict[str, float]:
    """Tell how long the commands of a call held the server, in seconds."""
    client = server.client
    client.config_set("slowlog-log-slower-than", 100)
    client.config_set("slowlog-max-len", 1_000_000)
    client.slowlog_reset()
    commands = client.info("stats")["total_commands_processed"]
    began = time.perf_counter()
    call()
    taken = time.perf_counter() - began
    commands = client.info("stats")["total_commands_processed"] - commands
    client.config_set("slowlog-log-slower-than", -1)
    noted = [entry["duration"] / 1e6 for entry in client.slowlog_get(1_000_000)]
    client.slowlog_reset()
    return {
        "seconds": taken,
        "commands": commands,
        "held": max(noted, default=0.0001),
        "long holds": sum(duration > LONG_HOLD for duration in noted),
    }


LONG_HOLD = 0.001
"""Seconds for which nobody shall hold a server."""


def _send_nothing(server: CountedServer, commands: int) -> None:
    for _ in range(commands // _PIECE):
        pipeline = server.client.pipeline(transaction=False)
        for _ in range(_PIECE):
            pipeline.execute_command("PTTL", "agent:none")
        pipeline.execute()


_PIECE = 300


def _by_turns(
    results: Results, group: str, calls: Mapping[str, Callable[[], object]], rounds: int
) -> None:
    for turn in range(-1, rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn >= 0:
                results.add(group, name, {"seconds": time.perf_counter() - began})


def _peak_memory(call: Callable[[], object]) -> int:
    call()  # once before, so that what is loaded or connected at first use is not counted
    return _traced(call)


def _traced(call: Callable[[], object]) -> int:
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def _fill(memory: RedisMemory, sessions: int) -> None:
    for number in range(sessions):
        memory.conversation("support", "alice", f"s{number}").append([HumanMessage("hello")])


def _clear(memory: RedisMemory) -> None:
    memory.conversation("support", "bob", "s1").append([HumanMessage("hello")])
    assert memory.clear_session("support", "bob", "s1").messages == 1


def _scan(client: Any) -> None:
    cursor = None
    while cursor != 0:
        cursor, _ = client.scan(cursor or 0, count=1000)


def main() -> None:
    """Look at many keys, and keep what that took beside what was measured before."""
    from benchmarks.measure import Results  # noqa: PLC0415 - it is imported by who is measured
    from benchmarks.server import server  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m benchmarks.million_keys")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--into", type=Path, help="a results.json, of which the rest stays")
    options = parser.parse_args()
    results = Results.read(options.into) if options.into else Results()
    results.rounds.pop("look", None)
    results.rounds["look"] = {}
    with server() as running:
        look(running, results, options.keys, options.rounds)
    for name, figures in results.rounds["look"].items():
        for figure, values in figures.items():
            print(f"{name}: {figure}: {statistics.median(values):g} of {values}")
    if options.into:
        results.write(options.into)


if __name__ == "__main__":
    main()
