"""Rules between keys, and the two defaults that follow another key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from processor.config.access import check_access
from processor.config.keys import nearest, one_line, value_of
from processor.config.settings import EngineConfig, ProfilesConfig, Settings, TopicsConfig
from processor.errors import ConfigError

# The built-in profiles and their parameters, for messages at start; the loop's registry is the authority
# on what they mean, and a test holds the two together.
BUILT_IN_PROFILES: Mapping[str, tuple[str, ...]] = {
    "constant": (),
    "cosine_ramp": ("ramp_fraction",),
    "exponential_decay": ("decay_rate", "floor"),
    "pulse": ("frequency",),
    "sinusoidal": ("amplitude", "frequency"),
}

# Gains are learned from in fixed point, which ends where doubles do.
MAX_TOTAL_WEIGHT = 1e100

# The first of each pair is never above the second.
_ORDERED = (
    ("loop.min_exploration_steps", "loop.max_exploration_steps"),
    ("quality.min_samples", "quality.max_history"),
    ("engine.transaction_timeout_ms", "engine.session_timeout_ms"),
    ("engine.commit_interval_ms", "engine.transaction_timeout_ms"),
    ("engine.commit_interval_ms", "engine.max_commit_interval_ms"),
    ("engine.max_commit_interval_ms", "engine.transaction_timeout_ms"),
)


def complete(sections: dict[str, dict[str, Any]]) -> None:
    """Fill what follows another key where it was not given.

    Who only shortens the session time-out means shorter transactions too; who only lengthens the commit
    interval does not want it cut by the default upper bound.
    """
    engine = sections.setdefault("engine", {})
    default = EngineConfig()
    session_timeout_ms = engine.get("session_timeout_ms", default.session_timeout_ms)
    engine.setdefault("transaction_timeout_ms", min(default.transaction_timeout_ms, session_timeout_ms))
    commit_interval_ms = engine.get("commit_interval_ms", default.commit_interval_ms)
    engine.setdefault("max_commit_interval_ms", max(default.max_commit_interval_ms, commit_interval_ms))


def check_consistency(settings: Settings) -> None:
    """Raise `ConfigError` for the first rule between keys that does not hold."""
    for low_name, high_name in _ORDERED:
        low, high = value_of(settings, low_name), value_of(settings, high_name)
        if low > high:
            raise ConfigError(f"{low_name} = {low} is above {high_name} = {high}: lower the first or raise the second")
    if sum(map(abs, settings.loop.performance_weights)) > MAX_TOTAL_WEIGHT:
        raise ConfigError(
            f"loop.performance_weights = {list(settings.loop.performance_weights)}: together beyond"
            f" {MAX_TOTAL_WEIGHT:g}, where gains are no finite numbers; make them smaller"
        )
    _ = settings.engine.session_ttl_ms
    _check_bootstrap_ports(settings.kafka.bootstrap_servers)
    check_access(settings.kafka)
    _check_topics(settings.topics)
    _check_profiles(settings.profiles)


def _check_bootstrap_ports(servers: str) -> None:
    for server in servers.split(","):
        port = int(server.strip().rpartition(":")[2])
        if not 1 <= port <= 65_535:
            raise ConfigError(f"kafka.bootstrap_servers = {servers!r}: expected ports from 1 to 65535")


def _check_topics(topics: TopicsConfig) -> None:
    roles = ("state", "actions", "metrics", "dead_letters", "changelog")
    # Kafka's metric names fold dots into underscores, so the broker refuses the second of two such topics.
    folded = {role: getattr(topics, role).replace(".", "_") for role in roles}
    for role, name in folded.items():
        if Counter(folded.values())[name] > 1:
            others = ", ".join(f"topics.{other}" for other in roles if other != role and folded[other] == name)
            raise ConfigError(
                f"topics.{role} = {getattr(topics, role)!r}: the same topic as {others}; give each its own name"
            )


def _check_profiles(profiles: ProfilesConfig) -> None:
    known = [*BUILT_IN_PROFILES, *profiles.custom]
    listed = ", ".join(map(one_line, known))
    if "auto" in profiles.custom:
        raise ConfigError("profiles.custom.auto: auto is the automatic choice; give the profile another name")
    if profiles.selection != "auto" and profiles.selection not in known:
        raise ConfigError(
            f"profiles.selection = {profiles.selection!r}: no such profile"
            f"{nearest(profiles.selection, ['auto', *known])} (known: auto, {listed})"
        )
    for profile, parameters in profiles.params.items():
        if profile not in known:
            raise ConfigError(
                f"profiles.params.{one_line(profile)}: no such profile{nearest(profile, known)} (known: {listed})"
            )
        if profile in profiles.custom:
            continue
        for parameter in parameters:
            if parameter not in BUILT_IN_PROFILES[profile]:
                expected = ", ".join(BUILT_IN_PROFILES[profile]) or "none"
                raise ConfigError(
                    f"profiles.params.{profile}.{one_line(parameter)}: no such parameter (known: {expected})"
                )
