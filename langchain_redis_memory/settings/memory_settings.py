"""`MemorySettings`: how a memory behaves, by ``MEMORY__...``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from langchain_core.messages.utils import count_tokens_approximately
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from langchain_redis_memory.errors import ConfigurationError
from langchain_redis_memory.limits import SEVEN_DAYS, check_ttl
from langchain_redis_memory.settings.environment import EnvironmentSettings, setting
from langchain_redis_memory.storage.keys import Keys
from langchain_redis_memory.storage.retry import RetryPolicy
from langchain_redis_memory.window import Window

_HOUR, _DAY = 3600, 24 * 3600
_DEFAULT = RetryPolicy()


def _none(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


def _usable_ttl(seconds_each: int) -> AfterValidator:
    def check(value: float | None) -> float | None:
        try:
            check_ttl(None if value is None else value * seconds_each)
        except ConfigurationError as error:
            raise ValueError(value) from error  # it is told in the variable's own words and unit
        return value

    return AfterValidator(check)


def _usable_namespace(value: str) -> str:
    return Keys(value).namespace


_Seconds = Annotated[float, Field(gt=0, le=_DAY)]
_SECONDS = "a positive number of seconds, a day at most"
_Count = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_none)]
_COUNT = "a whole number of at least 1, or none"


class RetrySettings(BaseModel):
    """How long to go on trying while Redis is away; see `RetryPolicy`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempts: Annotated[int, Field(ge=1)] = setting(
        _DEFAULT.attempts,
        "how often an operation is tried at most",
        "a whole number of at least 1",
        unit="attempts",
        example="5",
    )
    initial: _Seconds = setting(
        _DEFAULT.initial,
        "the pause before the second attempt",
        _SECONDS,
        unit="seconds",
        example="0.1",
    )
    maximum: _Seconds = setting(
        _DEFAULT.maximum,
        "the longest pause between attempts",
        _SECONDS,
        unit="seconds",
        example="2",
    )
    deadline: _Seconds = setting(
        _DEFAULT.deadline,
        "the longest time for an operation: attempts, pauses and time-outs",
        _SECONDS,
        unit="seconds",
        example="3",
    )

    def policy(self) -> RetryPolicy:
        """Give the policy that they say."""
        return RetryPolicy(**self.model_dump())


class MemorySettings(EnvironmentSettings):
    """How a memory behaves, by ``MEMORY__...``; docs/settings.md tells of each.

    Raises:
        ConfigurationError: Variables cannot be used; it names them all.
    """

    model_config = SettingsConfigDict(env_prefix="MEMORY__")

    namespace: Annotated[str, AfterValidator(_usable_namespace)] = setting(
        "agent", "what every key starts with", "text", example="acme"
    )
    thread_ttl_hours: Annotated[float | None, _usable_ttl(_HOUR), BeforeValidator(_none)] = setting(
        SEVEN_DAYS / _HOUR,
        "how long after its last read or write a conversation expires; `none` for never",
        "a positive number of hours (100 years at most), or none for never",
        unit="hours",
        example="24",
    )
    user_ttl_days: Annotated[float | None, _usable_ttl(_DAY), BeforeValidator(_none)] = setting(
        None,
        "how long after its last read or write a profile expires; `none` for never",
        "a positive number of days (100 years at most), or none for never",
        unit="days",
        shown="none",
        example="365",
    )
    max_thread_messages: _Count = setting(
        None,
        "how much of a conversation is kept; `none` for all",
        _COUNT,
        unit="messages",
        shown="none",
        example="500",
    )
    window: _Count = setting(
        None,
        "how much of a conversation a read gives, in whole turns; `none` for all",
        _COUNT,
        unit="messages",
        shown="none",
        example="20",
    )
    window_tokens: _Count = setting(
        None,
        "the same in tokens of about four characters; `none` for all",
        _COUNT,
        unit="tokens",
        shown="none",
        example="4000",
    )
    on_unavailable: Literal["error", "stateless"] = setting(
        "error",
        "what comes when Redis is away: `error`, or `stateless` for going on without memory",
        "error or stateless",
        example="stateless",
    )
    outage_pause: _Seconds = setting(
        5.0,
        "the pause between attempts to reach Redis while going on without it",
        _SECONDS,
        unit="seconds",
        example="10",
    )
    retry: RetrySettings = RetrySettings()

    def options(self) -> dict[str, Any]:
        """Give what `RedisMemory` takes by keyword."""
        return {
            "namespace": self.namespace,
            "ttl": None if self.thread_ttl_hours is None else self.thread_ttl_hours * _HOUR,
            "profile_ttl": None if self.user_ttl_days is None else self.user_ttl_days * _DAY,
            "window": self._window(),
            "max_messages": self.max_thread_messages,
            "retry": self.retry.policy(),
            "on_unavailable": self.on_unavailable,
            "outage_pause": self.outage_pause,
        }

    def _window(self) -> Window | int | None:
        if self.window_tokens is None:
            return self.window
        return Window(
            messages=self.window, tokens=self.window_tokens, counter=count_tokens_approximately
        )
