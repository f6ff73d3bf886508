"""The figures of a session that are asked for rather than streamed."""

from __future__ import annotations

from typing import Any

from processor.loop.session import EXPLORING, Session
from processor.loop.step import FeedbackLoop
from schemas.metrics import CurrentInjection


def creative_metrics(session: Session, loop: FeedbackLoop) -> dict[str, Any]:
    """Mode, gains, counts, history (empty where none is kept) and trend, as JSON-ready values and structs."""
    exploration = session.exploration
    current = None
    if exploration is not None and session.mode == EXPLORING:
        steps = session.steps_in_mode
        multiplier, _ = loop.injector.multiplier(exploration, steps)
        current = CurrentInjection(
            exploration.entropy_factor,
            loop.injector.current_factor(exploration, multiplier),
            exploration.profile,
            exploration.profile,
            steps / exploration.duration_steps,
        )
    gains = session.recent_gains
    return {
        "mode": session.mode,
        "steps_in_mode": session.steps_in_mode,
        "performance_history": loop.metrics.history(session) if loop.keeps_history else [],
        "current_injection": current,
        "cumulative_gain": session.cumulative_gain,
        "performance_trend": loop.metrics.trend(session),
        "total_injections": session.total_injections,
        "completed": session.completed,
        "aborted": session.aborted,
        "successful_explorations": session.successful,
        "success_rate": session.successful / session.completed if session.completed else 0.0,
        "recent_avg_gain": sum(gains) / len(gains) if gains else None,
        "emergency_stops": session.emergency_stops,
        "baseline": session.baseline,
    }
