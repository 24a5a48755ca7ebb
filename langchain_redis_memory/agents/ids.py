"""Whose run it is: the ids in a run's config and in its context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.part import DEFAULT_USER
from langchain_redis_memory.storage.keys import encode_id


def ids_of(configurable: Mapping[str, Any], context: object) -> tuple[str, str]:
    """Give the user and the session of a run.

    Args:
        configurable: What the run's config holds under that name.
        context: The run's context: a dict, or an object with attributes.

    Raises:
        ConfigurationError: No session is named, an id cannot be used, or the config and the
            context name different ones.
    """
    users = _named("user_id", configurable, context)
    sessions = _named("session_id", configurable, context)
    # None for a user is refused: it is what a bug in the caller's authentication looks like.
    user = _one("user_id", users) if users else DEFAULT_USER
    session = _one("session_id", sessions)
    if session is None:
        session = configurable.get("thread_id")
        if session is None:
            raise ConfigurationError(
                "the run has no session_id and no thread_id; pass one in the config, such as "
                'config={"configurable": {"session_id": "s1", "user_id": "alice"}}, or in the '
                "agent's context"
            )
        encode_id(session, "thread_id")
    encode_id(session, "session_id")
    encode_id(user, "user_id")
    return user, session


def _named(name: str, configurable: Mapping[str, Any], context: object) -> list[Any]:
    """Give what the config and the context name."""
    fields = context if isinstance(context, Mapping) else _Fields(context)
    return [source[name] for source in (configurable, fields) if name in source]


def _one(name: str, values: list[Any]) -> Any:
    """Give the one that is named, once or twice."""
    given = [value for value in values if value is not None]
    if len(given) > 1 and given[0] != given[1]:
        raise ConfigurationError(
            f"the config names {name} {given[0]!r:.80} and the context {given[1]!r:.80}; "
            "pass one of them"
        )
    return given[0] if given else None


class _Fields:
    """An object's attributes, as the items of a dict."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __contains__(self, name: str) -> bool:
        return hasattr(self._value, name)

    def __getitem__(self, name: str) -> Any:
        return getattr(self._value, name)
