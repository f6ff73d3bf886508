"""The seeds' health check: whether what is explored gains anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import UNSET

from processor.surfaces.watch.overview import CreativityHealth, LastExploration
from processor.surfaces.watch.seen import Happening

DEGRADED_GAIN = 0.1  # less after more than so many explorations is degraded
DEGRADED_AFTER = 10


def creativity_health(
    mode: str, cumulative_gain: float, explorations: int, trained: bool, last: LastExploration | None
) -> CreativityHealth:
    """The seeds' verdict."""
    degraded = cumulative_gain < DEGRADED_GAIN and explorations > DEGRADED_AFTER
    return CreativityHealth(
        "degraded" if degraded else "healthy",
        mode,
        cumulative_gain,
        explorations,
        trained,
        last,
        "Low cumulative gain despite multiple explorations" if degraded else UNSET,
    )


def creativity_of(view: Mapping[str, Any], story: Iterable[Happening] = ()) -> CreativityHealth:
    """The same for one session, from its view (`session_view`).

    The view knows of one exploration: while that runs, or was aborted, the last one that was completed is looked for
    in the session's story (newest first).
    """
    exploration, model = view["exploration"], view["model"]
    completed = (told.fields for told in story if told.kind == "creative_exploration_completed")
    last = next(
        (
            LastExploration(fields["profile"], fields["actual_gain"], fields["duration"])
            for fields in completed
            if fields["actual_gain"] is not None
        ),
        None,
    )
    if exploration is not None and exploration["creative_gain"] is not None:
        last = LastExploration(exploration["profile"], exploration["creative_gain"], exploration["duration"])
    return creativity_health(
        view["mode"],
        view["cumulative_gain"],
        view["counts"]["completed"],
        model is not None and model["trained"],
        last,
    )
