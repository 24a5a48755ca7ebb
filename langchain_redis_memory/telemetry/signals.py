"""Spans and metrics, by OpenTelemetry's API; loaded when somebody has set up a provider.

Of an exception only its kind is told: its words name keys, and with them ids.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, StatusCode

from langchain_redis_memory._version import __version__
from langchain_redis_memory.telemetry.attributes import (
    SCOPE,
    Attributes,
    messages_in,
    of_error,
    of_request,
    of_server,
    size_in,
    size_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Span

    from langchain_redis_memory.storage.operation import Operation
    from langchain_redis_memory.telemetry.switch import Phase

T = TypeVar("T")

IDS = "OTEL_INSTRUMENTATION_LANGCHAIN_REDIS_MEMORY_CAPTURE_IDS"
"""The environment variable that asks for keys, and so for ids, in the spans of requests."""

_SCHEMA = "https://opentelemetry.io/schemas/1.41.0"
# As the convention asks; a turn is about as long as two requests.
_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
# What a request has and a metric leaves out, since it takes any number of values.
_SPANS_ONLY = {"db.operation.batch.size"}
_DIRECTION = f"{SCOPE}.direction"
_PHASE = f"{SCOPE}.turn.phase"


class Signals:
    """Records what is done."""

    def __init__(self) -> None:
        self._shows_keys = os.environ.get(IDS, "").strip().lower() == "true"
        self._tracer = trace.get_tracer(SCOPE, __version__, schema_url=_SCHEMA)
        meter = metrics.get_meter(SCOPE, __version__, schema_url=_SCHEMA)
        count = meter.create_counter

        def seconds(name: str, text: str) -> Histogram:
            return meter.create_histogram(
                name, "s", text, explicit_bucket_boundaries_advisory=_SECONDS
            )

        self._requests = seconds(
            "db.client.operation.duration", "Duration of database client operations."
        )
        self._turns = seconds(f"{SCOPE}.turn.duration", "Reading a turn, or writing it.")
        self._trips = count(f"{SCOPE}.round_trips", "{trip}", "Requests that left for the server.")
        self._retries = count(f"{SCOPE}.retries", "{retry}", "Attempts that failed.")
        self._messages = count(f"{SCOPE}.messages", "{message}", "Messages read and written.")
        self._bytes = count(f"{SCOPE}.io", "By", "Bytes of arguments and of replies.")
        self._dropped = count(f"{SCOPE}.dropped_writes", "{write}", "Writes without Redis.")
        self._outage_time = count(f"{SCOPE}.outage.time", "s", "Time without Redis.")
        self._outages = meter.create_up_down_counter(
            f"{SCOPE}.active_outages", "{outage}", "Memories for which Redis is away."
        )

    def turn(self, phase: Phase) -> AbstractContextManager[Any]:
        """See `switch.turn_span`."""
        return self._timed(f"{phase} turn", SpanKind.INTERNAL, {}, self._turns, {_PHASE: phase})

    @contextmanager
    def request(self, operation: Operation[T], address: str) -> Iterator[Operation[T]]:
        """Record an operation: all of its attempts, since they are one to whoever waits for it.

        Gives the operation to send in its place, whose replies are counted.
        """
        server, sent = of_server(address), of_request(operation)
        known = {**server, **{k: v for k, v in sent.items() if k not in _SPANS_ONLY}}
        keys = {f"{SCOPE}.key": operation.key} if self._shows_keys and operation.key else {}
        attributes = {**server, **sent, **keys}
        client = SpanKind.CLIENT
        with self._timed(operation.name, client, attributes, self._requests, known) as span:
            yield self._counted(operation, server, span)

    def trip(self, address: str) -> None:
        """Count a request that leaves."""
        self._trips.add(1, of_server(address))

    def retried(self, operation: str, address: str, attempt: int, pause: float, kind: str) -> None:
        """Note that an attempt failed, and that another one follows."""
        self._retries.add(
            1, {**of_server(address), "db.query.summary": operation, "error.type": kind}
        )
        noted: Attributes = {"error.type": kind, f"{SCOPE}.attempt": attempt}
        noted[f"{SCOPE}.delay"] = pause
        trace.get_current_span().add_event("retry", noted)

    def outage(self, address: str, seconds: float, change: int) -> None:
        """Note that Redis was away for so many seconds more, and that an outage began or ended."""
        self._outages.add(change, of_server(address))
        self._outage_time.add(seconds, of_server(address))

    def dropped(self, address: str) -> None:
        """Count a write that was dropped."""
        self._dropped.add(1, of_server(address))

    def _counted(
        self, operation: Operation[T], server: Mapping[str, str | int | float], span: Span
    ) -> Operation[T]:
        def counting(read: Callable[[Sequence[Any]], T]) -> Callable[[Sequence[Any]], T]:
            def counted(replies: Sequence[Any]) -> T:
                result = read(replies)
                # A write whose result is False found itself stored before.
                stored = operation.messages if result is not False else 0
                for direction, messages, size in (
                    ("read", messages_in(result), size_in(replies)),
                    ("write", stored, size_of(operation.commands)),
                ):
                    about = {**server, _DIRECTION: direction}
                    self._bytes.add(size, about)
                    if messages:
                        self._messages.add(messages, about)
                        span.set_attribute(f"{SCOPE}.messages", messages)
                return result

            return counted

        again = operation.read_again
        return replace(
            operation, read=counting(operation.read), read_again=again and counting(again)
        )

    @contextmanager
    def _timed(
        self, name: str, kind: SpanKind, attributes: Attributes, times: Histogram, about: Attributes
    ) -> Iterator[Span]:
        began, failed = perf_counter(), Attributes()
        with self._tracer.start_as_current_span(
            name,
            kind=kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                failed = of_error(error)
                span.set_status(StatusCode.ERROR)
                span.set_attributes(failed)
                raise
            finally:
                times.record(perf_counter() - began, {**about, **failed})
