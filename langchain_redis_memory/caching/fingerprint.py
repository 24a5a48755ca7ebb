"""A digest of values: the same for equal ones, and for no others.

Each value is written as a tag, the length of what follows, and that; so no two values are written
alike. The tag tells 1, 1.0, True and "1" apart, which Python's ``==`` partly does not. The order
of a set or of a dict's keys does not count, as it does not for ``==``.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

_NO_FILE = "__main__ "  # no module is called that

_BUILT_IN = (BuiltinFunctionType, MethodDescriptorType, MethodWrapperType, WrapperDescriptorType)


class UnkeyableError(Exception):
    """A value of which no digest can be made; says what it is."""


class Transparent:
    """What a function may hold besides the one that it wraps, as it changes no result."""


def fingerprint(*values: Any) -> str:
    """Make a digest of values, in hex.

    Takes what JSON holds, tuples, sets, bytes, dates and times, UUIDs, decimals, enums, classes,
    dataclasses and pydantic models, LangChain's messages among them.

    Raises:
        UnkeyableError: One of them is, or holds, something else.
    """
    try:
        return hashlib.sha256(_written(values)).hexdigest()
    except RecursionError:
        pass
    raise UnkeyableError("nested too deeply")


def name_of(thing: Any) -> list[str]:
    """Name a function or a class: its module, its name there, and its code if others have the name.

    A decorator copies the name of what it wraps, so a function is told by its code object, and by
    each of those that it wraps.

    Raises:
        UnkeyableError: It has no name of its own, as a class that is defined in a function, a
            function that uses variables of the function around it, or an object that is called.
    """
    if isinstance(thing, type):
        if "<" in thing.__qualname__ or "__wrapped__" in vars(thing):
            raise _nameless(thing)
        return [_module(thing.__module__), thing.__qualname__]
    return [part for layer in layers(thing) for part in _name_of_layer(layer)]


def layers(thing: Any) -> Iterator[Any]:
    """Give a function, what it wraps, what that wraps, and so on; of a method also its function."""
    seen: list[Any] = []
    while not any(thing is one for one in seen):
        yield thing
        seen.append(thing)
        if type(thing) is MethodType:
            thing = thing.__func__
        elif type(thing) is FunctionType:
            thing = getattr(thing, "__wrapped__", thing)


def _name_of_layer(thing: Any) -> list[str]:
    if type(thing) is MethodType or isinstance(thing, type):
        return [] if type(thing) is MethodType else name_of(thing)
    if type(thing) in _BUILT_IN:
        return [thing.__module__ or "", thing.__qualname__]
    if type(thing) is not FunctionType:
        raise _nameless(thing)
    held = dict(
        zip(thing.__code__.co_freevars, map(_content, thing.__closure__ or ()), strict=True)
    )
    wrapped = getattr(thing, "__wrapped__", None)
    if held and all(isinstance(one, Transparent) for one in held.values()):
        return []
    for name, one in held.items():
        if name == "__class__" and isinstance(one, type):
            name_of(one)  # what super() needs
        elif wrapped is None or one is not wrapped:
            raise _nameless(thing)
    module = _module(thing.__globals__.get("__name__") or thing.__module__)
    name = thing.__code__.co_qualname
    code: list[Any] = []
    if wrapped is not None or hasattr(thing, "__signature__"):
        # Its own defaults are not among the arguments of a call.
        code = [_code(thing.__code__), thing.__defaults__, thing.__kwdefaults__]
    # A notebook has no name; what is defined in it once more has the same.
    elif "<" in name or module == _NO_FILE:
        code = [_code(thing.__code__)]
    return [module, name, *([fingerprint(*code)] if code else ())]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _nameless(thing: Any) -> UnkeyableError:
    name = getattr(thing, "__qualname__", None) or type(thing).__qualname__
    return UnkeyableError(f"something without a name of its own ({name})")


def _module(name: str | None) -> str:
    return _program(name) if name in ("__main__", "__mp_main__") else name or ""


def _program(module: str) -> str:
    """Name the program that runs, or whose child does: two may have functions of one name."""
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    return spec.name if spec else _NO_FILE + PurePath(getattr(main, "__file__", "")).name


def _code(code: CodeType) -> tuple[Any, ...]:
    """Give what tells a function from another one of its name: two lambdas, say."""
    constants = (_code(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, tuple(constants)


def _framed(tag: str, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return b"%s %d:%s" % (tag.encode(), len(content), content)


def _written(value: Any) -> bytes:
    kind = type(value)
    if writer := _WRITERS.get(kind):
        return _framed(kind.__name__, writer(value))
    if isinstance(value, Enum):
        return _instance("enum", value, value.value if value.name is None else value.name)
    if isinstance(value, BaseModel):
        return _instance("model", value, state_of(value))
    if isinstance(value, type):
        return _framed("class", _written(name_of(value)))
    if is_dataclass(value):
        state = {field.name: getattr(value, field.name) for field in fields(value)}
        if not state.keys() >= getattr(value, "__dict__", {}).keys():
            raise UnkeyableError(f"a {kind.__qualname__} with attributes that are no fields")
        return _instance("dataclass", value, state)
    for base in (str, bytes, int, float, tuple):
        # An instance that holds something besides is none of these alone.
        if isinstance(value, base) and not getattr(value, "__dict__", None):
            content = _framed(base.__name__, _WRITERS[base](value))
            return _framed("subclass", _written(name_of(kind)), content)
    raise UnkeyableError(f"a {kind.__module__}.{kind.__qualname__}")


def state_of(model: BaseModel, without: Collection[str] = ()) -> dict[str, Any]:
    """Give what a model holds, except for some of its fields."""
    known = type(model).model_fields
    values = {name: value for name, value in model.__dict__.items() if name in known}
    values |= model.__pydantic_private__ or {}
    values |= model.__pydantic_extra__ or {}
    return {name: value for name, value in values.items() if name not in without}


def _instance(tag: str, value: Any, state: Any) -> bytes:
    return _framed(tag, _written(name_of(type(value))), _written(state))


def _items(values: Iterable[Any]) -> bytes:
    return b"".join(map(_written, values))


def _set(values: Iterable[Any]) -> bytes:
    return b"".join(sorted(map(_written, values)))


def _dict(values: dict[Any, Any]) -> bytes:
    return b"".join(sorted(_written(key) + _written(value) for key, value in values.items()))


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _moment(moment: datetime | time) -> bytes:
    # Equal moments of two zones are told apart, since their calendars go on differently.
    return _items((moment.isoformat(), moment.fold, _zone(moment.tzinfo)))


def _zone(zone: tzinfo | None) -> tuple[str, ...]:
    if zone is None:
        return ()
    if type(zone) is timezone:
        return "offset", str(zone)
    if isinstance(zone, ZoneInfo) and zone.key:
        return "zone", zone.key
    raise UnkeyableError(f"a time zone that is a {type(zone).__qualname__}")


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"",
    bool: lambda value: b"%d" % value,
    int: lambda value: b"%x" % value,
    float: lambda value: value.hex().encode(),
    str: _text,
    bytes: bytes,
    list: _items,
    tuple: _items,
    set: _set,
    frozenset: _set,
    dict: _dict,
    datetime: _moment,
    time: _moment,
    date: lambda value: value.isoformat().encode(),
    timedelta: lambda value: _items((value.days, value.seconds, value.microseconds)),
    UUID: lambda value: value.bytes,
    Decimal: lambda value: str(value).encode(),
    # Of these, constants in code may be, too.
    complex: lambda value: repr(value).encode(),
    slice: lambda value: _items((value.start, value.stop, value.step)),
    type(...): lambda _: b"",
}
