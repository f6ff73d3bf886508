"""The reference streams through Apache Kafka: its own producer writes them, its own consumer reads the answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import run_processor
from processor.config import Settings
from processor.engine.observer import Committed, Observer
from processor.surfaces.folds import partition_fold
from tests.faults.stage import create_topics, scenario_settings
from tests.kafka import tools
from tests.kafka.locked import as_party
from tests.oracle import verdict

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
ROLES = ("actions", "metrics")
TOLERANCE = 1e-9


class Counting(Observer):
    """Says when so many input records are committed."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.done = asyncio.Event()

    def committed(self, report: Committed) -> None:
        self._left -= report.records
        if self._left <= 0:
            self.done.set()


# `short` shares one model between all sessions of a partition: its answers are those of a single partition.
@pytest.mark.parametrize(
    ("name", "partitions"), [("default", 4), ("edges", 4), ("fixed", 4), ("learn", 4), ("short", 1)]
)
async def test_a_reference_stream_gives_its_answers(kafka: EmbeddedKafka, name: str, partitions: int) -> None:
    settings = vector_settings(kafka.bootstrap_servers, name, partitions)
    events = [keyed(line) for line in lines_of(f"{name}.events.jsonl")]
    await create_topics(settings)
    await asyncio.to_thread(tools.produce, kafka.bootstrap_servers, settings.topics.state, events)

    await process(settings, len(events))

    wanted = {role: [json.loads(line) for line in lines_of(f"{name}.{role}.jsonl")] for role in ROLES}
    found = await asyncio.gather(*(committed(settings, role, len(wanted[role])) for role in ROLES))
    for role, records in zip(ROLES, found, strict=True):
        assert difference(by_session(wanted[role]), by_session(records), role) is None
    # That there are not more of them, and everything else that follows from the input, byte by byte.
    assert await verdict(settings) == []


def vector_settings(bootstrap_servers: str, name: str, partitions: int) -> Settings:
    more = {}
    if name == "edges":
        more["quality.pretrain_file"] = str(VECTORS / "edges.pretrain.json")
    return scenario_settings(bootstrap_servers, partitions, more, config=VECTORS / f"{name}.config.toml")


def lines_of(file: str) -> list[str]:
    return (VECTORS / file).read_text(encoding="utf-8").splitlines()


def keyed(line: str) -> tools.NewRecord:
    """The line under its session's key; a line without a usable session under a null key."""
    try:
        session_id = json.loads(line).get("session_id")
    except ValueError:
        session_id = None
    return tools.NewRecord(line, session_id if isinstance(session_id, str) and session_id else None)


async def committed(settings: Settings, role: str, count: int) -> list[Any]:
    """What Kafka's console consumer reads, read_committed."""
    topic = getattr(settings.topics, role)
    records = await asyncio.to_thread(tools.consume, settings.kafka.bootstrap_servers, topic, expected=count)
    return [json.loads(record.value or b"null") for record in records]


async def process(settings: Settings, records: int) -> None:
    """Run one instance of the product until so many input records are committed."""
    settings = await as_party(settings, "processor")
    counting, stop = Counting(records), asyncio.Event()
    work = asyncio.create_task(run_processor(settings, lambda p: partition_fold(settings, p), counting, stop))
    done = asyncio.create_task(counting.done.wait())
    await asyncio.wait({work, done}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
    stop.set()
    done.cancel()
    await work
    assert counting.done.is_set(), "the input was not processed in time"


def by_session(records: Sequence[Any]) -> dict[str, list[Any]]:
    sessions: dict[str, list[Any]] = {}
    for record in records:
        sessions.setdefault(record["session_id"], []).append(record)
    return sessions


def difference(wanted: Any, found: Any, where: str) -> str | None:
    """The first place at which two values differ: floats by more than 1e-9, `error` texts never.

    A record read from a topic always has a timestamp; in the reference there is one only where the event had it.
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        extra = found.keys() - wanted.keys() - {"timestamp"}
        if extra or wanted.keys() - found.keys():
            return f"{where}: keys {sorted(wanted)} and {sorted(found)}"
        parts = [(wanted[key], found[key], f"{where}.{key}") for key in wanted if key != "error"]
    elif isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found):
            return f"{where}: {len(wanted)} and {len(found)}"
        parts = [
            (one, other, f"{where}[{index}]") for index, (one, other) in enumerate(zip(wanted, found, strict=True))
        ]
    elif isinstance(wanted, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return None if abs(wanted - found) <= TOLERANCE else f"{where}: {wanted} and {found}"
    else:
        same = wanted == found and isinstance(wanted, bool) == isinstance(found, bool)
        return None if same else f"{where}: {wanted!r} and {found!r}"
    return next((told for part in parts if (told := difference(*part)) is not None), None)
