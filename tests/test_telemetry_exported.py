"""What leaves the process: OTLP over HTTP, by the real exporter to a real receiver."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from watching import OURS, set_up

from langchain_redis_memory import OfflineChatModel, RedisMemory, RetryPolicy

CONFIG = {"configurable": {"session_id": "session-4711", "user_id": "alice-4711"}}
QUICK = RetryPolicy(attempts=2, initial=0.001, deadline=2)


class Receiver:
    """What a collector is to an exporter."""

    def __init__(self):
        self.bodies = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                packed = self.headers.get("Content-Encoding") == "gzip"
                bodies.append((self.path, gzip.decompress(body) if packed else body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self):
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self):
        """Give the spans that came."""
        return [
            span
            for path, body in self.bodies
            if path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self):
        """Give the newest state of each metric by its name."""
        return {
            metric.name: metric
            for path, body in self.bodies
            if path == "/v1/metrics"
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def receiver():
    """A receiver of this test's own."""
    receiver = Receiver()
    yield receiver
    receiver.stop()


async def test_a_turn_and_an_outage_arrive_at_a_collector(start_server, receiver, monkeypatch, do):
    """Whole, by the names and units of docs/observability.md, without a text or an id."""
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{receiver.url}/v1/traces")))
    exporter = OTLPMetricExporter(f"{receiver.url}/v1/metrics")
    meters = MeterProvider([PeriodicExportingMetricReader(exporter)])
    set_up(monkeypatch, tracers, meters)
    server = start_server("--appendonly", "yes")
    async with RedisMemory.from_url(server.url, retry=QUICK, on_unavailable="stateless") as memory:
        chat = memory.with_history(OfflineChatModel(), agent="agent-4711")
        await do(chat, "invoke", "My name is Alice-4711.", CONFIG)
        server.kill()
        await do(chat, "invoke", "What is my name?", CONFIG)
        server.start()
        await do(memory, "ping")
    tracers.shutdown()
    meters.shutdown()

    spans = receiver.spans()
    by_id = {span.span_id: span for span in spans}
    requests = [span for span in spans if span.kind == span.SPAN_KIND_CLIENT]
    assert [(by_id[span.parent_span_id].name, span.name) for span in requests[:3]] == [
        ("read turn", "reading a conversation"),
        ("write turn", "saving a turn"),
        ("read turn", "reading a conversation"),
    ]
    error = Status.STATUS_CODE_ERROR
    assert [span.status.code for span in requests] == [0, 0, error, 0]
    assert [event.name for event in requests[2].events] == ["retry"]
    metrics = receiver.metrics()
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "db.client.operation.duration": "s",
        f"{OURS}.turn.duration": "s",
        f"{OURS}.round_trips": "{trip}",
        f"{OURS}.retries": "{retry}",
        f"{OURS}.messages": "{message}",
        f"{OURS}.io": "By",
        f"{OURS}.dropped_writes": "{write}",
        f"{OURS}.outage.time": "s",
        f"{OURS}.active_outages": "{outage}",
    }
    [stored] = metrics[f"{OURS}.messages"].sum.data_points
    assert stored.as_int == 2
    [away] = metrics[f"{OURS}.active_outages"].sum.data_points
    assert away.as_int == 0
    assert not any(b"4711" in body for _, body in receiver.bodies)
