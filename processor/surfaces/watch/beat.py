"""What one worker tells about itself; small enough to be sent ten times a second, over a thread or a socket."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

Phase = Literal["starting", "working", "recovering", "stopping", "ended"]
NEVER_HEARD = -1  # the sequence of a beat that stands for those of a worker that has not told anything

PartitionPhase = Literal["assigned", "restoring", "running", "halted"]


class PartitionBeat(Struct):
    """One assigned partition.

    ``position`` is the next input offset, -1 while unknown. ``lag`` counts records up to the last stable offset,
    ``lag_s`` is the age of the last record consumed while there is lag (seconds, by Kafka's timestamp), 0 without.
    ``standing_s`` is the time since the last progress while there is lag, 0 without. ``waiting`` is the changelog
    position and the barrier's offset of a restore that stands still. ``figures`` are the fold's, at the last commit.
    """

    phase: PartitionPhase
    position: int = -1
    lag: int = 0
    lag_s: float = 0.0
    standing_s: float = 0.0
    since_s: float = 0.0  # in this phase
    waiting: tuple[int, int] | None = None
    cause: str | None = None  # of a halt
    figures: dict[str, float] = field(default_factory=dict)


class Beat(Struct):
    """One worker's last moments: what there was since the beat before, and how things stand.

    ``sequence`` counts from 0 in one process, ``at`` is the worker's clock (seconds since the epoch), ``began`` the
    start of the process. ``stalled_s`` is how long its event loop has not turned, ``stalled_where`` the line of code
    that holds it up. ``doubt`` is why no transactional producer or no commit succeeds, for ``doubt_s`` seconds.
    ``unassigned_s`` is how long it has waited for the group to say which partitions are its own, 0 while it knows.
    """

    instance: str
    sequence: int
    at: float
    began: float
    phase: Phase
    generation: int = -1
    stalled_s: float = 0.0
    stalled_where: str | None = None
    doubt: str | None = None
    doubt_s: float = 0.0
    unassigned_s: float = 0.0
    error: str | None = None  # what ended it
    partitions: dict[int, PartitionBeat] = field(default_factory=dict)
    # Since the last beat
    tally: dict[str, float] = field(default_factory=dict)  # `processor.engine.ports.Fold.tally`, over all partitions
    commits_s: list[float] = field(default_factory=list)  # duration of each transaction
    batches: list[int] = field(default_factory=list)  # records of each transaction
    latencies_s: list[float] = field(default_factory=list)  # per transaction and partition: age of its first record
    restores_s: list[tuple[float, bool]] = field(default_factory=list)  # duration, and whether memory was kept
    doubts: int = 0
    rebalances: int = 0
    happened: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # the folds' diaries, in order
    metrics: list[bytes] = field(default_factory=list)  # as they were written, JSON or MessagePack
    metrics_left_out: int = 0  # committed metrics that are not in ``metrics``, since nobody took them in time
    happened_left_out: int = 0


class SessionAnswer(Struct):
    """What a worker knows of one session; exactly one of the fields is given, none where it has no such session."""

    session: dict[str, Any] | None = None
    elsewhere: bool = False  # its partition is not this worker's
    partition: int = -1
    unavailable: str | None = None  # restoring, stalled … : ask again
