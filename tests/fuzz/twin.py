"""The other process: the same inputs as a worker gets them, through batches, restarts and another decoder."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, cast

import msgspec

from processor.backends.kafka.buffer import BatchList, PartitionBuffer
from processor.config import Settings
from processor.engine.ports import Fold
from processor.engine.task import Task
from processor.loop.partition import PartitionFold
from schemas.events import EventDecoder, Limits
from schemas.progress import PROGRESS_KEY, decode_progress
from tests.fuzz.batches import input_batches, read_input, read_output
from tests.fuzz.configurations import settings_of
from tests.fuzz.inputs import Input, placed
from tests.fuzz.outcome import PARTITION, TOPIC, Digest, Finding, Outcome

VERSION = "fuzz"
PARTITIONS = 6
MAX_BATCH_BYTES = 1 << 20
MAX_BATCH_RECORDS = 400
BATCHES_PER_TRANSACTION = 3
RESTART_CHANCE = 0.15

_encode = msgspec.msgpack.Encoder().encode


class Twin:
    """Folds cases as a worker that is moved about: every restart reads what the last one wrote."""

    def run(self, configuration: str, inputs: Sequence[Input], dice: Random) -> Outcome:
        """The outcome of one case, from an empty state; no behaviour is told apart here."""
        settings = settings_of(configuration)
        reference = dice.random() < 0.5
        changelog: dict[bytes, bytes] = {}
        digest = Digest.new()
        position = 0
        task = _started(settings, changelog, reference)
        records = placed(list(inputs))
        try:
            while position < len(records):
                buffer = PartitionBuffer(*(BatchList(name, MAX_BATCH_BYTES) for name in ("a", "m", "d", "c")))
                for _ in range(1 + int(dice.random() * BATCHES_PER_TRANSACTION)):
                    batch = records[position : position + 1 + int(dice.random() ** 3 * MAX_BATCH_RECORDS)]
                    if not batch:
                        break
                    fetched = read_input(input_batches(batch), position)
                    task.fold.process(fetched, buffer)
                    position += len(batch)
                    task.consumed(fetched, position)
                for key, value in task.fold.changes():
                    buffer.change(key, value)
                buffer.change(PROGRESS_KEY, task.progress())
                _commit(buffer, digest, changelog)
                if dice.random() < RESTART_CHANCE:
                    task = _started(settings, changelog, reference)
        except Exception as error:
            return Outcome(b"", [Finding(position, f"the twin raised {error!r}")], [], {})
        marks = decode_progress(changelog.pop(PROGRESS_KEY)).marks if PROGRESS_KEY in changelog else task.fold.marks()
        return Outcome(digest.whole(changelog, marks), [], [], {})


def _started(settings: Settings, changelog: dict[bytes, bytes], reference: bool) -> Task:
    """A task at the end of the changelog; `reference`: its decoder takes no shortcut."""

    def factory(partition: int) -> Fold:
        fold = PartitionFold(settings, TOPIC, partition)
        if reference:
            fold._decoder = EventDecoder(Limits(settings.engine.max_event_bytes, settings.engine.max_event_depth), True)
        return cast(Fold, fold)

    task = Task(PARTITION, factory, PARTITIONS, VERSION, settings.engine.application_id)
    if changelog:
        task.begin_restore()
        for key, value in changelog.items():
            task.restore(key, value)
        task.end_restore(0, "changelog")
    return task


def _commit(buffer: PartitionBuffer, digest: Digest, changelog: dict[bytes, bytes]) -> None:
    for running, batches in zip(digest, buffer.lists[:3], strict=True):
        for one in read_output(batches):
            running.update(_encode(one))
    written: Any
    for key, written, _ in read_output(buffer.lists[3]):
        assert key is not None
        # As in a compacted log, a key stands where it was written last.
        changelog.pop(key, None)
        if written is not None:
            changelog[key] = written
