"""Asks whether the links of the documentation to other sites lead somewhere; `make links` runs it.

It needs the network, and others' sites may be away: so no other check depends on it.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "langchain_redis_memory").rglob("*.py"))
TIMEOUT = 20.0
"""Seconds."""

_URL = re.compile(r"https://[^\s)>\"'`|\\{}]+")
_OWN = re.compile(r"https://(?:[\w.-]*\.example|example\.|localhost|127\.)")
# Sites that refuse programs are there nevertheless.
_THERE = {401, 403, 405, 429}


def found() -> dict[str, list[str]]:
    """Give each link with its pages; hosts that stand for the reader's own are left out."""
    links: dict[str, list[str]] = {}
    for page in PAGES:
        for url in _URL.findall(page.read_text()):
            if not _OWN.match(url):
                links.setdefault(url.rstrip(".,;:#"), []).append(str(page.relative_to(ROOT)))
    return links


def problem(url: str) -> str:
    """Ask for a page, and tell what is wrong with it, or nothing."""
    request = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code in _THERE else f"{error.code} {error.reason}"
    except OSError as error:
        return str(error)


def main() -> int:
    """Print the links that lead nowhere; 1 if there are some, or no links at all."""
    links = found()
    with ThreadPoolExecutor(8) as pool:
        problems = dict(zip(links, pool.map(problem, links), strict=True))
    for url, what in problems.items():
        if what:
            print(f"{url}: {what} ({', '.join(sorted(set(links[url])))})")
    bad = sum(map(bool, problems.values()))
    print(f"{len(links)} links, {bad} of which lead nowhere")
    return 1 if bad or not links else 0


if __name__ == "__main__":
    sys.exit(main())
