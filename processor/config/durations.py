"""Durations as people write them: ``7d``, ``12h``, ``90m``, ``30s``, ``500ms``; a bare number is seconds."""

from __future__ import annotations

import re

from processor.errors import ConfigError

_UNIT_MS = {"ms": 1, "s": 1000, "": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,12})\s*(ms|s|m|h|d|)", re.ASCII)
MAX_DURATION_MS = 36_500 * _UNIT_MS["d"]


def parse_duration_ms(key: str, text: str) -> int:
    """Milliseconds from `text`, longer than zero and at most 36500 days. Raises `ConfigError` naming `key`."""
    match = _DURATION.fullmatch(text.strip())
    duration_ms = int(match[1]) * _UNIT_MS[match[2]] if match else 0
    if not 0 < duration_ms <= MAX_DURATION_MS:
        raise ConfigError(
            f"{key} = {text!r}: expected a duration above 0 and up to 36500d, such as 7d, 12h, 30s or 500ms"
        )
    return duration_ms
