"""What IPython asks a value that shows itself; see `cards` for what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_redis_memory.display.cards import Card


class Shown:
    """A value that a notebook shows as HTML, and IPython in a terminal as text.

    Neither is its ``repr``, which ends in logs and so holds nobody's words. What is shown is read
    for that, and reading it puts off no expiry. Where it cannot be read, this is shown.
    """

    __slots__ = ()

    def _card(self) -> Card:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        from langchain_redis_memory.display import html  # noqa: PLC0415 - loaded when shown

        return html.written(self._card())

    def _repr_mimebundle_(self, **formats: Any) -> dict[str, str]:
        """Give both forms of one reading; IPython takes those that were asked for."""
        from langchain_redis_memory.display import html, plain  # noqa: PLC0415 - loaded when shown

        del formats
        card = self._card()
        return {"text/plain": plain.written(card), "text/html": html.written(card)}
