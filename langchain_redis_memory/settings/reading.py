"""Both kinds of settings at once, so that all that is wrong is told at once."""

from __future__ import annotations

from typing import TypeVar

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.settings.environment import EnvironmentSettings
from langchain_redis_memory.settings.memory_settings import MemorySettings
from langchain_redis_memory.settings.redis_settings import RedisSettings

S = TypeVar("S", bound=EnvironmentSettings)


def settings_of(redis: object, memory: object) -> tuple[RedisSettings, MemorySettings]:
    """Give the settings that were passed, or for None those of the environment.

    Raises:
        ConfigurationError: They cannot be used.
    """
    problems: list[str] = []

    def read(name: str, given: object, kind: type[S]) -> S | None:
        try:
            return _checked(name, given, kind)
        except ConfigurationError as error:
            problems.append(str(error))
        return None

    place = read("redis", redis, RedisSettings)
    behaviour = read("memory", memory, MemorySettings)
    if place is None or behaviour is None:
        raise ConfigurationError("; ".join(problems))
    return place, behaviour


def _checked(name: str, given: object, kind: type[S]) -> S:
    if given is None:
        return kind()
    if not isinstance(given, kind):
        raise ConfigurationError(
            f"{name} must be {kind.__name__}(...), not a {type(given).__name__}"
        )
    return given
