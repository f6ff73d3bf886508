"""Whether partitions move (rule R13).

One with lag and without progress says that its client is stuck.  One whose lag nobody tells stands too, but that the
brokers are silent is no reason to end: it is told, and whoever watches decides.
"""

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
SILENT_S = 1.0  # a leader answers four times a second, also when there is nothing to read
ASLEEP_S = 5.0  # nobody looked for so long: the process itself stood still, which says nothing about a partition


@dataclass
class Stand:
    """Where a partition is, since when (seconds of the event loop), and how much there is to read, as last known."""

    position: int
    since: float
    lag: int = 0
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
        lags = {}
        for partition, task in tasks.items():
            if task.state is not TaskState.RUNNING:
                continue
            stand = self._stand(task, known.get(partition), now, reader)
            if stand is not None:
                self._stands[partition] = stand
            lags[partition] = stand.lag if stand is not None else 0
        self._observer.standing({partition: now - stand.since for partition, stand in self._stands.items()}, lags)
        for partition, stand in self._stands.items():
            if stand.lag:
                self._judge(partition, stand, now - stand.since, reader)

    def _stand(self, task: Task, before: Stand | None, now: float, reader: Input) -> Stand | None:
        """None where it moves, or where there is nothing to read."""
        lag, silent = reader.lag(task.partition), reader.silence_s(task.partition) > SILENT_S
        if before is not None and before.position != task.position:
            before = None
        if lag == 0 and not silent:
            return None
        if lag is None and not silent and before is None:
            return None
        stand = before if before is not None else Stand(task.position, now)
        stand.lag = lag or stand.lag  # what is read anew is unknown, not gone
        return stand

    def _judge(self, partition: int, stand: Stand, age_s: float, reader: Input) -> None:
        name, limit_s = f"{self._tuning.input}-{partition}", self._tuning.stuck_timeout_s
        if age_s > limit_s:
            raise Stuck(
                f"{name} has stood at offset {stand.position} for {age_s:.0f} s with {stand.lag} records "
                "to read: start again; if it stays, look at the brokers"
            )
        if age_s > limit_s / 2 and not stand.read_anew:
            log.warning("%s stands at offset %d: reading anew", name, stand.position)
            stand.read_anew = True
            reader.seek(partition, stand.position)
