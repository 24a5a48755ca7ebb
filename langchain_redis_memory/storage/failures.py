"""What redis-py's errors mean: one table, for every place that talks to a server."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any

import redis.asyncio.sentinel
import redis.sentinel
from redis import exceptions as redis_errors

from langchain_redis_memory.errors import RedisMemoryError, StorageRejected, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_redis_memory.storage.operation import Operation

FAILURES = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)
"""Whatever sending can raise."""

_NO_PRIMARY = (redis.sentinel.MasterNotFoundError, redis.asyncio.sentinel.MasterNotFoundError)
_REASON = re.compile(r"\b(?:Authentication|Connection|Timeout)Error\b|\bCERTIFICATE_\w+")

# A primary that was replaced is a replica now, or one that lost its replica, until it is told.
_DEMOTED = re.compile("READONLY|NOREPLICAS", re.IGNORECASE)


def says_demoted(replies: Sequence[Any]) -> bool:
    """Tell whether a reply comes from a server that was the primary."""
    return any(
        isinstance(reply, redis_errors.ResponseError) and _DEMOTED.search(f"{reply!r}{reply}")
        for reply in replies
    )


# What a server says, by the first word of its reply: https://redis.io/docs/latest/develop/reference/
# protocol-spec/#simple-errors. Servers before 7.0 quote it inside "Error running script".
_CODE = re.compile(
    r"\b(WRONGPASS|NOAUTH|NOPERM|WRONGTYPE|OOM|MISCONF|LOADING|READONLY|MASTERDOWN|TRYAGAIN"
    r"|CLUSTERDOWN|NOREPLICAS|BUSY)\b"
)
_DENIED_IN_SCRIPT = "can't run this command"  # Redis 7.0 gives it no code
_AUTH = (
    "the server refused the user name or password, or was given none; check them in the URL or the "
    "settings"
)
_SENTINELS_AUTH = (
    "the sentinels refused the user name or password; check sentinel_username and "
    "sentinel_password in the URL or the settings"
)
_PERMISSION = (
    "this Redis user lacks a permission ({text}); docs/architecture.md lists the commands to allow"
)
_FULL = "the server's memory is full; raise its maxmemory or remove data"
_REJECTED: dict[str, str] = {
    "WRONGPASS": _AUTH,
    "NOAUTH": _AUTH,
    "NOPERM": _PERMISSION,
    "OOM": _FULL,
    "WRONGTYPE": (
        "the key {key!r} holds another type of data; look at it with TYPE, then remove it with "
        "UNLINK if it is not needed, or use another id or namespace"
    ),
    "MISCONF": "the server cannot persist its data and takes no writes; look at its log and disk",
}
_REJECTED_CLASSES: dict[type[Exception], str] = {
    redis_errors.AuthenticationError: "WRONGPASS",
    redis_errors.AuthenticationWrongNumberOfArgsError: "WRONGPASS",
    redis_errors.AuthorizationError: "NOPERM",
    redis_errors.NoPermissionError: "NOPERM",
    redis_errors.OutOfMemoryError: "OOM",
}
"""Errors of which redis-py has taken the code away."""
_AWAY_CLASSES = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterError,
    redis_errors.AskError,
    redis_errors.TryAgainError,
    redis_errors.RedisClusterException,
    OSError,
)


def translate(error: Exception, operation: Operation[Any], address: str) -> RedisMemoryError:
    """Make our error of redis-py's: what happened, where, and what to do."""
    _forget_secrets(error)
    text = " ".join(str(error).split())
    what = f"{operation.name} on Redis at {address} failed"
    # redis.asyncio wraps what happens while it connects in a ConnectionError of its own.
    causes = list(_causes(error))
    if any(map(_is_untrusted, causes)):
        return StorageRejected(
            f"{what}: a certificate was refused ({text}); check ssl_ca_certs, the host name, the "
            "certificate's dates, and ssl_certfile if the server asks for the client's"
        )
    if isinstance(error, _NO_PRIMARY) and text.endswith("(AuthenticationError)"):
        return StorageRejected(f"{what}: {_SENTINELS_AUTH}")
    code = _code_of(causes, text)
    if code in _REJECTED:
        advice = _REJECTED[code].format(text=text, key=operation.key)
        return StorageRejected(f"{what}: {advice}", code)
    if code or isinstance(error, _AWAY_CLASSES):
        hint = " Is a server running there?" if "refused" in text else ""
        return StorageUnavailable(f"{what}: {text or type(error).__name__}{hint}")
    return StorageRejected(f"{what}: {text or type(error).__name__}")


def _code_of(causes: Sequence[BaseException], text: str) -> str:
    for kind, code in _REJECTED_CLASSES.items():
        if any(isinstance(cause, kind) for cause in causes):
            return code
    if _DENIED_IN_SCRIPT in text:
        return "NOPERM"
    return found[0] if (found := _CODE.search(text)) else ""


def _forget_secrets(error: BaseException) -> None:
    if error.args and isinstance(error.args[0], str):
        # "unknown command 'X', with args beginning with: ..." quotes what was sent: message texts.
        text = error.args[0].partition(", with args beginning with")[0]
        if isinstance(error, _NO_PRIMARY):
            # What follows shows the sentinels' clients, before redis-py 8 with their passwords.
            text, _, details = text.partition(" : ")
            reasons = sorted(set(_REASON.findall(details)))
            text += f" ({', '.join(reasons)})" if reasons else ""
        error.args = (text, *error.args[1:])


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_untrusted(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_" in str(error)
