"""Who has a partition, for the HTTP surface; the group is asked at most every two seconds."""

from __future__ import annotations

import asyncio
import time

from processor.config import Settings
from processor.errors import ProcessorError
from processor.surfaces.http.ports import Owner
from processor.surfaces.ports import Kafka

KNOWN_S = 2.0
ANSWER_S = 3.0


class GroupOwners:
    """An `OwnerDirectory` that asks the group's coordinator."""

    def __init__(self, kafka: Kafka, settings: Settings) -> None:
        self._kafka = kafka
        self._settings = settings
        self._known: dict[int, tuple[float, Owner | None]] = {}

    async def owner(self, partition: int) -> Owner | None:
        """None where nobody has it, or where that cannot be found out."""
        asked_at, known = self._known.get(partition, (float("-inf"), None))
        if time.monotonic() - asked_at < KNOWN_S:
            return known
        found = None
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await self._kafka.owner(self._settings, partition)
        except (ProcessorError, TimeoutError):
            return None
        owner = None if found is None else Owner(found.instance, found.url)
        self._known[partition] = (time.monotonic(), owner)
        return owner
