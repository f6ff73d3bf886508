"""One session of the loop, played state by state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from processor.config import settings_from
from processor.loop.figures import creative_metrics
from processor.loop.intake import StateRefused
from processor.loop.quality import QualityModel
from processor.loop.rules import Rules
from processor.loop.session import Session
from processor.loop.step import FeedbackLoop
from schemas.events import StateEvent

# No trigger fires for it under the default configuration.
CALM = {"novelty": 0.5, "aesthetic_score": 0.6, "volatility": 0.1, "lambda_max": 0.01}
NOVEL = {**CALM, "novelty": 0.9}
DULL = {**CALM, "novelty": 0.1}


class Play:
    """A session under a configuration given as sections; `metrics` and `actions` collect what came out."""

    def __init__(self, session_id: str = "s", **sections: Mapping[str, Any]) -> None:
        self.settings = settings_from(sections)
        self.rules = Rules(self.settings)
        shared = QualityModel() if self.settings.quality.scope == "shared" else None
        self.loop = FeedbackLoop(self.rules, shared)
        self.session = Session(session_id)
        self.actions: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []

    def __call__(self, state: Any = None, **changes: Any) -> dict[str, Any]:
        """The action on `state` (CALM without one) with `changes`."""
        if state is None or changes:
            state = {**(CALM if state is None else state), **changes}
        event = StateEvent(self.session.session_id, None, None, state)
        try:
            action, metric = self.loop.step(self.session, event)
        except StateRefused as error:
            action, metric = self.loop.refusal(self.session, event, str(error)), None
        if metric is not None:
            self.metrics.append(msgspec.to_builtins(metric))
        self.actions.append(msgspec.to_builtins(action))
        return self.actions[-1]

    def times(self, count: int, state: Any = None) -> list[dict[str, Any]]:
        """The actions on `count` times the same state."""
        return [self(state) for _ in range(count)]

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = msgspec.to_builtins(creative_metrics(self.session, self.loop))
        return figures


def outcome(action: Mapping[str, Any]) -> tuple[str, str]:
    """Action and reason."""
    return action["action"], action["reason"]
