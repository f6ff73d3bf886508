"""Metrics of a session: the streamed record and the figures asked for in process."""

from __future__ import annotations

from msgspec import UNSET

from processor.loop.rules import HISTORY_POINTS, Rules
from processor.loop.session import EXPLORING, Session
from schemas.actions import Action
from schemas.metrics import CurrentInjection, HistoryPoint, Metric, PerformanceTrend


class MetricWriter:
    """Builds metrics under one configuration."""

    def __init__(self, rules: Rules) -> None:
        streaming = rules.settings.streaming
        self.capacity = rules.point_capacity
        self.trend_window = streaming.trend_window
        self.include_history = streaming.include_history
        self.include_predictions = streaming.include_predictions

    def metric(self, session: Session, action: Action) -> Metric:
        """The metric of the event that `action` answers, after its transition; takes a stream sequence number."""
        metric = Metric(
            session.session_id,
            session.mode,
            session.steps_in_mode,
            session.cumulative_gain,
            self.trend(session),
            session.stream_sequence,
            action.timestamp,
        )
        session.stream_sequence += 1
        exploration = session.exploration
        if exploration is not None and session.mode == EXPLORING:
            metric.current_injection = CurrentInjection(
                exploration.entropy_factor,
                action.current_factor,  # type: ignore[arg-type]  # set on every action but a refusal
                exploration.profile,
                exploration.profile,
                action.progress,  # type: ignore[arg-type]  # set while exploring
            )
            if self.include_predictions:
                metric.predicted_gain = exploration.predicted_gain
        if self.include_history:
            metric.performance_history = self.history(session)
        if action.mode_changed is not UNSET:
            metric.mode_changed = action.mode_changed
            metric.previous_mode = action.previous_mode
            metric.just_started = action.just_started
            metric.completed_injection = action.completed_injection
        return metric

    def trend(self, session: Session) -> PerformanceTrend:
        """Change per step from the window's first point to its last one."""
        step = session.step
        first = max(session.points_from, step - self.trend_window)
        intervals = step - first - 1
        if intervals < 1:
            return PerformanceTrend(0.0, 0.0)
        points = session.points
        start = first % self.capacity * 2
        end = (step - 1) % self.capacity * 2
        return PerformanceTrend(
            (points[end] - points[start]) / intervals, (points[end + 1] - points[start + 1]) / intervals
        )

    def history(self, session: Session) -> list[HistoryPoint]:
        """The last 1000 points, oldest first."""
        points, stamps, capacity = session.points, session.stamps, self.capacity
        history = []
        for number in range(max(session.points_from, session.step - HISTORY_POINTS), session.step):
            slot = number % capacity
            stamp = stamps[slot]
            history.append(HistoryPoint(points[2 * slot], points[2 * slot + 1], UNSET if stamp is None else stamp))
        return history
