"""Lines of the API's lists."""

from __future__ import annotations

from msgspec import UNSET

from processor.surfaces.watch.instances import Instance
from processor.surfaces.watch.overview import InstanceView, PartitionView, SessionLine
from processor.surfaces.watch.seen import rfc3339
from schemas.metrics import Metric


def session_line(metric: Metric, at: float) -> SessionLine:
    injection = metric.current_injection
    return SessionLine(
        metric.session_id,
        metric.mode,
        metric.steps_in_mode,
        metric.cumulative_gain,
        metric.performance_trend,
        None if injection is UNSET else injection,
        None if metric.predicted_gain is UNSET else metric.predicted_gain,
        rfc3339(at),
    )


def instance_view(known: Instance, now: float) -> InstanceView:
    beat = known.beat
    return InstanceView(
        beat.instance,
        beat.phase,
        known.connected,
        round(now - known.heard_at, 3),
        known.restarts,
        beat.doubt,
        beat.stalled_s,
        [
            PartitionView(
                number,
                part.phase,
                part.position,
                part.lag,
                part.lag_s,
                part.standing_s,
                part.cause,
                part.waiting,
            )
            for number, part in sorted(beat.partitions.items())
        ],
    )
