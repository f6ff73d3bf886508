"""One session in full, as of its last committed record, from the memory of the worker that has it."""

from __future__ import annotations

from typing import Any

import msgspec

from processor.loop.injection import Injector
from processor.loop.metrics import MetricWriter
from processor.loop.partition import PartitionFold
from processor.loop.quality import QualityModel
from processor.loop.session import EXPLORING, Exploration, Session
from processor.surfaces.watch.beat import SessionAnswer
from processor.surfaces.watch.watch import Watch

COMMIT_S = 2.0  # for what was computed to be committed
MAX_POINTS = 300
MAX_CURVE_POINTS = 201


async def look_up(watch: Watch, session_id: str, partition: int) -> SessionAnswer:
    """In the engine's event loop. The answer holds nothing that is not committed."""
    if _fold_with(watch, session_id, partition) is None:
        # Not every producer partitions like Kafka's Java client.
        partition = next(
            (other for other in watch.folds if _fold_with(watch, session_id, other) is not None), partition
        )
    seen = watch.partition(partition)
    if seen is None:
        return SessionAnswer(elsewhere=True, partition=partition)
    if seen.phase not in ("running", "halted"):
        return SessionAnswer(unavailable=f"partition {partition} is {seen.phase}", partition=partition)
    fold = _fold_with(watch, session_id, partition)
    if fold is None:
        return SessionAnswer(partition=partition)
    session = fold.sessions[session_id]
    view = session_view(fold, session)
    if not await watch.past(partition, session.last_offset, COMMIT_S):
        return SessionAnswer(unavailable=f"partition {partition} is moving or slow", partition=partition)
    return SessionAnswer({**view, "instance": watch.instance}, partition=partition)


def _fold_with(watch: Watch, session_id: str, partition: int) -> PartitionFold | None:
    """The fold of an assigned partition, where it has the session."""
    fold = watch.folds.get(partition)
    if watch.partition(partition) is None or not isinstance(fold, PartitionFold) or session_id not in fold.sessions:
        return None
    return fold


def session_view(fold: PartitionFold, session: Session) -> dict[str, Any]:
    """The session as it is in memory now, in JSON's types; microseconds, but for the curve of a custom profile."""
    metrics = MetricWriter(fold.rules)
    return {
        "session_id": session.session_id,
        "partition": fold.partition,
        "offset": session.last_offset,
        "mode": session.mode,
        "step": session.step,
        "steps_in_mode": session.steps_in_mode,
        "cumulative_gain": session.cumulative_gain,
        "baseline": session.baseline,
        "performance_trend": msgspec.to_builtins(metrics.trend(session)),
        "counts": {
            "injections": session.total_injections,
            "completed": session.completed,
            "aborted": session.aborted,
            "successful": session.successful,
            "emergency_stops": session.emergency_stops,
        },
        "recent_gains": list(session.recent_gains),
        "exploration": _exploration(fold.loop.injector, session),
        "model": _model(fold.loop.injector.model(session), shared=fold.shared_model is not None),
        "points": _points(session, fold.rules.point_capacity),
    }


def _exploration(injector: Injector, session: Session) -> dict[str, Any] | None:
    exploration = session.exploration
    if exploration is None:
        return None
    running = session.mode == EXPLORING
    steps = session.steps_in_mode if running else exploration.steps_executed
    return {
        "injection_id": exploration.injection_id,
        "running": running,
        "profile": exploration.profile,
        "params": dict(exploration.params),
        "base_factor": exploration.base_factor,
        "entropy_factor": exploration.entropy_factor,
        "duration": exploration.duration_steps,
        "steps_executed": steps,
        "progress": min(1.0, steps / exploration.duration_steps),
        "predicted_gain": exploration.predicted_gain,
        "creative_gain": None if running else exploration.creative_gain,
        "performance_before": exploration.performance_before,
        "curve": _curve(injector, exploration),
    }


def _curve(injector: Injector, exploration: Exploration) -> list[float]:
    """The entropy to apply over the exploration, at no more than `MAX_CURVE_POINTS` of its steps."""
    stride = max(1, -(-exploration.duration_steps // (MAX_CURVE_POINTS - 1)))
    return [
        injector.current_factor(exploration, injector.multiplier(exploration, step)[0])
        for step in range(0, exploration.duration_steps, stride)
    ]


def _model(model: QualityModel | None, *, shared: bool) -> dict[str, Any] | None:
    if model is None:
        return None
    return {
        "samples": model.count,
        "version": model.version,
        "trained": model.weights is not None,
        "weights": None if model.weights is None else list(model.weights),
        "shared": shared,
    }


def _points(session: Session, capacity: int) -> list[list[float]]:
    points = session.points
    # Of the ring no more than its capacity is there, however far back the session goes.
    first = max(session.points_from, session.step - min(MAX_POINTS, capacity))
    return [
        [number, points[number % capacity * 2], points[number % capacity * 2 + 1]]
        for number in range(first, session.step)
    ]
