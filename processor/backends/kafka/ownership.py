"""Whose changelog a topic is, looked up at its end: the last commit is never far from it."""

from __future__ import annotations

from contextlib import aclosing

from processor.backends.kafka.connection import Connection
from processor.backends.kafka.logs import committed_records, patience_s, stable_end_offset
from processor.backends.kafka.reader import EARLIEST, list_offset
from processor.config import Settings
from processor.engine.ownership import refuse_another
from processor.errors import Refused
from schemas.progress import PROGRESS_KEY, decode_progress

TAIL_OFFSETS = 1_000  # looked at first


async def refuse_another_application(connection: Connection, settings: Settings, partitions: int) -> None:
    """Raise `Refused` where one of the partitions of the changelog names another application, or a newer format."""
    for partition in range(partitions):
        value = await _last_progress(connection, settings, partition)
        if value is None:
            continue
        place = f"changelog {settings.topics.changelog}-{partition}"
        try:
            progress = decode_progress(value)
        except ValueError as error:
            raise Refused(f"{place}: progress record {error}; run the version that wrote it") from None
        refuse_another(progress, settings.engine.application_id, place)


async def _last_progress(connection: Connection, settings: Settings, partition: int) -> bytes | None:
    """The newest progress record, None where there is none or a tombstone."""
    topic = settings.topics.changelog
    first = await list_offset(connection, topic, partition, EARLIEST)
    end, width = await stable_end_offset(connection, topic, partition), TAIL_OFFSETS
    while end > first:
        start = max(first, end - width)
        found: list[bytes | None] = []
        async with aclosing(committed_records(connection, topic, partition, start, end, patience_s(settings))) as log:
            async for batch in log:
                found += [record.value for record in batch if record.key == PROGRESS_KEY]
        if found:
            return found[-1]
        end, width = start, 4 * width
    return None
