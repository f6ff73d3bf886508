"""The quality model: ridge regression that predicts an exploration's creative gain.

The window's sums are integers in fixed point, so that adding and subtracting samples is exact in any order and
the same samples give the same weights on every machine; the 6 by 6 system is solved in plain Python because a
BLAS may round differently from one build to the next.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

FEATURES = 6
SAMPLE_WIDTH = FEATURES + 1  # the features, then the target
BLOCK = 16  # samples in one block of the ring, the unit in which they are stored

# Scores have at most 53 bits, so that 64 fractional bits hold every value from 2**-11 on exactly.
_UNIT = 2.0**64
_SQUARE = 1 << 128
_PAIRS = tuple((row, column) for row in range(FEATURES) for column in range(row, FEATURES))


class ModelRules:
    """When and how models are fitted (section ``quality`` of the configuration)."""

    __slots__ = (
        "capacity",
        "max_history",
        "min_samples",
        "prior",
        "regularization",
        "retrain_interval",
    )

    def __init__(
        self,
        min_samples: int,
        max_history: int,
        regularization: float,
        retrain_interval: int,
        prior: Sequence[float] | None,
    ) -> None:
        self.min_samples = min_samples
        self.max_history = max_history
        self.regularization = regularization
        self.retrain_interval = retrain_interval
        self.prior = None if prior is None else tuple(float(weight) for weight in prior)
        # Whole blocks, one of them open: the window is always complete in the ring.
        self.capacity = ring_capacity(max_history, BLOCK)


def ring_capacity(window: int, block: int) -> int:
    """Entries a ring of whole blocks needs so that the last `window` ones are always in it."""
    return (-(-window // block) + 1) * block


class QualityModel:
    """Samples, their exact sums and the weights of the last fit.

    `samples` is a flat ring of `count` entries of seven numbers; `weights` is None before the first fit.  The
    changelog holds `saved_count` samples and, since a restore, blocks in the first `stored_slots` slots.
    """

    __slots__ = (
        "count",
        "retained_from",
        "samples",
        "saved_count",
        "since_fit",
        "stored_slots",
        "sums",
        "version",
        "weights",
    )

    def __init__(self) -> None:
        self.count = 0  # samples ever added
        self.retained_from = 0  # number of the oldest sample known, 0 unless the window grew
        self.since_fit = 0
        self.version = 0
        self.weights: tuple[float, ...] | None = None
        self.samples = array("d")
        self.sums: list[int] | None = None
        self.saved_count = 0
        self.stored_slots = 0

    def add(self, rules: ModelRules, features: Sequence[float], gain: float) -> bool:
        """Take one sample; fit where one is due. Returns whether the weights changed."""
        sums = self.sums
        if sums is None:
            sums = self.sums = self._window_sums(rules)
        if self.count - rules.max_history >= self.retained_from:
            _accumulate(sums, self.sample(rules, self.count - rules.max_history), -1)
        sample = array("d", features)
        sample.append(gain)
        _accumulate(sums, sample, 1)
        start = self.count % rules.capacity * SAMPLE_WIDTH
        self.samples[start : start + SAMPLE_WIDTH] = sample
        self.count += 1
        self.since_fit += 1
        due = rules.retrain_interval if self.version else rules.min_samples
        if self.since_fit < due:
            return False
        self.weights = ridge_weights(sums, rules.regularization, rules.prior)
        self.version += 1
        self.since_fit = 0
        return True

    def sample(self, rules: ModelRules, number: int) -> array[float]:
        """Sample `number` (counted from 0 over the model's life), which must still be retained."""
        start = number % rules.capacity * SAMPLE_WIDTH
        return self.samples[start : start + SAMPLE_WIDTH]

    def copy(self) -> QualityModel:
        """An independent model with the same samples and weights."""
        twin = QualityModel()
        twin.count, twin.since_fit, twin.version = self.count, self.since_fit, self.version
        twin.retained_from, twin.weights = self.retained_from, self.weights
        twin.samples = self.samples[:]
        return twin

    def _window_sums(self, rules: ModelRules) -> list[int]:
        sums = [0] * (len(_PAIRS) + FEATURES)
        for number in range(max(self.retained_from, self.count - rules.max_history), self.count):
            _accumulate(sums, self.sample(rules, number), 1)
        return sums


def _accumulate(sums: list[int], sample: Sequence[float], sign: int) -> None:
    """Add (or with sign -1 take away) the products of one sample."""
    x = [int(value * _UNIT) for value in sample]
    position = 0
    for row in range(FEATURES):
        left = sign * x[row]
        for column in range(row, FEATURES):
            sums[position] += left * x[column]
            position += 1
    target = sign * x[FEATURES]
    for row in range(FEATURES):
        sums[position] += target * x[row]
        position += 1


def ridge_weights(sums: Sequence[int], regularization: float, prior: Sequence[float] | None) -> tuple[float, ...]:
    """w = (XᵀX + λI)⁻¹(Xᵀy + λw₀) from the sums of a window, by Cholesky."""
    matrix = [[0.0] * FEATURES for _ in range(FEATURES)]
    for position, (row, column) in enumerate(_PAIRS):
        matrix[column][row] = sums[position] / _SQUARE
    right = [total / _SQUARE for total in sums[len(_PAIRS) :]]
    if prior is not None:
        right = [value + regularization * weight for value, weight in zip(right, prior, strict=True)]
    lower: list[list[float]] = []
    for row in range(FEATURES):
        entries = matrix[row]
        solved: list[float] = []
        for column in range(row):
            other = lower[column]
            rest = entries[column]
            for k in range(column):
                rest -= solved[k] * other[k]
            solved.append(rest / other[column])
        pivot = entries[row] + regularization
        for value in solved:
            pivot -= value * value
        # In exact arithmetic no pivot is below λ; rounding must not make one vanish.
        solved.append(math.sqrt(max(pivot, regularization)))
        lower.append(solved)
    forward: list[float] = []
    for row in range(FEATURES):
        entries = lower[row]
        rest = right[row]
        for k in range(row):
            rest -= entries[k] * forward[k]
        forward.append(rest / entries[row])
    weights = [0.0] * FEATURES
    for row in range(FEATURES - 1, -1, -1):
        rest = forward[row]
        for k in range(row + 1, FEATURES):
            rest -= lower[k][row] * weights[k]
        weights[row] = rest / lower[row][row]
    return tuple(weights)


def predicted_gain(weights: Sequence[float], features: Sequence[float]) -> float:
    """w·x within [0, 1]."""
    return min(1.0, max(0.0, raw_prediction(weights, features)))


def raw_prediction(weights: Sequence[float], x: Sequence[float]) -> float:
    """w·x, in the order of the features."""
    w = weights
    return w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3] + w[4] * x[4] + w[5] * x[5]
