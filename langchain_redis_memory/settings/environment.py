"""Settings from environment variables and ``.env``: what is wrong is told by the variables' names.

What pydantic says of a value quotes it. So its errors do not leave this module: each becomes a line
of its own, which shows the value only where no secret stands.
"""

from __future__ import annotations

import logging
import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from langchain_redis_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.config import JsonDict
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_logger = logging.getLogger("langchain_redis_memory")


def setting(
    default: Any,
    meaning: str,
    form: str,
    *,
    example: str,
    unit: str = "",
    shown: str | None = None,
) -> Any:
    """Give a field with what the documentation and the errors say of it.

    Args:
        default: Its value when the variable is not set.
        meaning: What it is.
        form: What it must be.
        example: A value as it stands in the environment.
        unit: What a number counts.
        shown: The default in words, where it does not say it by itself.
    """
    if shown is None:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    words: JsonDict = {"form": form, "unit": unit, "default": shown}
    return Field(default, description=meaning, examples=[example], json_schema_extra=words)


class EnvironmentSettings(BaseSettings):
    """Settings of variables with one prefix.

    Raises:
        ConfigurationError: Variables cannot be used; it names them all.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    shows_values: ClassVar[bool] = True
    """Whether an error may quote a value."""
    is_shared: ClassVar[bool] = False
    """Whether other programs have variables of this prefix: only what is meant for us is wrong."""
    other_words: ClassVar[dict[str, str]] = {}
    """What fields are called elsewhere."""

    def __init__(self, **values: Any) -> None:
        problems: list[str] = []
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems += _told(type(self), error)
        except OSError as error:
            which = f": {os.fspath(error.filename)!r}" if error.filename else ""
            problems.append(f"the file of settings cannot be read: {error.strerror}{which}")
        except UnicodeDecodeError:
            problems.append("the file of settings cannot be read: it is not UTF-8")
        # Raised apart from what was wrong, which may quote a password.
        if problems:
            raise ConfigurationError("; ".join(problems))

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        # pydantic's own error for a frozen model quotes the value.
        raise AttributeError(f"a {type(self).__name__} does not change; make a new one")

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # pydantic's own source of secrets passes over those of settings within settings.
        secrets = EnvSettingsSource(settings_cls)
        secrets.env_vars = _secrets(file_secret_settings, secrets.env_prefix.lower())
        strangers: dict[str, Any] = {}
        for source in (env_settings, dotenv_settings, secrets):
            if isinstance(source, EnvSettingsSource):
                strangers |= cls._take_strangers(source)
        unknown = InitSettingsSource(settings_cls, init_kwargs=strangers)
        return init_settings, env_settings, dotenv_settings, secrets, unknown

    @classmethod
    def _take_strangers(cls, source: EnvSettingsSource) -> dict[str, Any]:
        """Leave a source what is known, and give what has our prefix and is not."""
        prefix = source.env_prefix.lower()
        known = {f"{prefix}{name}".lower() for name in names_of(cls)}
        found = {name: value for name, value in source.env_vars.items() if name.startswith(prefix)}
        source.env_vars = {name: value for name, value in found.items() if name in known}
        strangers = {n.removeprefix(prefix): v for n, v in found.items() if n not in known}
        wrong = {n: v for n, v in strangers.items() if not cls.is_shared or _meant(cls, n, 0.75)}
        for name in strangers.keys() - wrong.keys():
            _logger.info("%s is no variable of this package", variable(cls, name))
        # The blank tells MEMORY__RETRY, which there is not, from MEMORY__RETRY__...
        return {f"{name} ": value for name, value in wrong.items()}

    def given(self) -> dict[str, Any]:
        """Give what was set, by the names of the fields."""
        values = {name: getattr(self, name) for name in sorted(self.model_fields_set)}
        return {name: value for name, value in values.items() if value is not None}


def _secrets(source: PydanticBaseSettingsSource, prefix: str) -> dict[str, str | None]:
    """Read the files that are named like variables; a later directory's take precedence."""
    given = source.secrets_dir if isinstance(source, SecretsSettingsSource) else None
    directories = [given] if isinstance(given, str | os.PathLike) else given or ()
    files = [file for directory in directories for file in Path(directory).expanduser().iterdir()]
    named = [file for file in files if file.name.lower().startswith(prefix) and file.is_file()]
    texts = {file.name.lower(): file.read_text("utf-8-sig").strip() for file in named}
    return {name: text for name, text in texts.items() if text}


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Give the fields of settings, those of settings within them by both names."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from ((f"{name}__{below}", field) for below, field in fields_of(field.annotation))
        else:
            yield name, field


def names_of(model: type[BaseModel]) -> list[str]:
    """Name what stands behind the prefix of each variable."""
    return [name for name, _ in fields_of(model)]


def variable(settings: type[BaseSettings], name: str) -> str:
    """Name the variable of a field."""
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _told(settings: type[EnvironmentSettings], error: ValidationError) -> list[str]:
    return [_problem(settings, detail) for detail in error.errors(include_url=False)]


def _problem(settings: type[EnvironmentSettings], detail: ErrorDetails) -> str:
    name = "__".join(str(part) for part in detail["loc"]).strip()
    own = variable(settings, name)
    words = detail.get("ctx", {}).get("error")
    if not name:  # of several fields together; they are named
        return str(words)
    if detail["type"] == "extra_forbidden":
        meant = _meant(settings, name)
        names = ", ".join(variable(settings, other) for other in names_of(settings))
        hint = f"did you mean {variable(settings, meant)}?" if meant else f"there are {names}"
        return f"there is no {own} ({hint})"
    if isinstance(words, ConfigurationError):
        return f"{own}: {words}"
    usual = "set field by field" if detail["type"] == "model_type" else "of another form"
    form = _extra(dict(fields_of(settings)).get(name)).get("form", usual)
    shown = f", not {detail['input']!r:.80}" if settings.shows_values else ""
    return f"{own} must be {form}{shown}"


def _extra(field: FieldInfo | None) -> dict[str, Any]:
    extra = field.json_schema_extra if field else None
    return extra if isinstance(extra, dict) else {}


def _meant(settings: type[EnvironmentSettings], name: str, likeness: float = 0.6) -> str:
    """Name the field that was probably meant, or none."""
    near = get_close_matches(name.lower(), names_of(settings), 1, likeness)
    return settings.other_words.get(name.lower(), next(iter(near), ""))
