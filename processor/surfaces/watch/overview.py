"""The shapes of what the API answers; times are RFC 3339 UTC with milliseconds, durations seconds or as named."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from schemas.metrics import CurrentInjection, PerformanceTrend


class Exploring(Struct):
    """An exploration in progress. What was not heard from its beginning lacks the reason, the id and the duration."""

    session_id: str
    profile: str
    entropy_factor: float
    since: str
    injection_id: str | None = None
    reason: str | None = None
    current_factor: float = 0.0
    progress: float = 0.0
    predicted_gain: float | None = None
    duration: int | None = None


class PartitionView(Struct):
    """See `processor.surfaces.watch.beat.PartitionBeat`."""

    partition: int
    phase: str
    position: int
    lag: int
    lag_s: float
    standing_s: float
    cause: str | None
    waiting: tuple[int, int] | None


class InstanceView(Struct):
    """One worker; ``heard_s`` is the age of its last word."""

    instance: str
    phase: str
    connected: bool
    heard_s: float
    restarts: int
    doubt: str | None
    stalled_s: float
    partitions: list[PartitionView]


class ProfileView(Struct):
    """Completed explorations of one profile since the processor began: how many, their gains, their steps."""

    completed: int
    gain: float
    steps: int


class Trend(Struct):
    """Points (unix seconds, events per second, cumulative gain, sessions exploring, lag in records), oldest first."""

    interval_s: float
    points: list[list[float]]


class Overview(Struct, kw_only=True):
    """Everything at a glance. Counts are since the processor began, ``sessions`` and ``modes`` are of now."""

    application: str
    version: str
    now: str
    began: str
    health: Any = UNSET  # put in by whoever judges it
    sessions: int
    modes: dict[str, int]
    cumulative_gain: float
    models_trained: int
    explorations: dict[str, ProfileView]
    aborted: int
    successes: int
    emergencies: int
    totals: dict[str, int]
    dead_letters: dict[str, int]
    rates: dict[str, float]
    latency: dict[str, float | None]
    lag: dict[str, float]
    instances: list[InstanceView]
    exploring: list[Exploring]
    exploring_total: int
    happened: list[dict[str, Any]]
    curves: dict[str, list[float]]
    trend: Trend
    metrics_left_out: int


class SessionLine(Struct):
    """One session as its last metric told it."""

    session_id: str
    mode: str
    steps_in_mode: int
    cumulative_gain: float
    performance_trend: PerformanceTrend
    current_injection: CurrentInjection | None
    predicted_gain: float | None
    at: str


class SessionList(Struct):
    """Of ``total`` sessions that were heard of, ``matching`` were asked for; ``sessions`` are the first of them."""

    sessions: list[SessionLine]
    total: int
    matching: int


class LastExploration(Struct):
    """The seeds' names: gain, and the planned duration in steps."""

    profile: str
    gain: float
    duration: int


class CreativityHealth(Struct):
    """The seeds' health payload."""

    status: str
    mode: str
    cumulative_gain: float
    exploration_count: int
    quality_model_trained: bool
    last_exploration: LastExploration | None
    reason: str | UnsetType = UNSET
