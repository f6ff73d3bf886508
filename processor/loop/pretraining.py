"""Pretraining: what is known of past explorations becomes samples before the first event.

The file holds one object or a list of them: ``{"session_id"?: …, "records": [{"initial_state": {…},
"entropy_factor": …, "duration": …, "final_performance": …, "creative_gain"?: …}, …]}``; objects without
session_id are for the shared model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from processor.errors import ConfigError
from processor.loop.injection import performance
from processor.loop.intake import StateRefused, finite_number, read_state
from processor.loop.quality import QualityModel
from processor.loop.rules import Rules

# Far beyond any score or step count, and safely within the model's fixed point.
_LARGEST = 1e9


class Pretraining:
    """Models trained on a history: one for each session it names, one to be shared."""

    def __init__(self, models: Mapping[str | None, QualityModel], digest: bytes = b"") -> None:
        self._models = models
        self.digest = digest  # see `pretraining_digest`

    def model(self, session_id: str | None) -> QualityModel | None:
        """A new model for the session (None: the shared one), or None where the history has nothing."""
        model = self._models.get(session_id)
        return None if model is None else model.copy()


def read_pretraining(rules: Rules) -> Pretraining:
    """The history that ``quality.pretrain_file`` names (empty without one); raises `ConfigError`."""
    path = rules.settings.quality.pretrain_file
    if path is None:
        return Pretraining({})
    return parse_pretraining(rules, pretraining_content(path), path)


def pretraining_content(path: str) -> bytes:
    """The file's bytes; raises `ConfigError`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"quality.pretrain_file: cannot read {path} ({error.strerror})") from None


def pretraining_digest(content: bytes) -> bytes:
    """BLAKE2b of the file's bytes, 16 bytes: they shape what comes out."""
    return blake2b(content, digest_size=16).digest()


def parse_pretraining(rules: Rules, content: bytes, name: str) -> Pretraining:
    """The history in `content`; `name` is for messages. Raises `ConfigError` naming the record."""
    try:
        history = msgspec.json.decode(content)
    except ValueError as error:
        raise ConfigError(f"quality.pretrain_file: {name} is not JSON ({error})") from None
    models: dict[str | None, QualityModel] = {}
    for number, group in enumerate(history if isinstance(history, list) else [history]):
        place = f"quality.pretrain_file: {name}, object {number}"
        if not isinstance(group, dict) or not isinstance(group.get("records"), list):
            raise ConfigError(f"{place}: must be an object with a list of records")
        session_id = group.get("session_id")
        if session_id is not None and not isinstance(session_id, str):
            raise ConfigError(f"{place}: session_id must be text")
        model = models.setdefault(session_id, QualityModel())
        for index, record in enumerate(group["records"]):
            features, gain = sample_of(rules, record, f"{place}, record {index}")
            model.add(rules.model, features, gain)
    return Pretraining(models, pretraining_digest(content))


def sample_of(rules: Rules, record: Any, place: str) -> tuple[Sequence[float], float]:
    """Features (experience 0) and gain of one record of a history; raises `ConfigError`."""
    if not isinstance(record, dict):
        raise ConfigError(f"{place}: must be an object")
    try:
        state = read_state(record.get("initial_state"))
    except StateRefused as error:
        raise ConfigError(f"{place}: initial_state: {error}") from None
    factor = _number(record, "entropy_factor", place)
    duration = _number(record, "duration", place)
    n, a, v = state.novelty, state.aesthetic_score, state.volatility
    if record.get("creative_gain") is not None:
        gain = _number(record, "creative_gain", place)
    else:
        gain = _number(record, "final_performance", place) - performance(rules.weights, n, a, v)
    return (n, a, v, factor, duration / rules.settings.loop.max_exploration_steps, 0.0), gain


def _number(record: Mapping[str, Any], name: str, place: str) -> float:
    number = finite_number(record.get(name))
    if number is None or abs(number) > _LARGEST:
        raise ConfigError(f"{place}: {name} must be a number between -1e9 and 1e9")
    return number
