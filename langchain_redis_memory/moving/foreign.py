"""How conversations are kept elsewhere, and what they are as elements of ours."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_redis_memory.conversation import new_token
from langchain_redis_memory.errors import ConfigurationError, CorruptedDataError, UnstorableError
from langchain_redis_memory.moving.llama_index_format import from_llama_index
from langchain_redis_memory.moving.openai_format import from_openai
from langchain_redis_memory.storage.codec import decode_message, encode_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Library:
    """How another library stores conversations."""

    prefix: str | None
    """What its keys start with, unless its user says otherwise."""
    newest: int
    """Which end of its lists is the newest element: 0 or -1."""
    elements: Callable[[Sequence[bytes], str], list[bytes]]
    """Makes elements of ours, the oldest first, of one of its lists; told the key for errors."""


def _of_community(found: Sequence[bytes], key: str) -> list[bytes]:
    # They are as ours, without a token, and stay what they are.
    for position, element in enumerate(found):
        try:
            decode_message(element, key, position)
        except CorruptedDataError as error:
            raise UnstorableError(
                f"{key!r}[{position}]",
                f"it is no message of langchain-community ({error.reason}); repair it, or leave "
                "its key out with ids=",
            ) from None
    return list(found[::-1])


def _of_llama_index(found: Sequence[bytes], key: str) -> list[bytes]:
    messages = [
        from_llama_index(_loaded(element), f"{key!r}[{position}]")
        for position, element in enumerate(found)
    ]
    try:
        return encode_messages(messages, new_token())
    except UnstorableError as error:
        field = error.field.removeprefix("messages")
        raise UnstorableError(f"{key!r}{field}", error.reason) from None


def of_list(messages: object) -> list[bytes]:
    """Make elements of messages in OpenAI's format or LangChain's.

    Raises:
        ConfigurationError: It is no list of messages.
        UnstorableError: One of them cannot be taken over.
    """
    if not isinstance(messages, list | tuple):
        raise ConfigurationError(
            f"pass a list of messages, or the name of a library, not {type(messages).__name__}"
        )
    made = [from_openai(message, f"messages[{i}]") for i, message in enumerate(messages)]
    return encode_messages(made, new_token())


LIBRARIES = {
    "langchain-community": Library("message_store:", 0, _of_community),
    "llama-index": Library(None, -1, _of_llama_index),
}


def _loaded(element: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(element)
    return None
