"""Which entry of the cache a call has: by its function, and by its arguments."""

from __future__ import annotations

import inspect
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.caching.fingerprint import UnkeyableError, fingerprint, layers, name_of
from langchain_redis_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from langchain_redis_memory.caching.options import Options

_NAME_IT = "pass name=, with all in it that the results depend on besides the arguments"


class Calls:
    """The calls of one function.

    Args:
        function: The function.
        options: Its name and version, and which arguments count.
        like: The function whose entries it shares.
        state: What of its first argument counts; all if None.
        aside: Arguments that do not count, where it has them.

    Raises:
        ConfigurationError: It cannot be told from other functions, or an option does not fit it.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: Options,
        like: Callable[..., Any],
        state: Callable[[Any], Any] | None = None,
        aside: Collection[str] = (),
    ) -> None:
        self.label: str = getattr(like, "__qualname__", type(like).__name__)
        self._ignore = {*options.ignore, *aside}
        self._key = options.key
        self._state = state
        self._owners = _owners(like, function) if options.name is None else []
        self._signature = self._read_signature(function, options)
        identity = (self._name(like, function, options), options.version, self._errors(options))
        self._identity = fingerprint(*identity)
        self._owner_print()

    def digest(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Name the entry of a call.

        Raises:
            TypeError: The function does not take these arguments.
            ConfigurationError: An argument cannot be keyed; the error names it.
        """
        given = self._bind(args, kwargs)
        if self._key is not None:
            key = self._key(*given.args, **given.kwargs)
            prints: Any = self._print(key, "what its key= gave", "give strings, numbers or lists")
        else:
            prints = {
                name: self._print(
                    value,
                    f"the argument {name!r}",
                    f"leave it out with ignore=({name!r},) if the result does not depend on it, "
                    "or say with key= what it depends on",
                )
                for name, value in given.arguments.items()
            }
        return fingerprint("call", self._identity, self._owner_print(), prints)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.label}: {error}") from None
        bound.apply_defaults()
        given = bound.arguments
        for parameter in self._signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                others = given[parameter.name].items()
                given[parameter.name] = {k: v for k, v in others if k not in self._ignore}
        if self._state is not None:
            first = next(iter(given))
            given[first] = self._state(given[first])
        for name in self._ignore:
            given.pop(name, None)
        return bound

    def _owner_print(self) -> str | None:
        if not self._owners:
            return None
        return self._print(self._owners, "what it is bound to", _NAME_IT)

    def _print(self, value: Any, what: str, remedy: str) -> str:
        with self._explained(what, remedy):
            return fingerprint(value)

    def _name(
        self, like: Callable[..., Any], function: Callable[..., Any], options: Options
    ) -> list[str]:
        if options.name is not None:
            return [options.name]
        with self._explained("it", _NAME_IT):
            if not isinstance(like, type):
                name_of(function)  # which may have none although what it is like has one
            return ["", *name_of(like)]

    def _errors(self, options: Options) -> list[list[str]]:
        # An entry that tells of an error names its class by the place among these.
        with self._explained("a class of errors=", "define it in a module"):
            return [name_of(kind) for kind in options.errors]

    def _read_signature(self, function: Callable[..., Any], options: Options) -> inspect.Signature:
        try:
            signature = _signature(function)
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"the arguments of {self.label} cannot be known; wrap it in a function of your own"
            ) from None
        parameters = signature.parameters
        takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        for name in options.ignore:
            if name not in parameters and not takes_any:
                raise ConfigurationError(
                    f"ignore= names {name!r:.40}, which is no argument of {self.label}"
                )
        return signature

    @contextmanager
    def _explained(self, what: str, remedy: str) -> Iterator[None]:
        try:
            yield
        except UnkeyableError as error:
            raise ConfigurationError(
                f"{self.label} cannot be cached like that: {what} is, or holds, {error}; {remedy}"
            ) from None


def _owners(*functions: Callable[..., Any]) -> list[Any]:
    """Give what methods are bound to, also those within decorators."""
    owners: list[Any] = []
    for layer in (layer for function in functions for layer in layers(function)):
        owner = getattr(layer, "__self__", None)
        is_known = any(owner is one for one in owners)
        if owner is not None and not isinstance(owner, ModuleType) and not is_known:
            owners.append(owner)  # a built-in function is bound to its module
    return owners


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):  # without evaluating annotations, whose names may not be there
        from annotationlib import Format  # noqa: PLC0415 - new in 3.14

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)
