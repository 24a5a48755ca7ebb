"""Where the conversations are kept: the one place that makes the memory."""

from pathlib import Path
from typing import Any, Literal

from langchain_redis_memory import ConfigurationError, RedisMemory, RetryPolicy

_OPTIONS: dict[str, Any] = {
    "window": 50,  # messages a model is given of a conversation
    "max_messages": 1000,  # messages that are kept of one
    "outage_pause": 1.0,  # seconds between questions whether Redis is back
}


def open_memory(
    url: str | None,
    *,
    directory: Path,
    password_file: Path | None = None,
    on_unavailable: Literal["stateless", "error"] = "stateless",
    deadline: float = 2.0,
) -> RedisMemory:
    """Make the memory; nothing connects before it is used.

    Args:
        url: The server; None for an embedded one.
        directory: Where the embedded one keeps its data.
        password_file: A file with the server's password, which so stands in no command line.
        on_unavailable: What comes while Redis is away: answers without memory, or errors.
        deadline: How long Redis has for an answer, in seconds, before it is taken to be away.

    Raises:
        ConfigurationError: The URL or a file cannot be used.
    """
    options = {**_OPTIONS, "on_unavailable": on_unavailable}
    options["retry"] = RetryPolicy(deadline=deadline)
    if password_file is not None:
        options["password"] = _secret(password_file)
    if url is None:
        return RedisMemory.embedded(directory, **options)
    return RedisMemory.from_url(url, **options)


def _secret(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the password file {str(file)!r} cannot be read: {type(error).__name__}"
        ) from None
