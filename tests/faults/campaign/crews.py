"""The scene of kills and zombies: a few workers that share partitions under load, and lose them within a second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from processor.backends.embedded import EmbeddedKafka
from tests.faults.campaign.rounds import Round
from tests.faults.stage import Stage, stage

RATE = 200.0  # events a second: every commit has something to commit, and the machine has time for the faults
PARTITIONS = 6
WORKERS = ("one", "two", "three")

# A fault comes at one of the next commits, or so much later; what comes once for a start or a partition, at once.
MOST_COMMITS = 5
MOST_WAIT_S = 0.03


def workers_of(part: Round) -> tuple[str, ...]:
    """Two or three, by turns."""
    return WORKERS[: 2 + part.number // 2 % 2]


@asynccontextmanager
async def crew_stage(kafka: EmbeddedKafka, folder: Path, part: Round) -> AsyncIterator[Stage]:
    """No worker yet, and no load; by turns with static and dynamic membership."""
    settings = {
        "engine.static_membership": part.number % 2 == 0,
        "topics.replication_factor": len(kafka.nodes),
        "engine.session_timeout_ms": 1_000,
        "engine.transaction_timeout_ms": 1_000,
        "engine.commit_interval_ms": 80,
    }
    servers, seed = kafka.bootstrap_servers, part.own_seed
    async with stage(servers, folder, seed=seed, partitions=PARTITIONS, settings=settings, live=True) as scenario:
        yield scenario
