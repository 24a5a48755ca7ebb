"""The machine and what is installed on it."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.conversations import Conversations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.contenders import Contender
    from benchmarks.cores import Cores
    from benchmarks.server import CountedServer


def setup_of(
    server: CountedServer, contenders: Mapping[str, Contender], conversations: Path, cores: Cores
) -> dict[str, Any]:
    """Tell what somebody who repeats it has to know."""
    whole = Conversations(conversations).whole
    return {
        "processor": f"{_cpu()}, {os.cpu_count()} cores",
        "cores": "kept awake" if cores.awake else "asleep when they wait",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "server": f"{server.name()}, on TCP at 127.0.0.1, nothing written to disk",
        "conversations": (
            f"{conversations.name}: {len(whole)} conversations, {sum(map(len, whole)):,} messages"
        ),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "load": os.getloadavg()[0],
        "versions": {peer: contender.versions() for peer, contender in contenders.items()},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
