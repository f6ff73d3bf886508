"""What the changelog of one partition holds: state, progress, and the eras of its behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from processor.errors import Refused
from processor.surfaces.ports import Logs
from schemas.progress import (
    BARRIER_KEY,
    PROGRESS_KEY,
    RESET_PREFIX,
    Progress,
    Reset,
    decode_progress,
    decode_reset,
)
from schemas.state_records import EraRecord, Kind, decode_state

PASSES = 2


class NotAuditable(Refused):
    """The log does not hold what the question needs."""


class StoredState(NamedTuple):
    """The newest record of each key, with its offset, and of a partition the progress at the same moment.

    ``resets`` in the order of time.  ``whole``: the log is there from its beginning on.
    """

    state: Mapping[bytes, tuple[int, bytes]]
    eras: list[EraRecord]
    resets: list[Reset]
    progress: Progress
    progress_offset: int
    whole: bool


async def read_stored(logs: Logs, topic: str, partition: int) -> StoredState:
    """The state at one moment, also while others write. Raises `NotAuditable` without a progress record.

    It is read to the last stable offset, where no transaction is cut, and then once more to where that is by then: the
    compaction that runs meanwhile takes a record away only for a later one, which the second pass sees.
    """
    newest: dict[bytes, tuple[int, bytes]] = {}
    bounds = await logs.bounds(topic, partition)
    first = position = bounds.first
    end = bounds.stable_end
    for _ in range(PASSES):
        async for records in logs.records(topic, partition, position, end):
            for record in records:
                if record.key is None or record.key == BARRIER_KEY:
                    continue
                if record.value is None:
                    newest.pop(record.key, None)
                else:
                    newest[record.key] = record.offset, record.value
        position, end = end, (await logs.bounds(topic, partition)).stable_end
    place = f"changelog {topic}-{partition}"
    stored = newest.pop(PROGRESS_KEY, None)
    if stored is None:
        raise NotAuditable(f"{place} has no progress record: nothing was ever processed, or it was truncated")
    keys = [key for key in newest if key[:1] == Kind.ERA.value]
    reset_keys = sorted(key for key in newest if key.startswith(RESET_PREFIX))
    try:
        progress = decode_progress(stored[1])
        eras = [decode_state(newest.pop(key)[1], EraRecord) for key in keys]
        resets = [decode_reset(newest.pop(key)[1]) for key in reset_keys]
    except ValueError as error:
        raise NotAuditable(f"{place}: {error}; audit with the version that wrote it") from None
    eras.sort(key=lambda era: era.first_offset)
    return StoredState(newest, eras, resets, progress, stored[0], first == 0)
