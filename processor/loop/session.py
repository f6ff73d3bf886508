"""What is remembered about one session."""

from __future__ import annotations

from array import array

from processor.loop.experiment import Group
from processor.loop.quality import QualityModel
from schemas.actions import Mode

STABLE: Mode = "stable"
EXPLORING: Mode = "exploring"
RECOVERING: Mode = "recovering"
EMERGENCY: Mode = "emergency"
MODES: tuple[Mode, ...] = (STABLE, EXPLORING, RECOVERING, EMERGENCY)

RECENT_GAINS = 10


class Exploration:
    """A running (or the last) exploration: everything decided at its injection.

    `features` are the quality model's six inputs with the executed amplitude. `multipliers` is m at every
    step where it is known beforehand, else None. `steps_executed` and `creative_gain` are set at its end.
    """

    __slots__ = (
        "base_factor",
        "creative_gain",
        "duration_steps",
        "entropy_factor",
        "features",
        "injection_id",
        "model_version",
        "multipliers",
        "params",
        "performance_before",
        "predicted_gain",
        "profile",
        "steps_executed",
    )

    def __init__(
        self,
        *,
        injection_id: str,
        profile: str,
        params: dict[str, float],
        multipliers: tuple[float, ...] | None,
        base_factor: float,
        entropy_factor: float,
        duration_steps: int,
        features: tuple[float, ...],
        performance_before: float,
        predicted_gain: float | None,
        model_version: int,
    ) -> None:
        self.injection_id = injection_id
        self.profile = profile
        self.params = params
        self.multipliers = multipliers
        self.base_factor = base_factor
        self.entropy_factor = entropy_factor
        self.duration_steps = duration_steps
        self.features = features
        self.performance_before = performance_before
        self.predicted_gain = predicted_gain
        self.model_version = model_version
        self.steps_executed = 0
        self.creative_gain: float | None = None


class Session:
    """One session's state: bounded, whatever its length.

    `points` is a flat ring of (novelty, aesthetic_score) of the last updates, `stamps` their timestamps where a
    history is kept. `exploration` is the running one while exploring, else the last one. Offsets and times are
    those of the last accepted record (-1: none). The changelog holds the points up to `saved_step` and, since a
    restore, blocks in the first `stored_slots` slots; the flags say what of the session it does not hold yet.
    """

    __slots__ = (
        "aborted",
        "baseline",
        "completed",
        "cumulative_gain",
        "dirty",
        "emergency_stops",
        "exploration",
        "group",
        "key",
        "last_offset",
        "last_sequence",
        "last_time_ms",
        "ledger_dirty",
        "mode",
        "model",
        "points",
        "points_from",
        "recent_gains",
        "saved_step",
        "session_id",
        "stamps",
        "step",
        "steps_in_mode",
        "stored_slots",
        "streak",
        "stream_sequence",
        "successful",
        "total_injections",
    )

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.key = session_id.encode("utf-8", "surrogatepass")
        self.mode: Mode = STABLE
        self.steps_in_mode = 0
        self.step = 0
        self.baseline: float | None = None
        self.streak = 0
        self.group: Group | None = None
        self.stream_sequence = 0
        self.last_sequence = -1
        self.last_time_ms = -1
        self.last_offset = -1
        self.points = array("d")
        self.stamps: list[str | None] = []
        self.points_from = 0
        self.exploration: Exploration | None = None
        self.total_injections = 0
        self.completed = 0
        self.aborted = 0
        self.successful = 0
        self.emergency_stops = 0
        self.cumulative_gain = 0.0
        self.recent_gains: tuple[float, ...] = ()
        self.model: QualityModel | None = None
        self.saved_step = 0
        self.stored_slots = 0
        self.dirty = False
        self.ledger_dirty = False
