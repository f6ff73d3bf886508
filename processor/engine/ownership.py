"""A changelog belongs to one application: two groups that work on it would both answer every event."""

from __future__ import annotations

from processor.errors import Refused
from schemas.progress import Progress


def refuse_another(progress: Progress, application_id: str, place: str) -> None:
    """Raise `Refused` where the progress record at ``place`` names another application.

    One that names nobody is of a version that did not say; whoever commits first puts a name to it.
    """
    owner = progress.application_id
    if owner and owner != application_id:
        raise Refused(
            f"{place} belongs to application {owner!r}, this is {application_id!r}: both would answer every event; set "
            f"engine.application_id to {owner!r}, or give {application_id!r} output topics and a changelog of its own"
        )
