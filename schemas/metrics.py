"""Metrics: the stream dashboards and analytics read.

Absent keys are absent, never null (UNSET); only `predicted_gain` and an aborted exploration's outcome may
be null. Fields are only ever added, with defaults.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from schemas.actions import CompletedInjection, Mode


class PerformanceTrend(Struct, gc=False):
    """Change per step over the last ``streaming.trend_window`` points (fractions of 1)."""

    novelty: float
    aesthetic: float


class CurrentInjection(Struct, gc=False):
    """The exploration in progress. The profile's name stands under both names its readers use."""

    entropy_factor: float
    current_factor: float
    profile: str
    entropy_profile: str
    progress: float


class HistoryPoint(Struct, gc=False):
    """One update of the performance history."""

    novelty: float
    aesthetic_score: float
    timestamp: str | UnsetType = UNSET


class Metric(Struct, gc=False):
    """A session's figures after an event.

    `stream_sequence` counts a session's metrics from 0 without gaps; `cumulative_gain` is the sum of the
    gains of all completed explorations.
    """

    session_id: str
    mode: Mode
    steps_in_mode: int
    cumulative_gain: float
    performance_trend: PerformanceTrend
    stream_sequence: int
    timestamp: str | UnsetType = UNSET
    current_injection: CurrentInjection | UnsetType = UNSET
    predicted_gain: float | UnsetType | None = UNSET
    performance_history: list[HistoryPoint] | UnsetType = UNSET
    mode_changed: bool | UnsetType = UNSET
    previous_mode: Mode | UnsetType = UNSET
    just_started: bool | UnsetType = UNSET
    completed_injection: CompletedInjection | UnsetType = UNSET
