"""One failure as the probes saw it, and the table of all."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

HEAD = ("what was done", "named", "where", "ready", "live", "well again")


class Sighting(Struct):
    """Seconds from the failure to the first 503; ``unlive_s`` is None where ``/health/live`` went on answering 200.

    ``well_s`` counts from the end of the cause until both probes answered 200 again, None where that was not awaited.
    """

    cause: str
    what: str
    where: str
    message: str
    unready_s: float
    unlive_s: float | None
    well_s: float | None = None

    def row(self) -> tuple[str, ...]:
        """As in the table."""
        live = "200" if self.unlive_s is None else f"503 after {self.unlive_s:.1f} s"
        well = "-" if self.well_s is None else f"after {self.well_s:.1f} s"
        return (self.cause, f"`{self.what}`", self.where, f"503 after {self.unready_s:.1f} s", live, well)


def table(sightings: Sequence[Sighting]) -> str:
    """In Markdown."""
    rows = [HEAD, tuple("---" for _ in HEAD), *(sighting.row() for sighting in sightings)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
