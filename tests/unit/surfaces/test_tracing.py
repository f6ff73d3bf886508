"""Traces: spans of what was committed, as far as the producers sampled; whatever else the headers hold."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, Sampler
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from processor.config import Settings, settings_from
from processor.engine.observer import Committed
from processor.engine.ports import InputRecord
from processor.errors import ConfigError
from processor.surfaces.tracing import MAX_LINKS, Tracing
from processor.surfaces.tracing_context import sampled_context
from processor.surfaces.tracing_delivery import TOLD_EVERY_S, Delivery
from processor.surfaces.tracing_environment import tracing_from_environment
from tests.unit.loop.streams import Record

TRACE, SPAN = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = PARENT[:-2] + b"00"
NOW_NS = 1_760_000_000_500_000_000


def record(parent: bytes | None = PARENT, offset: int = 7, **fields: Any) -> Record:
    headers = [("own", b"x")] if parent is None else [("traceparent", parent), ("tracestate", b"v=1")]
    return Record(b"{}", offset, 1_760_000_000_400, b"a session", headers=fields.get("headers", headers))


def committed(traced: Mapping[int, Sequence[InputRecord]], records: int = 100) -> Committed:
    return Committed(0.2, records, {0: 5}, traced=traced)


class Traced:
    """A `Tracing` whose spans stay here; time stands still unless it is moved."""

    def __init__(self, settings: Settings | None = None, sampler: Sampler = DEFAULT_ON) -> None:
        self.kept = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.kept))
        self.now = 0.0
        self.tracing = Tracing(settings or Settings(), provider, clock=lambda: self.now, now_ns=lambda: NOW_NS)

    def committed(self, traced: Mapping[int, Sequence[InputRecord]]) -> None:
        self.tracing.committed(committed(traced))

    def spans(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.kept.get_finished_spans() if span.kind is kind]

    @property
    def transactions(self) -> list[ReadableSpan]:
        return self.spans(SpanKind.CLIENT)

    @property
    def events(self) -> list[ReadableSpan]:
        return self.spans(SpanKind.CONSUMER)


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.context
    assert isinstance(context, SpanContext)
    return context


def test_a_sampled_events_span_continues_its_producers_trace() -> None:
    settings = settings_from({"engine": {"application_id": "app", "instance_id": "w-0"}})
    traced = Traced(settings)
    traced.committed({3: [record()]})
    [event] = traced.events
    assert event.name == "process tori.state"
    assert event.parent is not None
    assert (event.parent.trace_id, event.parent.span_id, event.parent.is_remote) == (TRACE, SPAN, True)
    assert context_of(event).trace_id == TRACE
    assert dict(context_of(event).trace_state) == {"v": "1"}
    assert (event.start_time, event.end_time) == (NOW_NS - 200_000_000, NOW_NS)
    assert dict(event.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "tori.state",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 7,
        "messaging.consumer.group.name": "app",
        "messaging.client.id": "w-0",
        "creative_feedback.end_to_end_ms": 100,
    }


def test_the_transactions_span_links_to_the_producers_and_the_events_to_it() -> None:
    traced = Traced()
    traced.committed({0: [record(offset=1), record(UNSAMPLED, 2)], 1: [record(offset=3), record(None, 4)]})
    [transaction] = traced.transactions
    assert transaction.name == "commit tori.state"
    assert transaction.parent is None
    assert context_of(transaction).trace_id != TRACE
    assert [(link.context.trace_id, link.context.span_id) for link in transaction.links] == [(TRACE, SPAN)] * 2
    assert (transaction.start_time, transaction.end_time) == (NOW_NS - 200_000_000, NOW_NS)
    attributes = transaction.attributes or {}
    assert attributes["messaging.batch.message_count"] == 100
    assert attributes["creative_feedback.events_traced"] == 2
    assert attributes["creative_feedback.events_left_out"] == 0
    assert [(event.attributes or {})["messaging.kafka.offset"] for event in traced.events] == [1, 3]
    for event in traced.events:
        assert [link.context.span_id for link in event.links] == [context_of(transaction).span_id]


@pytest.mark.parametrize("sampler", [DEFAULT_ON, ALWAYS_ON])
def test_an_unsampled_parent_gives_nothing(sampler: Sampler) -> None:
    traced = Traced(sampler=sampler)
    traced.committed({0: [record(UNSAMPLED), record(None)], 1: []})
    traced.committed({})
    assert traced.kept.get_finished_spans() == ()


def test_a_sampler_that_wants_nothing_gets_nothing() -> None:
    traced = Traced(sampler=ALWAYS_OFF)
    traced.committed({0: [record()]})
    assert traced.kept.get_finished_spans() == ()


def test_links_are_bounded() -> None:
    traced = Traced(settings_from({"tracing": {"max_spans_per_s": 1_000}}))
    traced.committed({0: [record(offset=offset) for offset in range(1_000)]})
    [transaction] = traced.transactions
    assert len(transaction.links) == MAX_LINKS
    assert (transaction.attributes or {})["creative_feedback.events_traced"] == 1_000


def test_spans_a_second_are_bounded_and_what_has_none_is_counted() -> None:
    traced = Traced(settings_from({"tracing": {"max_spans_per_s": 10}}))
    for moment in (0.0, 0.5, 0.5, 100.0):
        traced.now = moment
        traced.committed({0: [record(offset=offset) for offset in range(30)]})
    assert len(traced.events) == 10 + 5 + 0 + 10
    told = [(len(span.links), span.attributes or {}) for span in traced.transactions]
    assert [links for links, _ in told] == [10, 5, 10]
    assert [attributes["creative_feedback.events_left_out"] for _, attributes in told] == [20, 25, 30 + 20]


def test_what_is_left_out_is_left_out_of_every_partition() -> None:
    traced = Traced(settings_from({"tracing": {"max_spans_per_s": 8}}))
    traced.committed({partition: [record(offset=offset) for offset in range(50)] for partition in range(4)})
    partitions = [(event.attributes or {})["messaging.destination.partition.id"] for event in traced.events]
    assert partitions == ["0", "0", "1", "1", "2", "2", "3", "3"]


def test_a_session_is_named_only_where_the_settings_say_so() -> None:
    traced = Traced()
    traced.committed({0: [record()]})
    assert "a session" not in "".join(span.to_json() for span in traced.kept.get_finished_spans())
    traced = Traced(settings_from({"tracing": {"session_ids": True}}))
    traced.committed({0: [record()]})
    assert (traced.events[0].attributes or {})["messaging.kafka.message.key"] == "a session"


def test_a_record_without_time_has_no_age() -> None:
    traced = Traced()
    traced.committed({0: [Record(b"{}", 1, time_ms, None, [("traceparent", PARENT)]) for time_ms in (None, -1)]})
    assert len(traced.events) == 2
    for event in traced.events:
        assert "creative_feedback.end_to_end_ms" not in (event.attributes or {})


def test_a_defect_while_tracing_is_logged_and_never_raised(caplog: pytest.LogCaptureFixture) -> None:
    traced = Traced()
    traced.committed({0: [Record(b"{}", 1, "yesterday", None, [("traceparent", PARENT)])]})  # type: ignore[arg-type]
    assert "traces: a transaction could not be told" in caplog.text


# Headers


@pytest.mark.parametrize(
    "value",
    [
        PARENT,
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
        b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like",
        b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_contexts_of_this_and_of_later_versions_are_read(value: bytes) -> None:
    context = sampled_context([("traceparent", value)])
    assert context is not None
    assert (context.trace_id, context.span_id, context.is_remote) == (TRACE, SPAN, True)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"00-1-2-01",
        PARENT.upper(),
        PARENT + b"-more",
        PARENT + b"\n",
        b" " + PARENT,
        b"ff" + PARENT[2:],
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-" + b"0" * 16 + b"-01",
        PARENT[:-1],
        PARENT[:-2] + b"0g",
        b"cc" + PARENT[2:] + b"x",
        b"cc" + UNSAMPLED[2:] + b"-and-more",
        b"cc" + PARENT[2:] + b"-" + b"x" * 65_536,
        b"\xff\xfe" * 32_768,
        bytes(55),
        "00-\uff14bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".encode(),  # a digit, but not of hexadecimal
    ],
)
def test_a_malformed_or_unsampled_parent_is_none(value: bytes | None) -> None:
    assert sampled_context([("traceparent", value)]) is None


def test_the_last_of_several_parents_counts() -> None:
    assert sampled_context([("traceparent", PARENT), ("traceparent", UNSAMPLED)]) is None
    assert sampled_context([("traceparent", UNSAMPLED), ("traceparent", PARENT)]) is not None
    assert sampled_context([]) is None


@pytest.mark.parametrize(
    ("value", "entries"),
    [
        (b"a=1,b@c=x y, d=2 ", {"a": "1", "b@c": "x y", "d": "2"}),
        (b"a=1,,\t,b=2", {"a": "1", "b": "2"}),
        (b"", {}),
        (None, {}),
        (b"a", {}),
        (b"a=1,a=2", {}),
        (b"A=1", {}),
        (b"a=1\n", {}),
        (b"a=\xff", {}),
        (b"a=\x1b[31m", {}),
        (b"a=" + b"x" * 65_536, {}),
        (b",".join(b"k%d=1" % number for number in range(33)), {}),
    ],
)
def test_a_malformed_state_is_empty_and_the_parent_stays(
    value: bytes | None, entries: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    context = sampled_context([("tracestate", value), ("traceparent", PARENT)])
    assert context is not None
    assert dict(context.trace_state) == entries
    assert caplog.text == ""  # a stranger's headers are no reason to write lines


def test_what_opentelemetry_injects_is_understood() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    carrier: dict[str, str] = {}
    with provider.get_tracer("producer").start_as_current_span("send") as span:
        TraceContextTextMapPropagator().inject(carrier)
    context = sampled_context([(name, value.encode()) for name, value in carrier.items()])
    assert context is not None
    assert context.span_id == span.get_span_context().span_id


# The environment


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The process's variables without any of OpenTelemetry's."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    return monkeypatch


def asked(environ: pytest.MonkeyPatch, settings: Settings, variables: Mapping[str, str]) -> Tracing | None:
    for name, value in variables.items():
        environ.setenv(name, value)
    return tracing_from_environment(settings, os.environ)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "named", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_nobody_who_does_not_ask_is_traced(environ: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    assert asked(environ, Settings(), variables) is None


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector.example/v1/traces", "OTEL_SDK_DISABLED": "no"},
    ],
)
def test_the_standard_variables_turn_tracing_on(environ: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    tracing = asked(environ, Settings(), variables)
    assert tracing is not None
    assert tracing.wants_traced
    tracing.shutdown(5.0)


def test_the_resource_is_ours_unless_the_environment_names_it(environ: pytest.MonkeyPatch) -> None:
    settings = settings_from({"engine": {"application_id": "app", "instance_id": "w-0"}})
    tracing = asked(environ, settings, {"OTEL_TRACES_EXPORTER": "otlp"})
    assert tracing is not None
    known = tracing._provider.resource.attributes
    assert (known["service.name"], known["service.instance.id"]) == ("app", "w-0")
    tracing.shutdown(5.0)
    tracing = asked(
        environ,
        settings,
        {"OTEL_SERVICE_NAME": "theirs", "OTEL_RESOURCE_ATTRIBUTES": "a=b,service.instance.id=i"},
    )
    assert tracing is not None
    known = tracing._provider.resource.attributes
    assert (known["service.name"], known["service.instance.id"], known["a"]) == ("theirs", "i", "b")
    tracing.shutdown(5.0)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER = 'zipkin'"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT = '127.0.0.1:4318'"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT = 'http://'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_TRACES_EXPORTER": "otlp"}, "'http/json' is not known"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "otlp"}, "otlp-proto-grpc: install"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1", "OTEL_TRACES_EXPORTER": "otlp"}, "OTEL_BSP_*"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(
    environ: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match="OTEL_") as refused:
        asked(environ, Settings(), variables)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_sampler_of_the_environment_is_honoured(environ: pytest.MonkeyPatch) -> None:
    tracing = asked(environ, Settings(), {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "always_off"})
    assert tracing is not None
    kept = InMemorySpanExporter()
    tracing._provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing.committed(committed({0: [record()]}))
    assert kept.get_finished_spans() == ()
    tracing.shutdown(5.0)


# Delivery


class Failing(SpanExporter):
    """Says why, as the OTLP exporter does, and fails; or raises."""

    def __init__(self, raises: bool = False) -> None:
        self._raises = raises

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._raises:
            raise OSError("no network")
        logging.getLogger("speaker").warning("Transient error %s, retrying", "refused")
        logging.getLogger("speaker").error("Failed")
        return SpanExportResult.FAILURE


@pytest.mark.parametrize(("raises", "cause"), [(False, "Transient error refused"), (True, "no network")])
def test_lost_spans_are_told_once_a_minute_with_the_cause(
    raises: bool, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    delivery = Delivery(Failing(raises), "speaker", clock=lambda: now)
    span = ReadableSpan("a span")
    for _ in range(60):
        assert delivery.export([span, span]) is SpanExportResult.FAILURE
        now += TOLD_EVERY_S / 50
    delivery.shutdown()
    assert len(caplog.messages) == 2
    assert cause in caplog.messages[0]
    assert [message.split(":")[1].split()[0] for message in caplog.messages] == ["2", "100"]


def test_the_exporter_is_heard_again_after_the_end(caplog: pytest.LogCaptureFixture) -> None:
    Delivery(Failing(), "speaker").shutdown()
    logging.getLogger("speaker").warning("words")
    assert caplog.messages == ["words"]


def test_the_end_waits_no_longer_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()

    class Stuck(TracerProvider):
        def shutdown(self) -> None:
            ended.wait(30)

    began = time.monotonic()
    Tracing(Settings(), Stuck(shutdown_on_exit=False)).shutdown(0.05)
    assert time.monotonic() - began < 10
    ended.set()
    assert "not all were sent within 0.05 s" in caplog.text
