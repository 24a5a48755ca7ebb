"""What other libraries keep, as ``adopt`` is told of it: keys by their form, messages in a file."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from langchain_redis_memory.errors import ConfigurationError, RedisMemoryError
from langchain_redis_memory.part import DEFAULT_USER


def ids_by(form: str) -> Callable[[str], tuple[str, str] | None]:
    """Give the function that reads user and session out of what has a form.

    Args:
        form: Such as ``{user}/{session}``; the user ends where what follows it first comes.

    Raises:
        ConfigurationError: It does not name the session once, or the user more than once.
    """
    parts = re.split(r"(\{user\}|\{session\})", form)
    if parts.count("{session}") != 1 or parts.count("{user}") > 1:
        raise ConfigurationError(
            f"--ids {form!r:.80} must name {{session}} once, and {{user}} at most once"
        )
    named = {"{user}": "(?P<user>.+?)", "{session}": "(?P<session>.+)"}
    pattern = re.compile("".join(named.get(part) or re.escape(part) for part in parts), re.DOTALL)

    def ids(rest: str) -> tuple[str, str] | None:
        found = pattern.fullmatch(rest)
        return found and (found.groupdict().get("user") or DEFAULT_USER, found["session"])

    return ids


def conversations_in(
    path: Path, user: str | None, session: str | None
) -> Iterator[tuple[str, str, list[Any]]]:
    """Give user, session and messages of each conversation of a file, once all of it is checked.

    Args:
        path: A JSON list of messages in OpenAI's format, or a line for each conversation:
            ``{"conversation": ID, "messages": [...]}``, and a ``user`` if it is not that of all.
        user: Of which user; None for "default".
        session: Which session a list of messages becomes.

    Raises:
        ConfigurationError: It cannot be read; the error names the line.
    """
    for _ in _read(path, user or DEFAULT_USER, session):
        pass
    return _read(path, user or DEFAULT_USER, session)


def _read(path: Path, user: str, session: str | None) -> Iterator[tuple[str, str, list[Any]]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            if file.read(4096).lstrip().startswith("["):
                file.seek(0)
                if session is None:
                    raise ConfigurationError("say which --session the list of messages is")
                yield user, session, _list(_loaded(file.read(), str(path)), str(path))
                return
            file.seek(0)
            if session is not None:
                raise ConfigurationError("--session is for a file that holds a list of messages")
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _conversation(line, user, f"{path}, line {number}")
    except UnicodeDecodeError:
        problem = f"{path} is no text in UTF-8"
    except OSError as error:
        raise RedisMemoryError(f"{path} cannot be read: {error.strerror or error}") from None
    else:
        return
    raise ConfigurationError(problem)


def _conversation(line: str, user: str, place: str) -> tuple[str, str, list[Any]]:
    record = _loaded(line, place)
    if not isinstance(record, dict) or not isinstance(record.get("conversation"), str):
        raise ConfigurationError(f'{place} is no {{"conversation": ID, "messages": [...]}}')
    whose = record.get("user", user)
    if not isinstance(whose, str):
        raise ConfigurationError(f"{place}: user must be a string")
    return whose, record["conversation"], _list(record.get("messages"), place)


def _list(found: object, place: str) -> list[Any]:
    if not isinstance(found, list):
        raise ConfigurationError(f"{place}: messages must be a list")
    return found


def _loaded(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # which may quote the text
        pass
    raise ConfigurationError(f"{place} is no JSON")
