"""Spans on their way to a collector, and one line a minute when they do not get there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

TOLD_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)


class Delivery(SpanExporter):
    """An exporter whose failures are counted and told with their cause, instead of attempt by attempt.

    ``speaker`` is the name of the logger by which the exporter says what went wrong; it is not heard otherwise.
    """

    def __init__(self, exporter: SpanExporter, speaker: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._exporter = exporter
        self._clock = clock
        self._lost = 0
        self._told_at = float("-inf")
        self._words = _Words()
        self._speaker = logging.getLogger(speaker)
        self._speaker.addFilter(self._words)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send; spans that cannot be delivered are lost, which is told."""
        self._words.first = None
        try:
            result = self._exporter.export(spans)
        except Exception as error:
            result, self._words.first = SpanExportResult.FAILURE, repr(error)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            self._tell()
        return result

    def shutdown(self) -> None:
        """Close the connection; an export under way gives up."""
        self._exporter.shutdown()
        self._speaker.removeFilter(self._words)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the exporter's."""
        return self._exporter.force_flush(timeout_millis)

    def _tell(self) -> None:
        now = self._clock()
        if now - self._told_at < TOLD_EVERY_S:
            return
        _log.warning(
            "traces: %d spans lost: %s; is a collector listening where OTEL_EXPORTER_OTLP_ENDPOINT says?",
            self._lost,
            self._words.first or "the exporter does not say why",
        )
        self._told_at = now
        self._lost = 0


class _Words(logging.Filter):
    """Keeps the first words of an attempt, which have the cause, and lets none through."""

    first: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if self.first is None and record.levelno >= logging.WARNING:
            self.first = record.getMessage()
        return False
