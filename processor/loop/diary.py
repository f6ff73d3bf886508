"""What happens to sessions, as data: the fold writes it down, whoever runs the fold tells it after the commit."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from processor.loop.session import Session
from schemas.actions import Action

LogEvent = tuple[str, dict[str, Any]]

MAX_LOG_EVENTS = 1000  # between two readings; it is best effort and must not grow with a backlog


class Diary:
    """Log events (name, fields) of transitions, explorations and debug records; the first ones since a reading."""

    def __init__(self) -> None:
        self._entries: list[LogEvent] = []
        self.left_out = 0  # transitions that were not written down, since they were asked for

    def write(self, session: Session, action: Action) -> None:
        """Note what `action`, which changed the mode, means for the log."""
        if len(self._entries) >= MAX_LOG_EVENTS:
            self.left_out += 1
            return
        named: dict[str, Any] = {"session": session.session_id, "step": action.step}
        if action.timestamp is not UNSET:
            named["at"] = action.timestamp
        if action.reason is not UNSET:
            named["reason"] = action.reason
        self._entries.append(
            (
                "creative_mode_transition",
                named
                | {
                    "from_mode": action.previous_mode,
                    "to_mode": action.mode,
                    "cumulative_gain": session.cumulative_gain,
                },
            )
        )
        if action.just_started is True:
            started = {
                "profile": action.profile,
                "predicted_gain": action.predicted_gain,
                "entropy_factor": action.entropy_factor,
                "duration": action.duration,
                "injection_id": action.injection_id,
            }
            self._entries.append(("creative_exploration_started", named | started))
        ended = action.completed_injection
        if ended is not UNSET:
            completed = {
                "actual_gain": ended.creative_gain,
                "duration": ended.duration_steps,
                "profile": ended.entropy_profile,
                "predicted_gain": ended.predicted_gain,
                "steps_executed": ended.steps_executed,
                "end_reason": ended.end_reason,
                "injection_id": ended.injection_id,
            }
            self._entries.append(("creative_exploration_completed", named | completed))
        if action.debug is not UNSET:
            self._entries.append(("creative_injection_debug", named | msgspec.to_builtins(action.debug)))

    def read(self) -> list[LogEvent]:
        """The entries since the last call."""
        entries, self._entries = self._entries, []
        return entries
