"""Configuration: every key, its default and its range.

One tree of frozen structs; the loader fills it from TOML, environment and flags.  Keys of the
sections ``loop``, ``profiles``, ``quality``, ``streaming`` and ``experiment`` change what comes out and
are therefore part of a replay; the others only change how the work is done.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class LoopConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Modes and triggers of the feedback loop."""

    stability_threshold: float = 0.8
    max_exploration_steps: int = 200
    min_exploration_steps: int = 10
    recovery_steps: int = 30
    novelty_high: float = 0.7
    novelty_low: float = 0.2
    stable_patience_steps: int = 50
    prune_patience_steps: int = 1
    emergency_lambda_max: float = 0.08
    emergency_exit_ratio: float = 0.5
    performance_weights: tuple[float, float, float] = (0.5, 0.5, 0.0)
    debug: bool = False


class ProfilesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the time profile of an exploration is chosen and shaped."""

    selection: str = "auto"
    params_mode: Literal["static", "adaptive"] = "static"
    params: dict[str, dict[str, float]] = field(default_factory=dict)
    custom: dict[str, str] = field(default_factory=dict)
    selector: str | None = None
    hints: bool = False


class QualityConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The ridge model that predicts an exploration's gain."""

    scope: Literal["session", "shared"] = "session"
    min_samples: int = 20
    max_history: int = 500
    regularization: float = 0.01
    retrain_interval: int = 10
    feature_weights: tuple[float, float, float, float, float, float] | None = None
    pretrain_file: str | None = None
    low_gain: float = 0.1
    high_gain: float = 0.5
    low_gain_multiplier: float = 0.7
    high_gain_multiplier: float = 1.2


class ExperimentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A/B groups and gradual rollout."""

    mode: Literal["off", "ab", "rollout"] = "off"
    salt: str = ""
    treatment_share: float = 0.5
    enhancement_percentage: float = 0.1


class StreamingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What the metrics stream carries."""

    interval_steps: int = 10
    include_history: bool = False
    include_predictions: bool = True
    trend_window: int = 100


class TopicsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Names and sizes of the five topics."""

    state: str = "tori.state"
    actions: str = "tori.actions"
    metrics: str = "tori.metrics"
    dead_letters: str = "tori.state.dead-letters"
    changelog: str = "tori.creative-feedback.changelog"
    partitions: int = 8
    replication_factor: int = 3


class KafkaConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How the cluster is reached."""

    bootstrap_servers: str = "127.0.0.1:9092"
    request_timeout_ms: int = 10_000
    connect_timeout_ms: int = 10_000


class EngineConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The exactly-once engine."""

    application_id: str = "creative-feedback"
    instance_id: str | None = None
    static_membership: bool = False
    session_timeout_ms: int = 10_000
    transaction_timeout_ms: int = 10_000
    commit_interval_ms: int = 20
    max_commit_interval_ms: int = 100
    max_batch_records: int = 10_000
    max_batch_bytes: int = 16 * 1024 * 1024
    session_ttl: str = "7d"  # digits with ms, s, m, h or d; a bare number is seconds
    max_event_bytes: int = 1024 * 1024
    max_event_depth: int = 32
    shutdown_timeout_ms: int = 20_000


class HttpConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The HTTP surface."""

    port: int = 8080


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    profiles: ProfilesConfig = field(default_factory=ProfilesConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    experiment: ExperimentConfig = field(default_factory=ExperimentConfig)
    streaming: StreamingConfig = field(default_factory=StreamingConfig)
    topics: TopicsConfig = field(default_factory=TopicsConfig)
    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    http: HttpConfig = field(default_factory=HttpConfig)
