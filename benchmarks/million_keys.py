"""Sessions among a million other keys: listing them, and clearing one.

``python -m benchmarks.million_keys``
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage

from benchmarks.measure import medians, peak_memory
from langchain_redis_memory import RedisMemory

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from servers import Server

_FILL = "for i = 1, ARGV[1] do redis.call('SET', 'other:' .. i, 'x') end"
_INDEX = "agent:memory:support:alice:sessions"
_LINE = "{:<48} {:>12} {:>12} {:>7}"


def main() -> None:
    """Print each thing beside its measure, with the ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million_keys", description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    keys: int = parser.parse_args().keys
    with tempfile.TemporaryDirectory(prefix="lrm-bench-") as directory:
        server = Server(directory)
        try:
            with RedisMemory.from_url(server.url) as memory:
                _run(server.client, memory, keys)
        finally:
            server.stop()


def _run(client: Any, memory: RedisMemory, keys: int) -> None:
    before = peak_memory(lambda: _clear(memory))
    client.eval(_FILL, 0, keys)
    print(f"{client.info('server')['server_name']}, {client.dbsize():,} keys\n")
    print(_LINE.format("", "ours", "bare", "ratio"))
    for sessions in (1, 10, 100):
        _fill(memory, sessions)
        _row(
            f"list {sessions} sessions / one ZRANGE",
            medians(
                {
                    "ours": lambda: memory.sessions("support", "alice"),
                    "bare": lambda: client.zrange(_INDEX, 0, -1, withscores=True),
                },
                200,
            ),
        )
    _row(
        "clear a session / SCAN of all keys, COUNT 1000",
        medians({"ours": lambda: _clear(memory), "bare": lambda: _scan(client)}, 9),
    )
    after = peak_memory(lambda: _clear(memory))
    print(
        f"\npeak memory of the client while clearing: {before:,} bytes without other keys, ", end=""
    )
    print(f"{after:,} bytes with them")


def _row(what: str, seconds: dict[str, float]) -> None:
    ours, bare = seconds["ours"], seconds["bare"]
    print(_LINE.format(what, f"{ours * 1e3:.3f} ms", f"{bare * 1e3:.3f} ms", f"{ours / bare:.2f}"))


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


if __name__ == "__main__":
    main()
