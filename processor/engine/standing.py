"""Whether partitions move: one with lag and without progress says that its client is stuck (rule R13)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from processor.engine.lifecycle import TaskState
from processor.engine.observer import Observer
from processor.engine.ports import Input
from processor.engine.task import Task
from processor.engine.tuning import Tuning
from processor.errors import Stuck

log = logging.getLogger(__name__)

LOOK_S = 0.5  # between two looks
ASLEEP_S = 5.0  # nobody looked for so long: the process itself stood still, which says nothing about a partition


@dataclass
class Stand:
    """Where a partition with lag is, and since when (seconds of the event loop)."""

    position: int
    since: float
    read_anew: bool = False


class Standing:
    """Looks at all running partitions about twice a second at most.

    Restores and halted partitions stand for a reason that is reported elsewhere.
    """

    def __init__(self, tuning: Tuning, observer: Observer) -> None:
        self._tuning = tuning
        self._observer = observer
        self._looked_at = float("-inf")
        self._stands: dict[int, Stand] = {}

    def check(self, now: float, tasks: Mapping[int, Task], reader: Input) -> None:
        """What has stood for half the stuck time-out is read anew; raises `Stuck` after the whole."""
        if now - self._looked_at < LOOK_S:
            return
        known = self._stands if now - self._looked_at < ASLEEP_S else {}
        self._looked_at = now
        self._stands = {}
        lags = {p: reader.lag(p) for p, task in tasks.items() if task.state is TaskState.RUNNING}
        for partition, task in tasks.items():
            if lags.get(partition, 0) > 0:
                before = known.get(partition)
                same = before is not None and before.position == task.position
                self._stands[partition] = before if before is not None and same else Stand(task.position, now)
        self._observer.standing({partition: now - stand.since for partition, stand in self._stands.items()}, lags)
        for partition, stand in self._stands.items():
            self._judge(partition, stand, now - stand.since, reader)

    def _judge(self, partition: int, stand: Stand, age_s: float, reader: Input) -> None:
        name, limit_s = f"{self._tuning.input}-{partition}", self._tuning.stuck_timeout_s
        if age_s > limit_s:
            raise Stuck(
                f"{name} has stood at offset {stand.position} for {age_s:.0f} s with {reader.lag(partition)} records "
                "to read: start again; if it stays, look at the brokers"
            )
        if age_s > limit_s / 2 and not stand.read_anew:
            log.warning("%s stands at offset %d: reading anew", name, stand.position)
            stand.read_anew = True
            reader.seek(partition, stand.position)
