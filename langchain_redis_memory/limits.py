"""How long a conversation lives, how much of it is read, and how much is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.window import Window, check_count

SEVEN_DAYS = 7 * 24 * 3600

_LONGEST_TTL = 100 * 366 * 24 * 3600


def check_ttl(ttl: object, name: str = "ttl") -> None:
    """Refuse what is neither None nor a time to live in seconds."""
    if ttl is not None and (
        isinstance(ttl, bool)
        or not isinstance(ttl, int | float)
        # False for NaN and infinity too; Python compares integers of any size with it.
        or not 0.001 <= ttl <= _LONGEST_TTL  # noqa: PLR2004 - Redis counts milliseconds
    ):
        raise ConfigurationError(
            f"{name} must be a positive number of seconds (100 years at most), or None for never, "
            f"not {ttl!r:.80}"
        )


def in_milliseconds(seconds: float) -> int:
    """Give seconds as Redis counts them."""
    return int(seconds * 1000)


@lru_cache(maxsize=64)
def _newest(messages: int) -> Window:
    return Window(messages=messages)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a conversation.

    Args:
        ttl: Seconds after the last read or write until it expires; None for never.
        window: What a read gives: a number of messages or a `Window`; None for all.
        max_messages: How many messages are kept, in whole turns (the newest turn always); None
            for all. A system message at the start is kept unless the window says otherwise.

    Raises:
        ConfigurationError: One of them cannot be used.
    """

    ttl: float | None = SEVEN_DAYS
    window: Window | int | None = None
    max_messages: int | None = None

    def __post_init__(self) -> None:
        check_ttl(self.ttl)
        check_count("max_messages", self.max_messages)
        if not isinstance(self.window, Window):
            check_count("window", self.window)

    @property
    def ttl_ms(self) -> int:
        """The time to live in milliseconds, with 0 for never."""
        return 0 if self.ttl is None else in_milliseconds(self.ttl)

    @property
    def reading(self) -> Window | None:
        """The window as a `Window`."""
        return _newest(self.window) if isinstance(self.window, int) else self.window

    @property
    def keeps_system(self) -> bool:
        """Whether a leading system message outlives the messages that follow it."""
        return not isinstance(self.window, Window) or self.window.keep_system

    def changed(self, changes: dict[str, Any]) -> Limits:
        """Give these limits with some changed, refusing names that are none of them."""
        for name in changes:
            if name not in self.__dataclass_fields__:
                known = ", ".join(self.__dataclass_fields__)
                raise ConfigurationError(f"there is no limit {name!r}; there are {known}")
        return replace(self, **changes) if changes else self
