"""What JSON holds exactly, and values that are stored as JSON.

JSON gives back equal: text, integers of any size, finite numbers, lists, and dicts whose keys are
strings. Everything else would come back changed or not at all, and is refused with its place.
"""

from __future__ import annotations

import json
import math
import re
from types import NoneType
from typing import TYPE_CHECKING, Any, NoReturn

from langchain_redis_memory.errors import CorruptedDataError, UnstorableError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 200
"""Levels of nesting. orjson writes 254; what is written must be readable again."""

MAX_BYTES = 512 * 2**20
"""What Redis takes as one value: https://redis.io/docs/latest/develop/data-types/strings/."""

_SCALARS = frozenset((str, int, bool, NoneType))
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SPLIT_PAIR = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
_INT64, _UINT64 = -(2**63), 2**64
_MAX_BITS = 13_000  # Python itself neither prints nor parses more than 4,300 digits

_ANY = "give it as strings, numbers, lists and dicts"
_REMEDIES: dict[type, str] = {bytes: "give it as text, such as base64", tuple: "give it as a list"}


def encode_value(value: Any, where: str) -> bytes:
    """Write a value as JSON: keys in their order, text as it is, numbers exact.

    Args:
        value: Strings, numbers, booleans, None, and lists and dicts of them.
        where: What it is, for the error: ``"profile"``.

    Raises:
        UnstorableError: It holds what JSON does not; the error names the place.
    """
    fits(value, where)
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise UnstorableError(
            _not_finite(value, where) or where, "JSON has no NaN and no infinite numbers"
        ) from None
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can name
        encoded = json.dumps(value).encode()
    return sized(encoded, where)


def sized(encoded: bytes, where: str, position: int | None = None) -> bytes:
    """Give what is to be stored back, if Redis takes so much.

    Args:
        encoded: What is to be stored.
        where: What it is, for the error.
        position: Which one, where there are several.

    Raises:
        UnstorableError: It is larger.
    """
    if len(encoded) > MAX_BYTES:
        raise UnstorableError(
            where if position is None else f"{where}[{position}]",
            f"it takes {len(encoded):,} bytes as JSON, and Redis holds {MAX_BYTES:,} in one value; "
            "store what is large elsewhere, and here where it is",
        )
    return encoded


def decode_value(value: bytes, key: str) -> Any:
    """Read what `encode_value` wrote, or another program, at a key.

    Raises:
        CorruptedDataError: It is no JSON.
    """
    reason = ""
    try:
        found = json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        # Not raised here: a decoder's error quotes the value, and would be kept as the context.
        reason = f"{type(error).__name__}: no JSON"
    if reason:
        raise CorruptedDataError(key, None, reason)
    return found


def are_equal(one: bytes, other: bytes) -> bool:
    """Tell whether two texts are the same JSON value; one that is damaged equals itself alone."""
    try:
        return one == other or canonical(json.loads(one)) == canonical(json.loads(other))
    except (ValueError, RecursionError):
        return False


def canonical(value: Any) -> str:
    """Write a JSON value so that equal ones are equal texts: NaN equals NaN, 1 is not 1.0."""
    return json.dumps(value, sort_keys=True)


def are_usual(values: Iterable[Any], depth: int = 1) -> bool:
    """Tell at once that orjson either holds the values exactly or raises a `TypeError`.

    They are of the plain types alone. False says nothing: ask `fits`, which also tells what is
    wrong, and where.
    """
    for value in values:
        kind = type(value)
        if kind in _SCALARS:
            continue
        if kind is dict or kind is list:
            if depth > MAX_DEPTH:
                return False
            if value and not are_usual(value.values() if kind is dict else value, depth + 1):
                return False
        elif kind is not float or not math.isfinite(value):
            return False
    return True


def fits(value: Any, where: str, depth: int = 1) -> bool:
    """Tell whether orjson holds the value exactly too, and not the standard library alone.

    Raises:
        UnstorableError: JSON does not hold it at all.
    """
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return value.isascii() or _fits_text(value, where)
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise UnstorableError(where, "it is an integer of more than 4,000 digits")
        return _INT64 <= value < _UINT64
    if isinstance(value, float):
        return math.isfinite(value)
    if depth > MAX_DEPTH:
        raise UnstorableError(f"{where:.200}...", f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return False not in [fits(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict):
        return False not in [_fits_entry(key, item, where, depth) for key, item in value.items()]
    raise UnstorableError(
        where, f"JSON has no {type(value).__name__}; {_REMEDIES.get(type(value), _ANY)}"
    )


def _fits_entry(key: Any, value: Any, where: str, depth: int) -> bool:
    if not isinstance(key, str):
        raise UnstorableError(
            where, f"it has a key of type {type(key).__name__}; keys must be strings"
        )
    inside = f"{where}[{key!r:.40}]"
    value_fits = fits(value, inside, depth + 1)  # also when the key does not: it may raise
    return (key.isascii() or _fits_text(key, inside)) and value_fits


def _fits_text(text: str, where: str) -> bool:
    if not _SURROGATE.search(text):
        return True
    if _SPLIT_PAIR.search(text):
        # JSON writes both halves as it writes the character that they make, and reads that one.
        raise UnstorableError(
            where, "it has the two halves of a surrogate pair as separate characters"
        )
    return False


def _not_finite(value: Any, where: str) -> str | None:
    if not isinstance(value, dict | list):
        return where if isinstance(value, float) and not math.isfinite(value) else None
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return next(filter(None, (_not_finite(v, f"{where}[{k!r:.40}]") for k, v in items)), None)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
