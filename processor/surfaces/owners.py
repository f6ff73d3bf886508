"""Who has a partition, for the HTTP surface; the group is asked at most every two seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from processor.config import Settings
from processor.errors import ProcessorError
from processor.surfaces.http.ports import Owner
from processor.surfaces.ports import GroupMember, Kafka

KNOWN_S = 2.0
ANSWER_S = 3.0


class GroupOwners:
    """An `OwnerDirectory` that asks the group's coordinator, for all partitions at once."""

    def __init__(self, kafka: Kafka, settings: Settings) -> None:
        self._kafka = kafka
        self._settings = settings
        self._known: Mapping[int, GroupMember] = {}
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def owner(self, partition: int) -> Owner | None:
        """None where nobody has it, or where that cannot be found out."""
        async with self._asking:  # who comes next finds what was learned
            if time.monotonic() - self._asked_at >= KNOWN_S:
                try:
                    async with asyncio.timeout(ANSWER_S):
                        self._known = await self._kafka.owners(self._settings)
                except (ProcessorError, TimeoutError):
                    self._known = {}  # asked again only after a while: who does not answer is not helped by more
                self._asked_at = time.monotonic()
        found = self._known.get(partition)
        return None if found is None else Owner(found.instance, found.url)
