"""What importing costs: seconds and memory over what was imported before, in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.contenders import ROOT, environment

if TYPE_CHECKING:
    from benchmarks.measure import Results

_CORE = "import langchain_core.messages, redis"
_COMMUNITY = (
    "import warnings; warnings.simplefilter('ignore')\n"
    "from langchain_community.chat_message_histories.redis import RedisChatMessageHistory"
)
_OURS = "from langchain_redis_memory import RedisMemory"
_HISTORY = f"{_OURS}\nRedisMemory.from_url('redis://localhost').history('a', 'u', 's')"

CASES = {
    "package": (_CORE, "import langchain_redis_memory"),
    "RedisMemory": (_CORE, _OURS),
    "history": (f"{_COMMUNITY}\nimport redis", _HISTORY),
    "history and redis": (_COMMUNITY, _HISTORY),
    "langchain-community": (_CORE, _COMMUNITY),
    "LangChain's wrapper": (
        _CORE,
        "from langchain_core.runnables.history import RunnableWithMessageHistory",
    ),
}
"""What is imported first, and what is measured then."""

HEAVY = ("numpy", "langchain_community", "langchain_core.runnables")
"""Modules that are looked for when all is imported."""

_PROGRAM = """
import json, sys, time
def memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
{before}
memory_before, began = memory(), time.perf_counter()
{measured}
seconds = time.perf_counter() - began
print(json.dumps({{
    "seconds": seconds,
    "bytes": memory() - memory_before,
    **{{name: name in sys.modules for name in {heavy!r}}},
}}))
"""


def measure(results: Results, rounds: int) -> None:
    """Measure each case in so many fresh processes, by turns."""
    if not sys.platform.startswith("linux"):
        results.missing.append("imports: their memory is read from /proc, which only Linux has")
        return
    for turn in range(-1, rounds):
        for name, (before, measured) in CASES.items():
            program = _PROGRAM.format(before=before, measured=measured, heavy=HEAVY)
            told = subprocess.run(
                [sys.executable, "-c", program],
                capture_output=True,
                check=True,
                cwd=ROOT,
                env=environment(),
            )
            if turn >= 0:  # the first one writes the bytecode
                results.add("imports", name, json.loads(told.stdout))
