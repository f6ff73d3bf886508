"""What the HTTP surface asks of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from processor.surfaces.watch.beat import SessionAnswer


class SessionSource(Protocol):
    """Sessions in full, from the workers that have them."""

    async def look_up(self, session_id: str) -> SessionAnswer:
        """Within 2 s, else the answer's ``unavailable`` says why."""


class Owner(Struct, frozen=True):
    """Who has a partition; ``url`` is its HTTP address (``http://host:port``) where it told one."""

    instance: str
    url: str | None


class OwnerDirectory(Protocol):
    """Knows which instance of the application has which partition."""

    async def owner(self, partition: int) -> Owner | None:
        """None where nobody has it, or where that cannot be found out; however many ask at a time."""


Render = Callable[[str], tuple[bytes, str]]
"""The metrics' exposition for the value of an ``Accept`` header: the text and its content type."""
