"""Sessions among a million other keys: listing them, and clearing one; beside redis-py itself."""

from __future__ import annotations

import time
import tracemalloc
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
