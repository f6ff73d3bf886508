"""How strong and how long an exploration is (amplitude and duration from the state)."""

from __future__ import annotations

MIN_AMPLITUDE = 0.1
MAX_AMPLITUDE = 0.9


def clip_amplitude(factor: float) -> float:
    """`factor` within the bounds that every amplitude keeps."""
    return min(MAX_AMPLITUDE, max(MIN_AMPLITUDE, factor))


def base_factor(novelty: float, aesthetic_score: float) -> float:
    """The amplitude before the quality model has its say, 0.1 to 0.9."""
    return clip_amplitude(
        (0.3 + 0.4 * novelty) * (1.0 + 0.5 * (aesthetic_score - 0.5)) * (0.5 + 0.5 * max(0.0, 1.0 - abs(0.6 - novelty)))
    )


def duration_steps(novelty: float, min_steps: int, max_steps: int) -> int:
    """Planned injected steps; truncated in binary floating point (novelty 0.29 gives 157)."""
    return max(min_steps, min(max_steps, 100 + int(200.0 * novelty)))
