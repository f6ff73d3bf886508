"""An application in memory that loses its changelog, and gets it back."""

from __future__ import annotations

from typing import Any

import msgspec

from processor.config import Settings
from processor.surfaces.ports import RebuiltState, Standing
from processor.surfaces.rebuild import RebuiltPartition, Words, rebuild_partition
from schemas.progress import BARRIER_KEY, PROGRESS_KEY, Progress, decode_progress
from tests.unit.surfaces.audit.memory import Topics, quick

SETTINGS = quick()
NO_WORDS = Words()
COUNT = 600


def worked(settings: Settings = SETTINGS, count: int = COUNT, processed: int | None = None, **source: Any) -> Topics:
    """Events, so many of them processed."""
    topics = Topics(settings, **source)
    topics.write(count)
    topics.process(settings, count if processed is None else processed)
    return topics


def held(topics: Topics) -> dict[bytes, bytes]:
    """What the changelog comes to, barriers left out."""
    state: dict[bytes, bytes] = {}
    for record in topics.changelog.records:
        assert record.key is not None
        if record.value is None:
            state.pop(record.key, None)
        elif record.key != BARRIER_KEY:
            state[record.key] = record.value
    return state


def lose(topics: Topics) -> dict[bytes, bytes]:
    """Delete the changelog and make it anew; returns what it held."""
    lost = held(topics)
    topics.changelog.records.clear()
    topics.changelog.end = 0
    return lost


GROUP = -1


def standing(topics: Topics, committed: int | None = GROUP) -> Standing:
    """What is left; the group's offset is where the work stands unless another one is given."""
    own = {key: value for key, value in held(topics).items() if key[:1] == b"\x00"}
    return Standing(0, own, topics.position if committed == GROUP else committed)


async def rebuilt(
    topics: Topics,
    settings: Settings = SETTINGS,
    words: Words = NO_WORDS,
    *,
    committed: int | None = GROUP,
    **more: Any,
) -> tuple[RebuiltPartition, RebuiltState | None]:
    return await rebuild_partition(topics.logs, settings, standing(topics, committed), words, **more)


async def state_of(topics: Topics, settings: Settings = SETTINGS, words: Words = NO_WORDS, **more: Any) -> RebuiltState:
    """Where nothing stands against it."""
    report, state = await rebuilt(topics, settings, words, **more)
    assert report.refusal(words) is None, report
    assert state is not None
    return state


def put_back(topics: Topics, state: RebuiltState) -> None:
    """What the command commits."""
    for key, value in {**state.state, PROGRESS_KEY: state.progress}.items():
        topics.changelog.append(key, value)


def without_version(progress: bytes) -> Progress:
    return msgspec.structs.replace(decode_progress(progress), application_version="")


def expect_same(state: RebuiltState, lost: dict[bytes, bytes]) -> None:
    """Byte for byte what was lost, but for who wrote it."""
    stored = lost.pop(PROGRESS_KEY)
    assert state.state == lost
    assert without_version(state.progress) == without_version(stored)
