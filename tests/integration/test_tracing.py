"""Traces end to end: from a producer's header over Kafka to a collector that speaks OTLP, and without a collector."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import CommittedReader, run_processor
from processor.config import Settings, settings_from
from processor.engine.observer import Committed
from processor.surfaces.folds import partition_fold
from processor.surfaces.tracing import Tracing
from processor.surfaces.tracing_environment import tracing_from_environment
from tests.faults.stage import create_topics, scenario_settings
from tests.kafka.locked import as_party
from tests.unit.loop.streams import Record

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector(ThreadingHTTPServer):
    """An OTLP receiver on a free port of 127.0.0.1: takes what the protocol's own definition can parse."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.received: list[ResourceSpans] = []
        self.headers: list[dict[str, str]] = []
        self.answer = threading.Event()
        self.answer.set()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self, name: str) -> list[Span]:
        return [
            span
            for resource in self.received
            for scope in resource.scope_spans
            for span in scope.spans
            if span.name == name
        ]


class _Receiving(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answer.wait(30)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        good = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
        if good:
            self.server.received.extend(request.resource_spans)
            self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200 if good else 400)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        yield server
        server.answer.set()
        server.shutdown()
        serving.join()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tracing]:
    """`traced(settings, OTEL_…="…")`: what these variables and no others ask for."""

    def ask(settings: Settings, **variables: str) -> Tracing:
        for name in list(os.environ):
            if name.startswith("OTEL_"):
                monkeypatch.delenv(name)
        for name, value in {"NO_PROXY": "127.0.0.1", **variables}.items():
            monkeypatch.setenv(name, value)
        tracing = tracing_from_environment(settings, os.environ)
        assert tracing is not None
        return tracing

    return ask


def committed(offsets: range) -> Committed:
    records = [Record(b"{}", offset, -1, b"s", [("traceparent", PARENT)]) for offset in offsets]
    return Committed(0.05, len(records), {0: offsets.stop}, traced={0: records})


def attributes(of: Any) -> dict[str, Any]:
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in of.attributes}


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_collector_gets_what_was_traced_before_the_end(
    collector: Collector, traced: Callable[..., Tracing], compression: str
) -> None:
    tracing = traced(
        settings_from(
            {"engine": {"application_id": "app", "instance_id": "w-0"}, "tracing": {"max_spans_per_s": 1_000}}
        ),
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        OTEL_EXPORTER_OTLP_HEADERS="x-api-key=secret",
        OTEL_EXPORTER_OTLP_COMPRESSION=compression,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=check",
    )
    tracing.committed(committed(range(100)))
    tracing.committed(committed(range(100, 150)))
    tracing.shutdown(10)
    assert [attributes(span)["messaging.kafka.offset"] for span in collector.spans("process tori.state")] == list(
        range(150)
    )
    assert [len(span.links) for span in collector.spans("commit tori.state")] == [100, 50]
    assert {
        "service.name": "app",
        "service.instance.id": "w-0",
        "deployment.environment.name": "check",
    }.items() <= attributes(collector.received[0].resource).items()
    assert all(headers["x-api-key"] == "secret" for headers in collector.headers)


async def test_a_producers_trace_goes_on_into_actions_and_to_the_collector(
    kafka: EmbeddedKafka, collector: Collector, traced: Callable[..., Tracing]
) -> None:
    settings = scenario_settings(kafka.bootstrap_servers, 1, {"engine.instance_id": "traced"})
    await create_topics(settings)
    own = TracerProvider(shutdown_on_exit=False)
    carrier: dict[str, str] = {}
    with own.get_tracer("producer").start_as_current_span("send") as sent:
        TraceContextTextMapPropagator().inject(carrier)
    parent = carrier["traceparent"].encode()
    hostile = [("traceparent", b"\xff" * 65_536), ("tracestate", b"\x00")]
    headers = [[("traceparent", parent)], [("traceparent", parent[:-2] + b"00")], hostile, [("traceparent", None)]]
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await producer.start()
    for number, own_headers in enumerate(headers):
        value = json.dumps({"session_id": "s", "state": {"novelty": number / 10}}).encode()
        await producer.send_and_wait(settings.topics.state, value, b"s", 0, headers=own_headers)
    await producer.stop()

    witness, settings = settings, await as_party(settings, "processor")
    tracing = traced(settings, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    stop = asyncio.Event()
    running = asyncio.create_task(run_processor(settings, lambda p: partition_fold(settings, p), tracing, stop))
    actions: list[Any] = []
    async with CommittedReader(witness, [settings.topics.actions]) as reader, asyncio.timeout(60):
        while len(actions) < len(headers):
            actions += await reader.read(1.0)
    stop.set()
    await running
    await asyncio.to_thread(tracing.shutdown, 10)

    assert [[name for name, _ in action.headers if name != "source.offset"] for action in actions[:2]] == [
        ["traceparent"]
    ] * 2
    assert dict(actions[0].headers)["traceparent"] == parent
    context = sent.get_span_context()
    [event] = collector.spans(f"process {settings.topics.state}")
    assert (event.trace_id, event.parent_span_id) == (
        context.trace_id.to_bytes(16, "big"),
        context.span_id.to_bytes(8, "big"),
    )
    assert event.kind == Span.SPAN_KIND_CONSUMER
    assert attributes(event)["messaging.kafka.offset"] == 0
    assert 0 <= attributes(event)["creative_feedback.end_to_end_ms"] < 60_000
    [transaction] = collector.spans(f"commit {settings.topics.state}")
    assert [link.span_id for link in transaction.links] == [event.parent_span_id]
    assert [link.span_id for link in event.links] == [transaction.span_id]
    assert 0 < event.end_time_unix_nano - event.start_time_unix_nano < 60 * 10**9


def test_a_collector_that_is_gone_costs_nothing_but_its_spans(
    traced: Callable[..., Tracing], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    tracing = traced(
        Settings(),
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.2",
        OTEL_BSP_SCHEDULE_DELAY="20",
        OTEL_BSP_MAX_QUEUE_SIZE="64",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="16",
    )
    began = time.monotonic()
    for number in range(20):
        tracing.committed(committed(range(number * 10, number * 10 + 10)))
    took_s = time.monotonic() - began
    tracing.shutdown(5)
    assert took_s < 2  # a tenth of it on an idle machine; trying to send them takes 0.2 s for each 16
    lost = [message for message in caplog.messages if message.startswith("traces:")]
    assert len(lost) == 1
    assert "spans lost" in lost[0]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in lost[0]


def test_a_collector_that_does_not_answer_does_not_hold_up_the_end(
    collector: Collector, traced: Callable[..., Tracing]
) -> None:
    collector.answer.clear()
    tracing = traced(Settings(), OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    tracing.committed(committed(range(10)))
    began = time.monotonic()
    tracing.shutdown(0.3)
    assert time.monotonic() - began < 5
