"""What a notebook shows of a memory, its conversations and profiles; loaded when it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_redis_memory.display.shown import Shown
from langchain_redis_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_redis_memory.display.cards import Card

__all__ = ["as_html", "as_text"]


def as_html(value: Shown) -> str:
    """Give what a notebook shows of a value: HTML to stand in a page, with everything escaped.

    Raises:
        ConfigurationError: It is nothing of this package that notebooks show.
    """
    from langchain_redis_memory.display import html  # noqa: PLC0415 - loaded when shown

    return html.written(_card_of(value))


def as_text(value: Shown) -> str:
    """Give what IPython shows of a value in a terminal.

    Raises:
        ConfigurationError: See `as_html`.
    """
    from langchain_redis_memory.display import plain  # noqa: PLC0415 - loaded when shown

    return plain.written(_card_of(value))


def _card_of(value: object) -> Card:
    if not isinstance(value, Shown):
        raise ConfigurationError(
            f"a {type(value).__name__} cannot be shown; give a memory, or what one gives: a "
            "history, a profile, a page of sessions"
        )
    return value._card()  # noqa: SLF001 - of this package
