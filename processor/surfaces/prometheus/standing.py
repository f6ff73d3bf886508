"""How things stand at the moment of a scrape: gauges, from each worker's latest beat.

Nothing is kept from one scrape to the next: a partition that moved away has no series any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from processor.config import APPLICATION_VERSION, Settings
from processor.loop.session import MODES
from processor.surfaces.prometheus import names
from processor.surfaces.prometheus.adding_up import Series
from processor.surfaces.prometheus.names import Declared
from processor.surfaces.watch.beat import PartitionBeat, PartitionPhase, Phase
from processor.surfaces.watch.instances import Instance, figures_of, partitions_of

PHASES: tuple[Phase, ...] = get_args(Phase)
PARTITION_PHASES: tuple[PartitionPhase, ...] = get_args(PartitionPhase)


def standing(settings: Settings, workers: Mapping[str, Instance], now: float) -> dict[Declared, Series]:
    """Series of every gauge but the stream's, and of the workers' restarts; ``now`` in monotonic seconds."""
    partitions = partitions_of(workers.values())
    return {
        names.BUILD: {(APPLICATION_VERSION,): 1},
        names.INPUT_PARTITIONS: {(): settings.topics.partitions},
        names.EXPLORATION_LIMIT: {(): settings.loop.max_exploration_steps},
        **_sums(partitions.values()),
        **_of_partitions(partitions),
        **_of_workers(workers, now),
    }


def _sums(partitions: Iterable[PartitionBeat]) -> dict[Declared, Series]:
    figures = figures_of(partitions)
    return {
        names.GAIN: {(): figures["gain"]},
        names.MODE: {(mode,): figures[f"sessions.{mode}"] for mode in MODES},
        names.MODELS_TRAINED: {(): figures["models.trained"]},
    }


def _of_partitions(partitions: Mapping[int, PartitionBeat]) -> dict[Declared, Series]:
    labelled = {(str(partition),): beat for partition, beat in partitions.items()}
    waiting = {labels: (0, 0) if beat.waiting is None else beat.waiting for labels, beat in labelled.items()}
    return {
        names.PHASE: {
            (partition, phase): float(beat.phase == phase)
            for (partition,), beat in labelled.items()
            for phase in PARTITION_PHASES
        },
        names.PHASE_AGE: {labels: beat.since_s for labels, beat in labelled.items()},
        names.LAG_RECORDS: {labels: beat.lag for labels, beat in labelled.items()},
        names.LAG: {labels: beat.lag_s for labels, beat in labelled.items()},
        names.STANDING: {labels: beat.standing_s for labels, beat in labelled.items()},
        names.RESTORE_WAITING: {labels: float(beat.waiting is not None) for labels, beat in labelled.items()},
        names.RESTORE_POSITION: {labels: position for labels, (position, _) in waiting.items()},
        names.RESTORE_BARRIER: {labels: barrier for labels, (_, barrier) in waiting.items()},
    }


def _of_workers(workers: Mapping[str, Instance], now: float) -> dict[Declared, Series]:
    labelled = {(instance,): worker for instance, worker in workers.items()}
    return {
        names.CONNECTED: {labels: float(worker.connected) for labels, worker in labelled.items()},
        names.WORKER_PHASE: {
            (instance, phase): float(worker.beat.phase == phase)
            for (instance,), worker in labelled.items()
            for phase in PHASES
        },
        names.SILENT: {labels: max(0.0, now - worker.heard_at) for labels, worker in labelled.items()},
        names.STARTED: {labels: worker.beat.began for labels, worker in labelled.items()},
        names.RESTARTS: {labels: worker.restarts for labels, worker in labelled.items()},
        names.DOUBT: {labels: worker.beat.doubt_s for labels, worker in labelled.items()},
        names.STALL: {labels: worker.beat.stalled_s for labels, worker in labelled.items()},
    }
