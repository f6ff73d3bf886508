"""Traces of what was committed: a span for the transaction, and one for each event whose producer is sampled.

1. Only what a producer sampled is traced, so that a trace is whole or not there; the sampler of the environment can
   take away from that, not add (`test_an_unsampled_parent_gives_nothing`).
2. The events' spans are children of their producers' and linked to the transaction's; the transaction's has links
   back to the producers. What reads an action continues the producer's trace, not a span of ours: see
   ``processor.loop.partition`` for the reason.
3. Spans are made after the commit and sent by a thread: how a collector fares does not matter to the processor
   (`test_a_collector_that_is_gone_costs_nothing_but_its_spans`). To make one and to send it takes 0.1 ms to 0.2 ms,
   hence so many a second at most; what is left out is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, set_span_in_context
from opentelemetry.util.types import AttributeValue

from processor.config import APPLICATION_VERSION, Settings
from processor.engine.observer import Committed, Observer
from processor.engine.ports import InputRecord
from processor.surfaces.allowance import Allowance
from processor.surfaces.tracing_context import sampled_context

MAX_LINKS: Final = 128  # what the SDK keeps of one span by default

_log = logging.getLogger(__name__)

Sampled = tuple[int, InputRecord, SpanContext]  # partition, record, the producer's span


class Tracing(Observer):
    """Makes spans of committed transactions. Needs the SDK's provider, with a processor that does not block."""

    wants_traced = True

    def __init__(
        self,
        settings: Settings,
        provider: TracerProvider,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("creative-feedback", APPLICATION_VERSION)
        self._names_sessions = settings.tracing.session_ids
        self._clock = clock
        self._now_ns = now_ns
        spans_per_s = settings.tracing.max_spans_per_s
        self._spans = Allowance(spans_per_s, spans_per_s, clock())
        self._left_out = 0
        topic = settings.topics.state
        self._process, self._commit = f"process {topic}", f"commit {topic}"
        self._common: dict[str, AttributeValue] = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.consumer.group.name": settings.engine.application_id,
        }
        if settings.engine.instance_id is not None:
            self._common["messaging.client.id"] = settings.engine.instance_id

    def committed(self, report: Committed) -> None:
        if not report.traced:
            return
        try:
            told = self._within_budget(report)
            if told:
                self._trace(report, told)
        except Exception:
            _log.exception("traces: a transaction could not be told")

    def shutdown(self, timeout_s: float) -> None:
        """Send what is left, for at most so long; nothing is traced afterwards. Blocks: call it at the end."""
        # The SDK has no deadline of ours: what it does beyond it, it does in a thread that nobody waits for.
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-shutdown", daemon=True)
        closing.start()
        closing.join(timeout_s)
        if closing.is_alive():
            _log.warning("traces: not all were sent within %g s; the last ones are lost", timeout_s)

    def _within_budget(self, report: Committed) -> list[Sampled]:
        """The sampled events that get a span; the others are counted."""
        sampled = [
            (partition, record, context)
            for partition, records in report.traced.items()
            for record in records
            if (context := sampled_context(record.headers)) is not None
        ]
        room = self._spans.take(len(sampled), self._clock())
        # From everywhere in the batch: its beginning is always the same partition.
        told = [sampled[number * len(sampled) // room] for number in range(room)]
        self._left_out += len(sampled) - len(told)
        return told

    def _trace(self, report: Committed, told: list[Sampled]) -> None:
        ended_ns = self._now_ns()
        began_ns = ended_ns - int(report.seconds * 1e9)
        transaction = self._tracer.start_span(
            self._commit,
            Context(),  # of its own: there may be a hundred producers, and none of them is its parent
            SpanKind.CLIENT,
            self._common
            | {
                "messaging.operation.name": "commit",
                "messaging.operation.type": "settle",
                "messaging.batch.message_count": report.records,
                "creative_feedback.events_traced": len(told),
                "creative_feedback.events_left_out": self._left_out,  # since the last transaction that was told
            },
            [Link(context) for _, _, context in told[:MAX_LINKS]],
            began_ns,
        )
        self._left_out = 0
        links = [Link(transaction.get_span_context())] if transaction.is_recording() else None
        for partition, record, context in told:
            self._tracer.start_span(
                self._process,
                set_span_in_context(NonRecordingSpan(context), Context()),
                SpanKind.CONSUMER,
                self._attributes(partition, record, ended_ns),
                links,
                began_ns,
            ).end(ended_ns)
        transaction.end(ended_ns)

    def _attributes(self, partition: int, record: InputRecord, ended_ns: int) -> dict[str, AttributeValue]:
        attributes = self._common | {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.partition.id": str(partition),
            "messaging.kafka.offset": record.offset,
        }
        if record.timestamp is not None and record.timestamp >= 0:
            # From the producer's clock to ours; what a span around the commit does not show.
            attributes["creative_feedback.end_to_end_ms"] = ended_ns // 1_000_000 - record.timestamp
        if self._names_sessions and record.key is not None:
            attributes["messaging.kafka.message.key"] = record.key.decode("utf-8", "replace")
        return attributes
