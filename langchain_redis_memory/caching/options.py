"""How the results of a function are kept: the options of `ExecutionCache.cached`, checked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, TypedDict

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.limits import check_ttl

_SHORTEST_LEASE, _LONGEST_LEASE = 0.1, 3600.0


class CachedOptions(TypedDict, total=False):
    """The options of `ExecutionCache.cached`."""

    ttl: float | EllipsisType | None
    ignore: Collection[str]
    key: Callable[..., Any] | None
    name: str | None
    version: str | int | None
    errors: tuple[type[Exception], ...]
    error_ttl: float | EllipsisType | None
    lease: float
    wait: float | None
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the results of a function are kept; see `ExecutionCache.cached`."""

    ttl: float | None
    ignore: Collection[str] = ()
    key: Callable[..., Any] | None = None
    name: str | None = None
    version: str | int | None = None
    errors: tuple[type[Exception], ...] = ()
    error_ttl: float | EllipsisType | None = ...
    lease: float = 30.0
    wait: float | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        check_ttl(self.ttl)
        check_ttl(self.ttl_of_errors)
        for name, fits, wanted in (
            ("ignore", _are_names(self.ignore), "names of arguments, such as ('config',)"),
            ("key", self.key is None or callable(self.key), "a function"),
            ("name", self.name is None or _is_name(self.name), "a string that is not empty"),
            ("version", type(self.version) in (str, int, type(None)), "a string or a number"),
            ("errors", _are_errors(self.errors), "a tuple of subclasses of Exception"),
            (
                "lease",
                _is_between(self.lease, _SHORTEST_LEASE),
                f"{_SHORTEST_LEASE} to {_LONGEST_LEASE:g} seconds",
            ),
            (
                "wait",
                self.wait is None or _is_between(self.wait, 0),
                f"0 to {_LONGEST_LEASE:g} seconds, or None for as long as the lease",
            ),
            ("strict", isinstance(self.strict, bool), "True or False"),
            (
                "error_ttl",
                self.errors or isinstance(self.error_ttl, EllipsisType),
                "given together with errors=, which says what is kept",
            ),
        ):
            if not fits:
                raise ConfigurationError(f"{name} must be {wanted}")

    @property
    def ttl_of_errors(self) -> float | None:
        """Seconds until an error that was kept is forgotten."""
        return self.ttl if isinstance(self.error_ttl, EllipsisType) else self.error_ttl


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name != ""


def _are_names(names: object) -> bool:
    # A string would be taken for the names of its letters.
    return (
        not isinstance(names, str) and isinstance(names, Collection) and all(map(_is_name, names))
    )


def _are_errors(kinds: object) -> bool:
    return isinstance(kinds, tuple) and all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds
    )


def _is_between(seconds: object, least: float) -> bool:
    return (
        not isinstance(seconds, bool)
        and isinstance(seconds, int | float)
        and least <= seconds <= _LONGEST_LEASE
    )
