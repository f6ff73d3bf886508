"""The HTTP surface with everything that stands behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from processor.config import Settings
from processor.surfaces.http import SessionSource, serve
from processor.surfaces.owners import GroupOwners
from processor.surfaces.ports import Kafka
from processor.surfaces.watch.picture import Picture

DASHBOARD = "processor.surfaces.dashboard"


@asynccontextmanager
async def served(settings: Settings, picture: Picture, sessions: SessionSource, kafka: Kafka) -> AsyncIterator[str]:
    """Serve in this event loop, which is the picture's; the value is the address to tell people."""
    owners = GroupOwners(kafka, settings)
    async with serve(settings, picture, sessions=sessions, owners=owners, dashboard=files(DASHBOARD)) as window:
        yield window.url
