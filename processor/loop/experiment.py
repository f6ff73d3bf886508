"""Experiment groups: the seeds' A/B test and gradual rollout, made repeatable by a hash.

The group of a session depends on the salt and its unit alone, so that a replay, another worker or a later
year assigns it the same way.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from processor.config import ExperimentConfig

Group = Literal["treatment", "control", "enhanced", "default"]

# Positions are stored in the changelog: append only.
GROUPS: tuple[Group, ...] = ("treatment", "control", "enhanced", "default")

_GROUPS_OF_MODE: dict[str, tuple[Group, ...]] = {
    "off": (),
    "ab": ("treatment", "control"),
    "rollout": ("enhanced", "default"),
}

DEFAULT_PREDICTED_GAIN = 0.3


def stored_group(config: ExperimentConfig, number: int) -> Group | None:
    """The group stored under `number` (-1: none), where it belongs to the running kind of experiment."""
    group = GROUPS[number] if number >= 0 else None
    return group if group in _GROUPS_OF_MODE[config.mode] else None


def unit_of(user_id: Any, session_id: str) -> str:
    """What is assigned to a group: the user if there is one (its JSON text if no string), else the session."""
    if user_id is None:
        return session_id
    if isinstance(user_id, str):
        return user_id
    try:
        return json.dumps(user_id)
    except (TypeError, ValueError):  # MessagePack values without a JSON text, such as binary
        return session_id


def position(salt: str, unit: str) -> float:
    """Where `unit` lies in [0, 1], uniformly distributed over units."""
    digest = hashlib.blake2b(f"{salt}:{unit}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def group_of(config: ExperimentConfig, unit: str) -> Group:
    """The group of `unit`; the experiment must be on."""
    u = position(config.salt, unit)
    if config.mode == "ab":
        return "treatment" if u < config.treatment_share else "control"
    return "enhanced" if u < config.enhancement_percentage else "default"
