"""Configuration: every key, where it comes from, and what it must be.

Sections ``loop``, ``profiles``, ``quality``, ``streaming`` and ``experiment`` change what comes out and are
part of a replay; the others only change how the work is done (and the limits and the session's life of
``engine``, which `behaviour_fingerprint` counts too).
"""

from processor.config.access import access_notices
from processor.config.declared import declared_topology
from processor.config.durations import parse_duration_ms
from processor.config.fingerprint import (
    APPLICATION_VERSION,
    behaviour_fingerprint,
    behaviour_settings,
    behaviour_text,
)
from processor.config.keys import ENVIRONMENT_PREFIX, Key, all_keys
from processor.config.load import check_settings, load_settings, settings_from
from processor.config.reference import settings_markdown, settings_text
from processor.config.settings import (
    EngineConfig,
    ExperimentConfig,
    HttpConfig,
    KafkaConfig,
    LogsConfig,
    LoopConfig,
    ProfilesConfig,
    QualityConfig,
    Settings,
    StreamingConfig,
    TopicsConfig,
    TracingConfig,
)

__all__ = [
    "APPLICATION_VERSION",
    "ENVIRONMENT_PREFIX",
    "EngineConfig",
    "ExperimentConfig",
    "HttpConfig",
    "KafkaConfig",
    "Key",
    "LogsConfig",
    "LoopConfig",
    "ProfilesConfig",
    "QualityConfig",
    "Settings",
    "StreamingConfig",
    "TopicsConfig",
    "TracingConfig",
    "access_notices",
    "all_keys",
    "behaviour_fingerprint",
    "behaviour_settings",
    "behaviour_text",
    "check_settings",
    "declared_topology",
    "load_settings",
    "parse_duration_ms",
    "settings_from",
    "settings_markdown",
    "settings_text",
]
