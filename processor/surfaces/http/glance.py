"""The overview with its health, encoded once for all who look at the same moment."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from processor.config import Settings
from processor.surfaces.health import Health, judge
from processor.surfaces.watch.picture import Picture

FRESH_S = 0.25  # an overview may be so old: a flood of requests costs four encodings a second


class Glance:
    """Health and overview as of now, or of a moment ago."""

    def __init__(self, picture: Picture, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._picture = picture
        self._settings = settings
        self._clock = clock
        self._made_at = float("-inf")
        self._text = b""

    def health(self) -> Health:
        """Judged now."""
        return judge(self._picture, self._clock(), self._settings)

    def overview(self) -> bytes:
        """``/api/overview`` as JSON text."""
        now = self._clock()
        if now - self._made_at >= FRESH_S:
            health = self.health()
            overview = self._picture.overview()
            overview.health = {"live": health.live.ok, "ready": health.ready.ok, "reasons": health.ready.reasons}
            self._text = msgspec.json.encode(overview)
            self._made_at = now
        return self._text
