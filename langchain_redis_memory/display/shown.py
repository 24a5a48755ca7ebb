"""What IPython asks a value that shows itself; see `cards` for what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_redis_memory.display.cards import Card


class Shown:
    """A value that a notebook shows as HTML, and IPython in a terminal as text.

    Neither is its ``repr``, which ends in logs and so holds nobody's words. What is shown is read
    for that, in one round trip that puts off no expiry. Where it cannot be read, this is shown.
    """

    __slots__ = ()

    def _card(self) -> Card:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        from langchain_redis_memory.display.html import as_html  # noqa: PLC0415 - loaded when shown

        return as_html(self._card())

    def _repr_mimebundle_(self, **formats: Any) -> dict[str, str]:
        """Give both forms of one reading; IPython takes those that were asked for."""
        from langchain_redis_memory.display.html import as_html  # noqa: PLC0415 - loaded when shown
        from langchain_redis_memory.display.plain import as_text  # noqa: PLC0415 - the same

        del formats
        card = self._card()
        return {"text/plain": as_text(card), "text/html": as_html(card)}
