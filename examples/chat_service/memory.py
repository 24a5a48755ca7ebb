"""Where the conversations are kept: the one place that makes the memory."""

from pathlib import Path
from typing import Any

from langchain_redis_memory import MemorySettings, RedisMemory, RedisSettings

DIRECTORY = Path("memory")
"""Where an embedded server keeps its data, unless said otherwise."""

# What this service has in place of the library's own defaults; variables take precedence.
_DEFAULTS: dict[str, Any] = {
    "window": 50,  # messages a model is given of a conversation
    "max_thread_messages": 1000,  # messages that are kept of one
    "on_unavailable": "stateless",
    "outage_pause": 1.0,  # seconds between questions whether Redis is back
}
_DEADLINE = 2.0
"""Seconds that Redis has for an answer before it is taken to be away."""


def open_memory(
    url: str | None = None,
    *,
    directory: Path | None = None,
    secrets_dir: Path | None = None,
    on_unavailable: str | None = None,
    deadline: float | None = None,
) -> RedisMemory:
    """Make the memory; nothing connects before it is used.

    What is not given comes from ``REDIS__...`` and ``MEMORY__...``, in the environment or the file
    ``.env``. Where these name no server, it is an embedded one.

    Args:
        url: The server, whatever ``REDIS__...`` says.
        directory: Where an embedded server keeps its data, whatever ``REDIS__...`` says.
        secrets_dir: A directory with a file for each variable, as containers have for secrets.
        on_unavailable: "stateless" or "error"; see ``MEMORY__ON_UNAVAILABLE``.
        deadline: Seconds that Redis has for an answer; see ``MEMORY__RETRY__DEADLINE``.

    Raises:
        ConfigurationError: An argument or a variable cannot be used.
    """
    given: dict[str, Any] = {} if on_unavailable is None else {"on_unavailable": on_unavailable}
    if deadline is not None:
        given["retry"] = {"deadline": deadline}
    behaviour = _with_defaults(MemorySettings(_secrets_dir=secrets_dir, **given))
    if url is not None:
        return RedisMemory.from_url(url, **behaviour.options())
    if directory is not None:
        return RedisMemory.embedded(directory, **behaviour.options())
    place = RedisSettings(_secrets_dir=secrets_dir)
    if not place.model_fields_set:
        return RedisMemory.embedded(DIRECTORY, **behaviour.options())
    return RedisMemory.from_settings(place, behaviour)


def _with_defaults(said: MemorySettings) -> MemorySettings:
    ours = {name: value for name, value in _DEFAULTS.items() if name not in said.model_fields_set}
    if "deadline" not in said.retry.model_fields_set:
        ours["retry"] = said.retry.model_copy(update={"deadline": _DEADLINE})
    return said.model_copy(update=ours)
