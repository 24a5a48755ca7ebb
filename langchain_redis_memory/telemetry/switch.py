"""Whether anybody has set up OpenTelemetry; as long as nobody has, nothing of it is loaded.

The check stands in the way of every request, so it is a comparison of two numbers. What is behind
it, the API's own question for its providers, costs as much as a twentieth of a round trip.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from langchain_redis_memory.telemetry.signals import Signals

Phase = Literal["read", "write"]

# Whoever sets up a provider has imported one of them.
_API = ("opentelemetry.trace", "opentelemetry.metrics")
_PAUSE = 0.1
"""Seconds between two looks."""

_NOTHING = nullcontext()
_logger = logging.getLogger("langchain_redis_memory")


class _Switch:
    """What was seen."""

    def __init__(self) -> None:
        self.on: Signals | None = None
        self.next_look = 0.0
        self.lock = threading.Lock()


_switch = _Switch()


def signals() -> Signals | None:
    """Give what records spans and metrics, or None as long as nobody has set up a provider.

    That somebody has is noticed within a tenth of a second, and then for good.
    """
    if _switch.on is None and (now := monotonic()) >= _switch.next_look:
        _switch.next_look = now + _PAUSE
        _look()
    return _switch.on


def turn_span(phase: Phase) -> AbstractContextManager[None]:
    """Record what is within as reading a turn, or as writing it."""
    on = signals()
    return _NOTHING if on is None else on.turn(phase)


def _look() -> None:
    # Who finds the lock taken goes on without: another thread looks, or held it in a process that
    # this one was forked from.
    if any(name in sys.modules for name in _API) and _switch.lock.acquire(blocking=False):
        try:
            _switch.on = _switch.on or _set_up()
        finally:
            _switch.lock.release()


def _set_up() -> Signals | None:
    try:
        return _signals_for_providers()
    except Exception as error:  # noqa: BLE001 - nobody's turn is to fail for being watched
        _switch.next_look = math.inf
        _logger.warning(
            "no spans or metrics: OpenTelemetry cannot be used (%s); see that the providers named "
            "by OTEL_PYTHON_... are installed, and opentelemetry-api 1.30 or later: "
            'pip install -U "langchain-redis-memory[otel]"',
            type(error).__name__,
        )
    return None


def _signals_for_providers() -> Signals | None:
    from opentelemetry import metrics, trace  # noqa: PLC0415 - loaded already; it is no dependency

    # What the API brings itself does nothing; what does something was made elsewhere.
    providers = (trace.get_tracer_provider(), metrics.get_meter_provider())
    if all(type(p).__module__.startswith(_API) for p in providers):
        return None
    from langchain_redis_memory.telemetry.signals import Signals  # noqa: PLC0415 - loads the API

    return Signals()
