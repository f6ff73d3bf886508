"""A scrape of a process in which something of everything has happened."""

from __future__ import annotations

from functools import cache

from processor.surfaces.watch.beat import PartitionBeat
from tests.unit.surfaces.prometheus.scraped import Scraped


@cache
def scrape() -> list[tuple[str, dict[str, str]]]:
    """Name and labels of every series; one worker with one partition is enough for all of them."""
    scraped = Scraped()
    scraped.hear(partitions={0: PartitionBeat("running")})
    return [(name, dict(labels)) for name, labels in scraped.samples()]
