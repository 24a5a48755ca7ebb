"""What mkdocs does besides: links out of docs/, and a look at what the pages would fetch."""

from __future__ import annotations

import logging
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

_logger = logging.getLogger("mkdocs.hooks.site")
_LINK = re.compile(r"(?P<text>\[[^\]]*\])\((?P<path>\.\./[^)#]*)\)")
_FETCHED = re.compile(
    r"<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)"
)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Lead links out of docs/ to the repository; where that has no URL, their text stays.

    The mark by which the tests leave a snippet out is none that mkdocs knows.
    """
    if page.parent is None:  # nothing stands beside it in the menu
        page.meta.setdefault("hide", ["navigation"])
    root = Path(config.docs_dir).parent
    folder = PurePosixPath(page.file.src_uri).parent

    def moved(link: re.Match[str]) -> str:
        target = (Path(config.docs_dir) / folder / link["path"]).resolve()
        if target.is_relative_to(config.docs_dir):
            return link[0]
        if not target.exists():
            _logger.warning("%s links to %s, which is not there", page.file.src_uri, link["path"])
        if not config.repo_url:
            name = link["text"][1:-1]
            return name if "`" in name else f"`{name}`"
        place = target.relative_to(root).as_posix()
        return f"{link['text']}({config.repo_url.rstrip('/')}/blob/main/{place})"

    return _LINK.sub(moved, markdown.replace("```python no-run", "```python"))


def on_post_build(*, config: MkDocsConfig, **_: Any) -> None:
    """Warn of pages that would fetch something from elsewhere; a strict build fails of it."""
    for page in Path(config.site_dir).rglob("*.html"):
        for found in _FETCHED.findall(page.read_text()):
            _logger.warning("%s fetches %s", page.relative_to(config.site_dir), found)
