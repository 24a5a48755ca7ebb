"""OpenTelemetry set up for one test: what was recorded, in memory."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_redis_memory.telemetry import switch

OURS = "langchain_redis_memory"


class Watched:
    """What was recorded."""

    def __init__(self):
        self._spans = InMemorySpanExporter()
        self._numbers = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._numbers])

    def spans(self, name=None):
        """Give the spans that have ended, of one name or all; those of the test itself too."""
        return [s for s in self._spans.get_finished_spans() if name in (None, s.name)]

    def one(self, name):
        """Give the one span of that name."""
        [span] = self.spans(name)
        return span

    def parent(self, span):
        """Give the span that one stands in; None for none."""
        of = span.parent and span.parent.span_id
        return next((s for s in self.spans() if s.context.span_id == of), None)

    def line(self, span):
        """Name a span and those that it stands in, the outermost first."""
        return [*(self.line(above) if (above := self.parent(span)) else []), span.name]

    def metrics(self):
        """Give the points of every metric by its name."""
        data = self._numbers.get_metrics_data()
        return {
            metric.name: metric.data.data_points
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def total(self, name, **attributes):
        """Add up the points of a metric whose attributes end and are as told."""
        return sum(
            getattr(point, "value", None) or getattr(point, "count", 0)
            for point in self.metrics().get(name, ())
            if all(
                any(k.endswith(end) and v == value for k, v in point.attributes.items())
                for end, value in attributes.items()
            )
        )

    def shutdown(self):
        """End what was begun."""
        self.tracers.shutdown()
        self.meters.shutdown()

    @contextmanager
    def caller(self, name="caller"):
        """Be within a span of the application's own."""
        with self.tracers.get_tracer("app").start_as_current_span(name) as span:
            yield span


def set_up(patch, tracers, meters):
    """Set the providers, as an application does, and have them noticed."""
    # The API takes each only once in a process, and a process runs many tests.
    patch.setattr(trace, "_TRACER_PROVIDER", tracers)
    patch.setattr(metrics._internal, "_METER_PROVIDER", meters)
    patch.setattr(switch, "_switch", switch._Switch())


@pytest.fixture
def watched(monkeypatch):
    """Record what is done."""
    recorded = Watched()
    set_up(monkeypatch, recorded.tracers, recorded.meters)
    yield recorded
    recorded.shutdown()
