"""What a notebook shows of a memory, its conversations and profiles; loaded when it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_redis_memory.display.shown import Shown

__all__ = ["as_html", "as_text"]


def as_html(value: Shown) -> str:
    """Give what a notebook shows of a value: HTML to stand in a page, with everything escaped."""
    return value._repr_html_()


def as_text(value: Shown) -> str:
    """Give what IPython shows of a value in a terminal."""
    return value._repr_mimebundle_()["text/plain"]
