"""What happens to requests, for the log and for OpenTelemetry: retries and outages.

Each record has the name of its event in the field ``event``, and what belongs to it in others, for
handlers that write JSON; docs/observability.md lists them.
"""

from __future__ import annotations

import logging

from langchain_redis_memory.telemetry.attributes import of_error
from langchain_redis_memory.telemetry.switch import signals

_logger = logging.getLogger("langchain_redis_memory")


def retried(operation: str, address: str, attempt: int, pause: float, error: BaseException) -> None:
    """Tell of an attempt that failed.

    Args:
        operation: What was to be done.
        address: Where, without a password.
        attempt: The number of the attempt; the first is 1.
        pause: Seconds until the next one.
        error: Why it failed.
    """
    kind = _kind(error)
    _logger.info(
        "attempt %d failed, next in %.2f s: %s",
        attempt,
        pause,
        error,
        extra={
            "event": "retry",
            "operation": operation,
            "server": address,
            "attempt": attempt,
            "delay": pause,
            "error_type": kind,
        },
    )
    if on := signals():
        on.retried(operation, address, attempt, pause, kind)


def outage_began(address: str, pause: float, error: BaseException | None) -> None:
    """Tell that Redis cannot be reached: a warning if nobody else does, by an error.

    Args:
        address: Where, without a password.
        pause: Seconds between attempts, while going on without memory; 0 if errors are raised.
        error: Why not.
    """
    going_on = f": going on without memory, asking again every {pause:g} s" if pause else ""
    _logger.log(
        _level(pause),
        "Redis at %s cannot be reached%s",
        address,
        going_on,
        extra={
            "event": "outage_began",
            "server": address,
            "stateless": pause > 0,
            "error_type": _kind(error),
        },
    )


def outage_ended(address: str, pause: float, seconds: float, dropped: int) -> None:
    """Tell that Redis is back, as loud as that it was not.

    Args:
        address: Where, without a password.
        pause: See `outage_began`.
        seconds: How long it was away.
        dropped: How many writes were dropped so far, in this outage and before.
    """
    _logger.log(
        _level(pause),
        "Redis at %s is back; %d writes were dropped so far",
        address,
        dropped,
        extra={
            "event": "outage_ended",
            "server": address,
            "stateless": pause > 0,
            "seconds": seconds,
            "dropped_writes": dropped,
        },
    )


def _level(pause: float) -> int:
    return logging.WARNING if pause else logging.INFO


def _kind(error: BaseException | None) -> str:
    return "" if error is None else str(of_error(error)["error.type"])
