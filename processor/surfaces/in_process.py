"""What the in-process face shows of the loop: injections as objects, the quality model as a mapping."""

from __future__ import annotations

import math
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from processor.loop.injection import Injector
from processor.loop.quality import FEATURES, QualityModel
from processor.loop.session import Exploration


@dataclass
class Injection:
    """One exploration, running, over or reconstructed from history.

    `duration_steps` is planned, `steps_executed` executed; outcomes are None until there are any.
    """

    entropy_profile: str
    entropy_factor: float
    duration_steps: int
    base_factor: float
    performance_before: float
    features: Sequence[float]
    injection_id: str = ""
    profile_params: dict[str, float] = field(default_factory=dict)
    predicted_gain: float | None = None
    model_version: int = 0
    steps_executed: int = 0
    performance_after: float | None = None
    creative_gain: float | None = None
    end_reason: str | None = None
    status: str = "running"

    @classmethod
    def of(cls, exploration: Exploration) -> Injection:
        """The running exploration as the seeds' code reads it."""
        return cls(
            entropy_profile=exploration.profile,
            entropy_factor=exploration.entropy_factor,
            duration_steps=exploration.duration_steps,
            base_factor=exploration.base_factor,
            performance_before=exploration.performance_before,
            features=exploration.features,
            injection_id=exploration.injection_id,
            profile_params=dict(exploration.params),
            predicted_gain=exploration.predicted_gain,
            model_version=exploration.model_version,
        )


class QualityModelView(MutableMapping[str, Any]):
    """The quality model under the seeds' keys; settings written here count from the next prediction or fit.

    Keys: trained, samples, model_version, min_samples, max_history, regularization, retrain_interval,
    feature_weights (six numbers or None) and, once there was one, last_prediction.
    """

    def __init__(self, injector: Injector, model: QualityModel) -> None:
        self._rules = injector.rules.model
        self._model = model
        self.last_prediction: float | None = None

    def __getitem__(self, key: str) -> Any:
        if key == "trained":
            return self._model.version > 0
        if key == "samples":
            return self._model.count
        if key == "model_version":
            return self._model.version
        if key == "feature_weights":
            return self._model.weights or self._rules.prior
        if key in ("min_samples", "max_history", "regularization", "retrain_interval"):
            return getattr(self._rules, key)
        if key == "last_prediction" and self.last_prediction is not None:
            return self.last_prediction
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "feature_weights":
            weights = tuple(float(weight) for weight in value)
            if len(weights) != FEATURES or not all(map(math.isfinite, weights)):
                raise ValueError("feature_weights must be six finite numbers")
            self._rules.prior = weights
            self._model.weights = None  # the given weights predict at once, until the next fit
        elif key == "regularization":
            if not (math.isfinite(value) and value > 0):
                raise ValueError("regularization must be a number above 0")
            self._rules.regularization = float(value)
        elif key in ("min_samples", "retrain_interval"):
            limit = self._rules.max_history if key == "min_samples" else None
            if int(value) != value or value < 1 or (limit is not None and value > limit):
                raise ValueError(f"{key} must be a whole number from 1" + (f" to {limit}" if limit else ""))
            setattr(self._rules, key, int(value))
        elif key in set(self):
            raise ValueError(f"{key} cannot be set here")
        else:
            raise KeyError(f"{key} is no key of the quality model; known: {', '.join(self)}")

    def __delitem__(self, key: str) -> None:
        raise ValueError(f"{key} cannot be deleted from the quality model")

    def __iter__(self) -> Iterator[str]:
        keys = (
            "trained",
            "samples",
            "model_version",
            "min_samples",
            "max_history",
            "regularization",
            "retrain_interval",
            "feature_weights",
        )
        yield from keys
        if self.last_prediction is not None:
            yield "last_prediction"

    def __len__(self) -> int:
        return sum(1 for _ in self)


def as_number(value: Any) -> float:
    """What an overridden method returned, as a float; raises where it is no finite number."""
    number = float(cast(float, value))
    if not math.isfinite(number):
        raise ValueError(f"{number} is not finite")
    return number
