"""What Prometheus scrapes.

Numbers are added up when a beat comes and put into prometheus-client's families when somebody asks, so that between
two scrapes a metric costs an addition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from processor.config import Settings
from processor.surfaces.prometheus import names
from processor.surfaces.prometheus.adding_up import AddingUp, Distribution, Series
from processor.surfaces.prometheus.names import Declared
from processor.surfaces.prometheus.standing import standing
from processor.surfaces.stream_counts import StreamCounts
from processor.surfaces.watch.beat import Beat
from processor.surfaces.watch.instances import Instance

OPENMETRICS = "application/openmetrics-text"


class Exposition(Collector):
    """Listens to a picture's beats and renders all metrics; everything in the picture's own thread.

    ``workers`` are the picture's instances, read anew at each scrape; ``stream`` what the WebSocket counts.
    """

    def __init__(
        self,
        settings: Settings,
        workers: Mapping[str, Instance],
        stream: StreamCounts,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._stream = stream
        self._monotonic = monotonic
        self._adding_up = AddingUp(settings)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def heard(self, beat: Beat, metrics: Sequence[object], happened: Sequence[object]) -> None:
        """A picture's listener: count what the beat tells."""
        self._adding_up.hear(beat)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type, in the format that an ``Accept`` header asks for.

        OpenMetrics 1.0 where it is named, else Prometheus' text format, which everybody reads.
        """
        if _accepts_openmetrics(accept):
            text: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            return text, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterator[Metric]:
        """Every own metric, in the order of its declaration."""
        series = self._adding_up.counters | standing(self._settings, self._workers, self._monotonic())
        series |= _of_stream(self._stream)
        for metric in names.OWN:
            if metric.kind == "histogram":
                yield _histogram(metric, self._adding_up.histograms[metric])
            else:
                yield _family(metric, series[metric])


def _of_stream(stream: StreamCounts) -> dict[Declared, Series]:
    return {
        names.SUBSCRIBERS: {(): stream.subscribers},
        names.FRAMES: {(): stream.frames},
        names.STREAM_BYTES: {(): stream.bytes},
        names.STREAM_LEFT_OUT: {(): stream.left_out},
        names.SLOW_CLOSED: {(): stream.slow_closed},
        names.REFUSED: {(): stream.refused},
        names.HOSTILE_CLOSED: {(): stream.hostile_closed},
        names.ROUND: {(): stream.round_s},
    }


def _family(metric: Declared, series: Series) -> Metric:
    made = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = made(metric.family, metric.meaning, labels=metric.labels, unit=_unit(metric))
    for labels, value in series.items():
        family.add_metric(labels, value)
    return family


def _histogram(metric: Declared, distribution: Distribution) -> Metric:
    bounds = [*(repr(float(bound)) for bound in distribution.bounds), "+Inf"]
    cumulated = accumulate(distribution.counts)
    return HistogramMetricFamily(
        metric.family,
        metric.meaning,
        buckets=list(zip(bounds, cumulated, strict=True)),
        sum_value=distribution.sum,
        unit=_unit(metric),
    )


def _unit(metric: Declared) -> str:
    """OpenMetrics names a unit only where the name ends with it."""
    return metric.unit if metric.family.endswith(f"_{metric.unit}") else ""


def _accepts_openmetrics(accept: str) -> bool:
    for choice in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in choice.split(";"))
        if kind == OPENMETRICS:
            return not any(parameter.replace(" ", "") in {"q=0", "q=0.0"} for parameter in parameters)
    return False
