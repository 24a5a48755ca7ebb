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
    user = _named("user_id", configurable, context)
    session = _named("session_id", configurable, context)
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
    if user is not None:
        encode_id(user, "user_id")
    return DEFAULT_USER if user is None else user, session


def _named(name: str, configurable: Mapping[str, Any], context: object) -> Any:
    given = configurable.get(name)
    also = context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
    if given is None or also is None:
        return also if given is None else given
    if given != also:
        raise ConfigurationError(
            f"the config names {name} {given!r:.80} and the context {also!r:.80}; pass one of them"
        )
    return given
