"""A process that forks while turns go on: ``python -m faults.forked``, for `forks`.

Its own process, since a fork takes along whatever else a process does.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from faults.load import Attempt, Load
from langchain_redis_memory import RedisMemory


def main(url: str, options: str, flavour: str, children: str) -> None:
    """Print how the turns of parent and children ended, as JSON."""
    memory = RedisMemory.from_url(url, **json.loads(options))
    ended: list[dict[str, Any]] = []
    with Load(memory, flavour, callers=4) as turns:
        turns.go_on(0.1)
        for _ in range(int(children)):
            ended += _in_child(memory, flavour)
            turns.go_on(0.05)  # the parent's connections are as they were
    json.dump(ended + _told(turns), sys.stdout)


def _in_child(memory: RedisMemory, flavour: str) -> list[dict[str, Any]]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with Load(memory, flavour, callers=4, turns=10) as turns:
                pass
            with os.fdopen(writing, "w") as pipe:
                json.dump(_told(turns), pipe)
            status = 0
        finally:
            os._exit(status)  # nothing of the parent's is to be ended here
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, "the child failed"
    result: list[dict[str, Any]] = json.loads(said)
    return result


def _told(turns: Load) -> list[dict[str, Any]]:
    assert not turns.record.wrong, turns.record.wrong[:3]
    return [asdict(_with_text(attempt)) for attempt in turns.record.attempts]


def _with_text(attempt: Attempt) -> Attempt:
    if attempt.error is not None:
        attempt.error = repr(attempt.error)  # type: ignore[assignment]  # on its way as JSON
    return attempt


if __name__ == "__main__":
    main(*sys.argv[1:])
