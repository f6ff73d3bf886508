"""Actions: what the loop answers to every usable event.

Absent keys are absent, never null: UNSET is "not there". Only `predicted_gain` and, of an aborted
exploration, `creative_gain` and `performance_after` may be null. Fields are only ever added, with defaults.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

Mode = Literal["stable", "exploring", "recovering", "emergency"]
ActionName = Literal[
    "maintain",
    "inject_entropy",
    "continue_exploration",
    "end_exploration",
    "recover",
    "emergency_halt",
]
Reason = Literal[
    "no_trigger",
    "forced",
    "high_novelty",
    "low_novelty",
    "stable_patience",
    "exploring",
    "duration_reached",
    "aesthetic_below_baseline",
    "recovering",
    "recovery_complete",
    "emergency_override",
    "lambda_max",
    "emergency_hysteresis",
    "emergency_cleared",
]
EndReason = Literal["duration_reached", "aesthetic_below_baseline", "emergency"]


class CompletedInjection(Struct, gc=False):
    """One exploration, told when it is over.

    `duration_steps` is the planned, `steps_executed` the executed number of steps; `features` are the six
    inputs of the quality model with the executed amplitude; gains and performances are differences and
    weighted sums of scores (fractions of 1).
    """

    injection_id: str
    entropy_profile: str
    profile_params: dict[str, float]
    base_factor: float
    entropy_factor: float
    duration_steps: int
    steps_executed: int
    performance_before: float
    performance_after: float | None
    creative_gain: float | None
    predicted_gain: float | None
    model_version: int
    features: list[float]
    end_reason: EndReason
    status: Literal["completed", "aborted"]


class Experiment(Struct, gc=False):
    """The session's group in the running experiment; it never changes."""

    mode: Literal["ab", "rollout"]
    group: Literal["control", "treatment", "default", "enhanced"]


class DebugRecord(Struct, gc=False):
    """What a decision was made of (with ``loop.debug``, on ``inject_entropy``)."""

    state: dict[str, Any]
    triggers: dict[str, Any]
    profile_rule: str
    features: list[float]
    base_factor: float
    final_factor: float
    raw_prediction: float | UnsetType = UNSET


class Action(Struct, gc=False):
    """The answer to one usable event; with `error`, the answer to a refused state.

    `timestamp` is the event's own text, or the record's time as RFC 3339 UTC with milliseconds.
    `current_factor` is the entropy to apply now (0 outside exploring), `entropy_factor` the amplitude of the
    run (0.1 … 0.9), `duration` its planned steps, `progress` the executed fraction of them.
    """

    session_id: str
    action: ActionName
    mode: Mode
    steps_in_mode: int
    step: int
    sequence: int | UnsetType = UNSET
    timestamp: str | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    current_factor: float | UnsetType = UNSET
    lambda_multiplier: float | UnsetType = UNSET
    injection_id: str | UnsetType = UNSET
    profile: str | UnsetType = UNSET
    profile_params: dict[str, float] | UnsetType = UNSET
    entropy_factor: float | UnsetType = UNSET
    progress: float | UnsetType = UNSET
    duration: int | UnsetType = UNSET
    base_factor: float | UnsetType = UNSET
    lambda_factor: float | UnsetType = UNSET
    predicted_gain: float | UnsetType | None = UNSET
    just_started: bool | UnsetType = UNSET
    mode_changed: bool | UnsetType = UNSET
    previous_mode: Mode | UnsetType = UNSET
    completed_injection: CompletedInjection | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
    experiment: Experiment | UnsetType = UNSET
    debug: DebugRecord | UnsetType = UNSET
    error: str | UnsetType = UNSET
