"""The decorator that keeps what a function gives."""

from __future__ import annotations

import functools
import inspect
import logging
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from langchain_redis_memory.caching.calls import Calls
from langchain_redis_memory.caching.fingerprint import Transparent
from langchain_redis_memory.caching.results import Failure, decode_result, encode_result
from langchain_redis_memory.caching.single_flight import Claim
from langchain_redis_memory.errors import CachedError, ConfigurationError, UnstorableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_redis_memory.caching.options import Options
    from langchain_redis_memory.storage.connection import Connection


_logger = logging.getLogger("langchain_redis_memory")


@dataclass(frozen=True, slots=True)
class Place:
    """Where entries are, and what their keys start with."""

    connection: Connection = field(repr=False)
    prefix: str


def decorated(thing: Any, place: Place, options: Options) -> Any:
    """Give a function, or a LangChain tool, like this one that keeps its results."""
    if isinstance(thing, BaseModel):
        from langchain_redis_memory.caching.cached_tools import cached_tool  # noqa: PLC0415 - loads langchain_core.tools

        return cached_tool(thing, place, options)
    return cached(thing, place, options)


def cached(
    function: Callable[..., Any],
    place: Place,
    options: Options,
    like: Callable[..., Any] | None = None,
    twins: tuple[set[str], set[str]] | None = None,
    **about: Any,
) -> Callable[..., Any]:
    """Give a function that keeps its results, sync or async as the one that is given.

    Args:
        function: What computes them.
        place: Where they are kept.
        options: How.
        like: See `Calls`; the function itself if None.
        twins: Which keys it computes here, and which ones another function that may call it does.
        about: What else `Calls` takes.

    Raises:
        ConfigurationError: It cannot be cached.
    """
    if not callable(function) or isinstance(function, staticmethod | classmethod):
        raise ConfigurationError(
            f"a {type(function).__name__} cannot be cached; put the decorator on the function in it"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError("a generator cannot be cached: what it gives is gone when read")
    calls = Calls(function, options, like or function, **about)
    kept = _Kept(function, place, options, calls, twins or (set(), set()))
    if _is_async(function):

        @functools.wraps(function)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            return await kept.acall(args, kwargs)

        return acall

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return kept.call(args, kwargs)

    return call


class _Kept(Transparent):
    """A function whose results are kept."""

    def __init__(
        self,
        function: Callable[..., Any],
        place: Place,
        options: Options,
        calls: Calls,
        twins: tuple[set[str], set[str]],
    ) -> None:
        self._function = function
        self._place = place
        self._options = options
        self._calls = calls
        self._errors = [_remembered(kind) for kind in options.errors]
        self._computed, self._computed_by_twin = twins
        self._has_warned = False

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Give what is kept, or compute and keep it."""
        claim = self._claim(args, kwargs)
        found = not self._is_within(claim) and claim.take()
        if isinstance(found, bytes):
            return self._read(found, claim.key)
        if not found:
            with self._computing(claim.key):
                return self._function(*args, **kwargs)
        with claim.held():
            try:
                with self._computing(claim.key):
                    result = self._function(*args, **kwargs)
            except self._options.errors as error:
                claim.store(self._failure(error), self._options.ttl_of_errors)
                raise
            entry = self._written(result)
            if entry is None:
                claim.leave()
            else:
                claim.store(entry, self._options.ttl)
        return result

    async def acall(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See `call`."""
        claim = self._claim(args, kwargs)
        found = not self._is_within(claim) and await claim.atake()
        if isinstance(found, bytes):
            return self._read(found, claim.key)
        if not found:
            with self._computing(claim.key):
                return await self._function(*args, **kwargs)
        async with claim.aheld():
            try:
                with self._computing(claim.key):
                    result = await self._function(*args, **kwargs)
            except self._options.errors as error:
                await claim.astore(self._failure(error), self._options.ttl_of_errors)
                raise
            entry = self._written(result)
            if entry is None:
                await claim.aleave()
            else:
                await claim.astore(entry, self._options.ttl)
        return result

    def _claim(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Claim:
        key = self._place.prefix + self._calls.digest(args, kwargs)
        options = self._options
        wait = options.lease if options.wait is None else options.wait
        return Claim(self._place.connection, key, options.lease, secrets.token_hex(16), wait)

    def _is_within(self, claim: Claim) -> bool:
        # A twin may call this function in a thread of its own, which knows nothing of the claim.
        return claim.is_held_here or claim.key in self._computed_by_twin

    @contextmanager
    def _computing(self, key: str) -> Iterator[None]:
        self._computed.add(key)
        try:
            yield
        finally:
            self._computed.discard(key)

    def _written(self, result: Any) -> bytes | None:
        try:
            return encode_result(result, f"the result of {self._calls.label}")
        except UnstorableError as error:
            if self._options.strict:
                raise
            if not self._has_warned:
                _logger.warning("%s; it was given, and not stored", error)
            self._has_warned = True
            return None

    def _failure(self, error: Exception) -> bytes:
        place = next(i for i, kind in enumerate(self._options.errors) if isinstance(error, kind))
        first = error.args[0] if len(error.args) == 1 else None
        message = first if isinstance(first, str) else str(error)
        # Nothing about it may raise another error in its place.
        message = message.encode("utf-8", "replace").decode()
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        return encode_result(Failure(place, name, message), "the error")

    def _read(self, entry: bytes, key: str) -> Any:
        found = decode_result(entry, key)
        if isinstance(found, Failure):
            raise self._errors[found.place](found.name, found.message)
        return found


def _remembered(kind: type[Exception]) -> type[CachedError]:
    """Make the class of what is raised for an error that was kept: one that `except` finds."""
    try:
        made = type(f"Cached{kind.__name__}", (CachedError, kind), {"__module__": __name__})
        made(kind.__name__, "a message")
    except Exception:  # noqa: BLE001 - whatever a class of the user's own raises
        raise ConfigurationError(
            f"errors= cannot hold {kind.__name__}: it allows no subclass that is made of a message"
        ) from None
    return made


def _is_async(function: Callable[..., Any]) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004 - of an object that can be called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
