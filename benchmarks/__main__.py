"""Measures this package and its peers, and writes the page and the plots.

``python -m benchmarks`` is what ``make bench`` runs; ``--short`` sees in less than a minute that it
works, with what is installed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks import imports, million_keys, report
from benchmarks.contenders import Contender, database_of, start
from benchmarks.conversations import Conversations, source
from benchmarks.cores import Cores
from benchmarks.environments import REQUIREMENTS, NotInstalledError, build, find
from benchmarks.measure import Measuring, Results
from benchmarks.plan import FULL, NAMES, SHORT, Scale, groups
from benchmarks.server import CountedServer, server
from benchmarks.setup import setup_of


def main() -> None:
    """Read the command line, measure, and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only see that it works")
    parser.add_argument("--output", type=Path, default=report.DOCS, help="a folder (docs)")
    parser.add_argument("--conversations", type=Path, default=source())
    parser.add_argument("--from", dest="again", type=Path, help="write what was measured before")
    options = parser.parse_args()
    if options.again:
        results = Results.read(options.again)
    else:
        results = measure(SHORT if options.short else FULL, options.conversations)
    report.write(results, options.output)


def measure(scale: Scale, conversations: Path) -> Results:
    """Measure all."""
    began = time.perf_counter()
    results = Results()
    pythons = _pythons(results, install=scale is FULL)
    with Cores() as cores, server() as running:
        contenders, missing = start(running, conversations, pythons)
        results.missing.extend(missing)
        try:
            results.setup = setup_of(running, contenders, conversations, cores)
            until = began + scale.limit
            measuring = Measuring(
                contenders, running, results, cores=cores, scale=scale, until=until
            )
            for group in measuring.measure(groups(scale)):
                print(f"{time.perf_counter() - began:4.0f} s  {group.name}", flush=True)
            _store(results, running, contenders, conversations)
        finally:
            for contender in contenders.values():
                contender.stop()
        print(f"{time.perf_counter() - began:4.0f} s  {scale.keys:,} keys", flush=True)
        million_keys.measure(running, results, scale.keys, scale.imports)
    print(f"{time.perf_counter() - began:4.0f} s  imports", flush=True)
    imports.measure(results, scale.imports)
    results.setup["took"] = time.perf_counter() - began
    results.add("run", "ours", {"seconds": results.setup["took"]})
    return results


def _pythons(results: Results, *, install: bool) -> dict[str, str]:
    pythons = {}
    for peer in REQUIREMENTS:
        try:
            pythons[peer] = build(peer) if install else find(peer)
        except NotInstalledError as error:
            results.missing.append(f"{NAMES[peer]}: {error}")
    return pythons


def _store(
    results: Results, running: CountedServer, contenders: dict[str, Contender], conversations: Path
) -> None:
    messages = sum(map(len, Conversations(conversations).whole))
    for peer, contender in contenders.items():
        if peer in ("ours", "reused", "llama_index", "openai_agents"):
            contender.prepare("stored", "store", {})
            contender.once("stored")
            taken = running.bytes_in(database_of(peer))
            results.add("stored", peer, {"bytes": taken / messages})
            contender.finish()
    running.empty()


if __name__ == "__main__":
    main()
