"""What is going on, told from committed actions: which session is in which mode, and what each exploration does."""

from __future__ import annotations

from collections import Counter, deque

import msgspec
from msgspec import Struct

CURVE_POINTS = 400  # an exploration has at most max_exploration_steps factors; longer ones show their end


class CompletedPart(Struct):
    """Of ``completed_injection`` what is told."""

    entropy_profile: str
    status: str
    creative_gain: float | None = None


class ActionPart(Struct):
    """Of an action what is told."""

    session_id: str
    mode: str
    action: str
    current_factor: float = 0.0
    profile: str | None = None
    progress: float | None = None
    predicted_gain: float | None = None
    completed_injection: CompletedPart | None = None
    error: str | None = None


_decoder = msgspec.json.Decoder(ActionPart)


class Exploration(Struct):
    """An exploration in progress: ``curve`` holds the factors so far, each in [0, 1]."""

    session_id: str
    profile: str
    curve: deque[float]
    progress: float = 0.0
    predicted_gain: float | None = None


class Outcome(Struct):
    """Explorations of one profile that have ended."""

    completed: int = 0
    aborted: int = 0
    gain: float = 0.0


class Story:
    """Sessions by mode, explorations in progress (oldest first) and ended, from actions in any interleaving."""

    def __init__(self) -> None:
        self.modes: Counter[str] = Counter()
        self.explorations: dict[str, Exploration] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.gain = 0.0
        self.emergencies = 0
        self._mode_of: dict[str, str] = {}

    @property
    def sessions(self) -> int:
        return len(self._mode_of)

    def hear(self, value: bytes) -> ActionPart:
        """Take one action's JSON; returns what was read of it."""
        action = _decoder.decode(value)
        if action.error is None:
            self._follow(action)
        return action

    def _follow(self, action: ActionPart) -> None:
        session = action.session_id
        before = self._mode_of.get(session)
        if before != action.mode:
            if before is not None:
                self.modes[before] -= 1
            self.modes[action.mode] += 1
            self._mode_of[session] = action.mode
            self.emergencies += action.mode == "emergency"
        if action.profile is not None:
            exploration = self.explorations.get(session)
            if exploration is None:
                exploration = Exploration(session, action.profile, deque(maxlen=CURVE_POINTS))
                self.explorations[session] = exploration
                exploration.predicted_gain = action.predicted_gain
            exploration.curve.append(action.current_factor)
            exploration.progress = action.progress or 0.0
        else:
            self.explorations.pop(session, None)
        if action.completed_injection is not None:
            self._end(action.completed_injection)

    def _end(self, ended: CompletedPart) -> None:
        outcome = self.outcomes.setdefault(ended.entropy_profile, Outcome())
        if ended.status == "completed" and ended.creative_gain is not None:
            outcome.completed += 1
            outcome.gain += ended.creative_gain
            self.gain += ended.creative_gain
        else:
            outcome.aborted += 1
