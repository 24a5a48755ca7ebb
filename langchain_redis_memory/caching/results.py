r"""What a function or a model gave, to bytes and back, exactly.

What JSON holds is written as it is. For the rest there are tags, dicts with one key that begins
with ``!``; a dict of the user's own with such a key is tagged itself::

    ("text", [Document("...")])  ->  {"!tuple": ["text", [{"!document": {...}}]]}

A message becomes ``{"!message": 0}``: the element of `storage.codec` stands on a line of its own
below, the first one here. JSON has no raw line breaks, so lines are told apart by them.

As with messages, what is stored is data: only the classes that are named here are ever made of it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk

from langchain_redis_memory.errors import CorruptedDataError, UnstorableError
from langchain_redis_memory.storage.codec import decode_message, encode_messages
from langchain_redis_memory.storage.exact import MAX_DEPTH, fits

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Failure:
    """That a function failed, instead of what it would have given."""

    place: int
    """Of its class among those that are kept."""
    name: str
    message: str = field(repr=False)


_GENERATIONS: dict[str, type[Generation]] = {
    kind.__name__: kind
    for kind in (Generation, GenerationChunk, ChatGeneration, ChatGenerationChunk)
}


def encode_result(value: Any, where: str, *, exact: bool = True) -> bytes:
    """Write a result.

    Args:
        value: What JSON holds, NaN and infinity too, tuples, and of langchain_core its messages,
            documents and generations.
        where: What it is, for the error: ``"the result of search"``.
        exact: Whether to refuse instances of subclasses, which would come back without their class.

    Raises:
        UnstorableError: It holds something else; the error names the place.
    """
    writer = _Writer(exact=exact)
    tree = writer.tree(value, where, 1)
    try:
        head = json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can name
        head = json.dumps(tree).encode()
    return b"\n".join([head, *writer.messages])


def decode_result(entry: bytes, key: str) -> Any:
    """Read what `encode_result` wrote, at a key.

    Raises:
        CorruptedDataError: It is something else.
    """
    try:
        head, *messages = entry.split(b"\n")
        return _Reader(messages, key).value(json.loads(head))
    except CorruptedDataError as error:
        reason = error.reason
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = type(error).__name__
    # Not within the clauses above: the error there may quote the stored text, and would be kept.
    raise CorruptedDataError(key, None, reason)


class _Writer:
    def __init__(self, *, exact: bool) -> None:
        self.messages: list[bytes] = []
        self._exact = exact
        self._tags: dict[type, tuple[str, Callable[[Any, str, int], Any]]] = {
            tuple: ("!tuple", self._items),
            Document: ("!document", self._document),
            Failure: ("!error", lambda value, *_: [value.place, value.name, value.message]),
            **dict.fromkeys(_GENERATIONS.values(), ("!generation", self._generation)),
        }

    def tree(self, value: Any, where: str, depth: int) -> Any:
        """Give the value as what JSON holds."""
        if depth > MAX_DEPTH:
            reason = f"it is nested deeper than {MAX_DEPTH} levels"
            raise UnstorableError(f"{where:.200}...", reason)
        self._check_kind(value, where)
        if isinstance(value, list):
            return self._items(value, where, depth)
        if isinstance(value, dict):
            return self._dict(value, where, depth)
        if isinstance(value, BaseMessage):
            return {"!message": self._message(value, where)}
        if type(value) in self._tags:
            tag, write = self._tags[type(value)]
            return {tag: write(value, where, depth)}
        fits(value, where)
        return value

    def _check_kind(self, value: Any, where: str) -> None:
        for base in (str, int, float, list, dict):
            if self._exact and isinstance(value, base) and type(value) not in (base, bool):
                kind = type(value).__qualname__
                reason = f"a {kind} would come back as a {base.__name__}; give {base.__name__}(it)"
                raise UnstorableError(where, reason)

    def _items(self, values: list[Any] | tuple[Any, ...], where: str, depth: int) -> list[Any]:
        return [self.tree(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(values)]

    def _dict(self, values: dict[Any, Any], where: str, depth: int) -> dict[str, Any]:
        fits(dict.fromkeys(values), where)  # the keys
        for key in values:
            self._check_kind(key, f"{where}[{key!r:.40}]")
        tree = {
            key: self.tree(value, f"{where}[{key!r:.40}]", depth + 1)
            for key, value in values.items()
        }
        return {"!dict": tree} if _is_tagged(tree) else tree

    def _message(self, message: BaseMessage, where: str) -> int:
        try:
            self.messages += encode_messages([message], "")
        except UnstorableError as error:
            field = error.field.removeprefix("messages[0]")
            raise UnstorableError(where + field, error.reason) from None
        return len(self.messages) - 1

    def _document(self, document: Document, where: str, depth: int) -> dict[str, Any]:
        fields = {name: getattr(document, name) for name in ("id", "page_content", "metadata")}
        _check(lambda: Document(**fields), document, where)
        return self._fields(fields, where, depth)

    def _generation(self, generation: Generation, where: str, depth: int) -> dict[str, Any]:
        kind = type(generation)
        fields: dict[str, Any] = {
            # A chat generation takes its message's, which is of a class of its own.
            "text": str(generation.text),
            "generation_info": generation.generation_info,
        }
        if isinstance(generation, ChatGeneration):
            fields["message"] = generation.message
        _check(lambda: _generation(kind, fields), generation, where)
        return {"type": kind.__name__, **self._fields(fields, where, depth)}

    def _fields(self, fields: dict[str, Any], where: str, depth: int) -> dict[str, Any]:
        return {
            name: self.tree(value, f"{where}.{name}", depth + 1) for name, value in fields.items()
        }


class _Reader:
    def __init__(self, messages: list[bytes], key: str) -> None:
        self._messages = messages
        self._key = key
        self._tagged: dict[str, Callable[[Any], Any]] = {
            "!tuple": lambda tree: tuple(map(self.value, tree)),
            "!dict": self._dict,
            "!message": self._message,
            "!document": lambda tree: Document(**self._dict(tree)),
            "!generation": self._generation,
            "!error": lambda tree: Failure(*tree),
        }

    def value(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self.value(item) for item in tree]
        if not isinstance(tree, dict):
            return tree
        if not _is_tagged(tree):
            return self._dict(tree)
        [(tag, content)] = tree.items()
        return self._tagged[tag](content)

    def _dict(self, tree: dict[str, Any]) -> dict[str, Any]:
        return {key: self.value(item) for key, item in tree.items()}

    def _message(self, number: int) -> BaseMessage:
        return decode_message(self._messages[number], self._key, number)

    def _generation(self, tree: dict[str, Any]) -> Generation:
        kind = _GENERATIONS[tree.pop("type")]
        return _generation(kind, self._dict(tree))


def _generation(kind: type[Generation], fields: dict[str, Any]) -> Generation:
    generation = kind(**fields)
    generation.text = fields["text"]  # a chat generation takes its message's
    return generation


def _check(make: Callable[[], Any], original: Any, where: str) -> None:
    """Refuse what would not come back equal."""
    with suppress(ValueError):  # the class's own words may quote a value
        if make() == original:
            return
    raise UnstorableError(where, f"a {type(original).__name__} would read it back changed")


def _is_tagged(tree: dict[str, Any]) -> bool:
    return len(tree) == 1 and next(iter(tree)).startswith("!")
