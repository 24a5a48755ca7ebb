"""What a profile is to those who use it: a dict, or a pydantic model of theirs.

In Redis it is a JSON object either way. A `Form` turns one into the other, and refuses what the
other could not hold. None of its errors quotes what a profile holds.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from typing_extensions import override

from langchain_redis_memory.errors import (
    ConfigurationError,
    CorruptedDataError,
    StorageUnavailable,
    UnstorableError,
)
from langchain_redis_memory.storage.exact import decode_value, encode_value

if TYPE_CHECKING:
    from collections.abc import Iterator

P = TypeVar("P")
M = TypeVar("M", bound=BaseModel)

_PROFILE = "profile"


class Draft(NamedTuple, Generic[P]):
    """A profile that is to be stored: as JSON, and as a reader will get it."""

    text: bytes
    value: P


class Form(ABC, Generic[P]):
    """What a profile is to those who use it.

    Args:
        key: Its key in Redis, for errors.
    """

    def __init__(self, key: str) -> None:
        self.key = key

    @abstractmethod
    def read(self, stored: bytes | None) -> P:
        """Make of what is stored what a user gets, a new one each time.

        Raises:
            CorruptedDataError: It is no JSON object, or does not fit.
            ConfigurationError: It is not there, and the model cannot be empty.
        """

    @abstractmethod
    def write(self, value: Any, before: bytes | None = None) -> Draft[P]:
        """Make of what a user gives what is stored.

        Args:
            value: The whole profile.
            before: What it was made of. What a model does not know of this is kept.

        Raises:
            UnstorableError: It does not fit, or would not come back equal.
        """

    def refuse_to_be_without(self) -> None:
        """Raise while Redis is away, unless an empty profile can stand for the one there.

        Raises:
            StorageUnavailable: It cannot.
        """

    def merge(self, before: bytes | None, patch: dict[str, Any]) -> Draft[P]:
        """Apply a merge patch to what is stored.

        Raises:
            UnstorableError: The result does not fit.
        """
        text = encode_value(merge_patch(self._object(before), patch), _PROFILE)
        return Draft(text, self._fit(text))

    @abstractmethod
    def _fit(self, text: bytes) -> P: ...

    def _object(self, stored: bytes | None) -> dict[str, Any]:
        found = {} if stored is None else decode_value(stored, self.key)
        if isinstance(found, dict):
            return found
        kind = "null" if found is None else f"a {type(found).__name__}"
        raise CorruptedDataError(self.key, None, f"it is {kind}, not a JSON object")


class DictForm(Form[dict[str, Any]]):
    """A profile as a dict."""

    @override
    def read(self, stored: bytes | None) -> dict[str, Any]:
        return self._object(stored)

    @override
    def write(self, value: Any, before: bytes | None = None) -> Draft[dict[str, Any]]:
        text = encode_value(checked_object(value), _PROFILE)
        return Draft(text, self._fit(text))

    @override
    def _fit(self, text: bytes) -> dict[str, Any]:
        return self._object(text)


class _Misfit(NamedTuple):
    field: str
    reason: str


class ModelForm(Form[M]):
    """A profile as a pydantic model.

    Args:
        key: See `Form`.
        model: The model.
    """

    def __init__(self, key: str, model: type[M]) -> None:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            name = getattr(model, "__name__", type(model).__name__)  # not its repr: it has values
            raise ConfigurationError(f"model must be a pydantic model's class, not {name}")
        super().__init__(key)
        self.model = model

    @override
    def read(self, stored: bytes | None) -> M:
        self._object(stored)
        found = self._validated(b"{}" if stored is None else stored)
        if not isinstance(found, _Misfit):
            return found
        if stored is None:
            raise ConfigurationError(
                f"there is no profile {self.key!r} yet, and {self.model.__name__} cannot be empty "
                f"({found.field}: {found.reason}); set one first, or give the field a default"
            )
        raise CorruptedDataError(
            self.key,
            None,
            f"it does not fit {self.model.__name__}: {found.field}: {found.reason}",
        )

    @override
    def write(self, value: Any, before: bytes | None = None) -> Draft[M]:
        if isinstance(value, dict):
            value = self._fit(encode_value(value, _PROFILE))
        if type(value) is not self.model:  # a subclass would come back as the model
            raise UnstorableError(
                _PROFILE, f"it must be a {self.model.__name__}, not a {type(value).__name__}"
            )
        known = self._dumped(value)
        kept = {} if before is None else self._kept(before, known)
        text = encode_value({**kept, **known}, _PROFILE)
        found = self._fit(text)
        if name := next(_changed(value, found), None):
            raise UnstorableError(
                f"{_PROFILE}.{name}", f"{self.model.__name__} does not read it as it writes it"
            )
        return Draft(text, found)

    @override
    def refuse_to_be_without(self) -> None:
        if isinstance(self._validated(b"{}"), _Misfit):
            raise StorageUnavailable(
                f"the profile {self.key!r} cannot be read: Redis is away, and "
                f"{self.model.__name__} cannot be empty; give its fields defaults to go on without"
            )

    @override
    def merge(self, before: bytes | None, patch: dict[str, Any]) -> Draft[M]:
        for name, field in self.model.model_fields.items():
            alias = field.serialization_alias or name
            if name in patch and alias != name and alias not in patch:
                raise UnstorableError(
                    f"{_PROFILE}.{name}", f"it is stored as {alias!r}; patch that"
                )
        return super().merge(before, patch)

    def _kept(self, before: bytes, known: dict[str, Any]) -> dict[str, Any]:
        """Give what an application with another model has stored, and the order of all."""
        mine = self._dumped(self.read(before))
        return {
            name: item
            for name, item in self._object(before).items()
            if name in known or name not in mine
        }

    @override
    def _fit(self, text: bytes) -> M:
        found = self._validated(text)
        if isinstance(found, _Misfit):
            raise UnstorableError(found.field, found.reason)
        return found

    def _validated(self, text: bytes) -> M | _Misfit:
        # Errors are made after this has returned: pydantic's quotes the profile, and would be
        # shown with ours as its context.
        try:
            return self.model.model_validate_json(text)
        except ValidationError as error:
            return _misfit(error)

    def _dumped(self, value: M) -> dict[str, Any]:
        try:
            dump = self._dump(value)
        except ValueError:  # it may quote what it could not write
            dump = None
        if dump is None:
            raise UnstorableError(self._culprit(value), "pydantic cannot write it as JSON")
        return checked_object(dump)

    def _dump(self, value: M, only: set[str] | None = None) -> dict[str, Any]:
        # Computed fields are not for reading: a model that forbids extra fields refuses them.
        computed = set(self.model.model_computed_fields)
        return value.model_dump(
            mode="json", by_alias=True, include=only, exclude=computed, warnings=False
        )

    def _culprit(self, value: M) -> str:
        for name in self.model.model_fields:
            try:
                self._dump(value, {name})
            except ValueError:
                return f"{_PROFILE}.{name}"
        return _PROFILE


def checked_object(value: Any) -> dict[str, Any]:
    """Refuse what is no JSON object, as a profile and a patch of one are."""
    if isinstance(value, dict):
        return value
    raise UnstorableError(
        _PROFILE, f"it is a JSON object, so give a dict, not a {type(value).__name__}"
    )


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch, as the function ``MergePatch`` of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def _changed(value: BaseModel, found: BaseModel) -> Iterator[str]:
    # Not value == found: that compares private attributes too, which are no part of a profile.
    after = _content(found)
    yield from (name for name, item in _content(value).items() if item != after.get(name))


def _content(value: BaseModel) -> dict[str, Any]:
    fields = {name: value.__dict__.get(name) for name in type(value).model_fields}
    return {**fields, **(value.model_extra or {})}


# What pydantic says of these tells what the model asks for. Other messages, and those of an
# application's own validators, may quote the value.
_QUOTES_NOTHING = re.compile(
    "missing|extra_forbidden|literal_error|enum|none_required|int_from_float|multiple_of"
    "|(bool|int|float|string|list|dict|model)_type|(bool|int|float)_parsing"
    "|(string_)?too_(short|long)|string_pattern_mismatch|(greater|less)_than(_equal)?"
)


def _misfit(error: ValidationError) -> _Misfit:
    """Tell the first field that does not fit, and why, without its value."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    first = details[0]
    kind = first["type"]
    reason = first["msg"] if _QUOTES_NOTHING.fullmatch(kind) else f"the model refuses it ({kind})"
    others = [_place(detail["loc"]) for detail in details[1:4]]
    also = f"; also wrong: {', '.join(others)}" if others else ""
    return _Misfit(_place(first["loc"]), reason + also)


def _place(location: tuple[int | str, ...]) -> str:
    return _PROFILE + "".join(
        f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!r:.40}]"
        for part in location
    )
