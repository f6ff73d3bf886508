"""Which input offsets are to be audited."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """Input offsets from ``start`` up to ``end`` (exclusive); None: up to the partition's progress."""

    start: int = 0
    end: int | None = None


WHOLE = Span()
