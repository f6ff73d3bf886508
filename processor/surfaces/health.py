"""Health by progress: what stands still, where, and what to do about it.

Three states of one finding, by how long something has not moved (``http.stuck_after_ms`` is the limit):

- up to half of it, nothing: loops, transactions and restores take their time
- from there on it is told, and the instance is not ready
- from the whole on the instance is not live, where starting it anew is the remedy: an event loop, a partition or a
  producer that does not move, a process that is silent, a worker that nobody has started again, a group that does not
  answer although nobody may keep it waiting any longer

What a new start would not change is told, and makes unready, but never fails ``live``: a partition that is halted, a
restore that waits for somebody else's transaction, whatever begins or ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from processor.config import Settings
from processor.surfaces.supervisor import BackOff
from processor.surfaces.watch.beat import NEVER_HEARD, PartitionBeat
from processor.surfaces.watch.instances import Instance

What = Literal[
    "event_loop_stalled",
    "partition_stuck",
    "producer_dead",
    "worker_silent",
    "worker_ended",
    "restore_failed",
    "partition_halted",
    "restore_waiting",
    "restoring",
    "recovering",
    "joining",
    "starting",
    "stopping",
]
Status = Literal["ok", "degraded", "failing"]

TOLD_AT = 0.5  # of the limit
MAX_REASONS = 50  # in one answer; a thousand partitions that are restored say no more than some of them


class Seen(Protocol):
    """What is judged: all workers of this address by their name."""

    @property
    def instances(self) -> Mapping[str, Instance]: ...


class Reason(Struct, frozen=True):
    """One finding: ``where`` is an instance or topic-partition, ``message`` one line with the remedy."""

    what: What
    where: str
    message: str
    since_s: float


class Verdict(Struct, frozen=True):
    """Whether a probe succeeds; ``reasons`` holds what fails it first, then what is merely told."""

    ok: bool
    reasons: list[Reason]

    @property
    def status(self) -> Status:
        """In one word."""
        if not self.ok:
            return "failing"
        return "degraded" if self.reasons else "ok"


class Health(Struct, frozen=True):
    """``live``: no new start is needed. ``ready``: everything assigned is restored and moves."""

    live: Verdict
    ready: Verdict


class _Finding(Struct, frozen=True):
    reason: Reason
    deadly: bool = False


def judge(seen: Seen, now: float, settings: Settings) -> Health:
    """All findings at the monotonic time ``now`` (the clock of `Instance.heard_at`)."""
    findings = [
        finding
        for name, instance in sorted(seen.instances.items())
        for finding in _Look(name, instance, now, settings).findings()
    ]
    if not seen.instances:
        message = "no worker has told anything yet: wait until the first one has started"
        findings = [_Finding(Reason("starting", settings.engine.application_id, message, 0.0))]
    findings.sort(key=lambda finding: not finding.deadly)
    reasons = [finding.reason for finding in findings]
    if left := reasons[MAX_REASONS:]:
        where = settings.engine.application_id
        message = f"{where}: {len(left)} more reasons of this kind and others: remove those that are told first"
        reasons[MAX_REASONS:] = [Reason(left[0].what, where, message, max(reason.since_s for reason in left))]
    return Health(Verdict(not any(finding.deadly for finding in findings), reasons), Verdict(not reasons, reasons))


class _Look:
    """One worker, looked at once."""

    def __init__(self, name: str, instance: Instance, now: float, settings: Settings) -> None:
        self._name = name
        self._beat = instance.beat
        self._connected, self._why = instance.connected, instance.why
        self._age_s = max(0.0, now - instance.heard_at)  # of everything that the beat says
        self._settings = settings
        self._limit_s = settings.http.stuck_after_ms / 1000
        self._told_s = self._limit_s * TOLD_AT

    def findings(self) -> Iterator[_Finding]:
        if not self._connected:
            yield self._absent()
        elif self._age_s > self._told_s:
            # Whatever else its last words said is as old as they are.
            yield self._silent()
        else:
            yield from self._loop()
            yield from self._phase()
            for partition, beat in sorted(self._beat.partitions.items()):
                yield from self._partition(partition, beat)

    def _absent(self) -> _Finding:
        never_heard = self._beat.sequence == NEVER_HEARD
        if never_heard and self._age_s <= self._limit_s:
            return self._told("starting", "its process begins: wait", self._age_s)
        cause = self._beat.error or self._why
        since = (
            f"not heard of yet, {self._age_s:.0f} s after its start" if never_heard else f"gone for {self._age_s:.0f} s"
        )
        message = f"{since}: {cause}" if cause else since
        if self._age_s > BackOff().longest + self._limit_s:
            return self._deadly("worker_ended", f"{message}, and not started again: start everything anew", self._age_s)
        if self._beat.phase in ("stopping", "ended") and self._beat.error is None:
            return self._told("stopping", "has ended as it was told to", self._age_s)
        return self._told(
            "worker_ended", f"{message}; its supervisor starts it again after a pause, its log tells why", self._age_s
        )

    def _silent(self) -> _Finding:
        message = (
            f"silent for {self._age_s:.0f} s: its process is frozen or gets no CPU time; "
            "kill it, and another one takes its place"
        )
        return self._standing("worker_silent", message, self._age_s)

    def _loop(self) -> Iterator[_Finding]:
        stalled_s = self._beat.stalled_s
        if stalled_s > self._told_s:
            where = f" in {self._beat.stalled_where}" if self._beat.stalled_where else ""
            message = (
                f"the event loop has not turned for {stalled_s:.0f} s{where}: correct what does not return there, a "
                "function of your own most likely, and start again"
            )
            yield self._standing("event_loop_stalled", message, stalled_s)

    def _phase(self) -> Iterator[_Finding]:
        beat = self._beat
        if beat.phase == "ended":
            error = f": {beat.error}" if beat.error else ""
            yield self._told("worker_ended", f"has ended{error}; whoever supervises it starts it anew", self._age_s)
            return
        if beat.phase == "starting" or (beat.unassigned_s > 0 and beat.phase != "stopping"):
            yield self._joining()
        elif beat.phase == "stopping":
            yield self._told("stopping", "commits what it has computed and leaves the group", self._age_s)
        if beat.doubt is not None:
            if beat.doubt_s > self._limit_s:
                message = (
                    f"no transaction has succeeded for {beat.doubt_s:.0f} s: {beat.doubt}; look at the brokers, then "
                    "start again"
                )
                yield self._deadly("producer_dead", message, beat.doubt_s)
            elif beat.phase != "starting":
                message = f"no transaction has succeeded for {beat.doubt_s:.1f} s: {beat.doubt}; wait, it is tried anew"
                yield self._told("recovering", message, beat.doubt_s)

    def _joining(self) -> _Finding:
        beat = self._beat
        what: What = "starting" if beat.phase == "starting" else "joining"
        doubt = f", {beat.doubt}" if beat.doubt else ""
        patience_s = self._settings.engine.rebalance_timeout_ms / 1000 + self._limit_s  # others may take as long
        if beat.unassigned_s > patience_s:
            message = (
                f"the group has given no partitions for {beat.unassigned_s:.0f} s{doubt}: look at the brokers, then "
                "start again"
            )
            return self._deadly(what, message, beat.unassigned_s)
        message = f"waits for the group to give it partitions{doubt}; other members may take their time"
        return self._told(what, message, beat.unassigned_s)

    def _partition(self, partition: int, beat: PartitionBeat) -> Iterator[_Finding]:
        name = f"{self._settings.topics.state}-{partition}"
        log = f"{self._settings.topics.changelog}-{partition}"
        if beat.phase == "halted" and beat.position < 0:
            message = f"not restored, the others go on: {beat.cause}; then start {self._name} again"
            yield self._told("restore_failed", message, beat.since_s, name)
        elif beat.phase == "halted":
            message = f"halted, the others go on: {beat.cause}; remove the cause and start {self._name} again"
            yield self._told("partition_halted", message, beat.since_s, name)
        elif beat.phase in ("assigned", "restoring") and beat.waiting is not None:
            position, barrier = beat.waiting
            message = (
                f"its restore waits at offset {position} of {barrier} of {log} for an open transaction or its leader: "
                "find it with kafka-transactions.sh find-hanging; its time-out ends it too"
            )
            yield self._told("restore_waiting", message, beat.since_s, name)
        elif beat.phase in ("assigned", "restoring"):
            yield self._told("restoring", f"reads its state from {log}: wait", beat.since_s, name)
        elif beat.standing_s > self._told_s and self._beat.phase in ("working", "recovering"):
            why = f"with lag {beat.lag}" if beat.lag else "and its leader answers no fetch"
            message = (
                f"stands at offset {beat.position} for {beat.standing_s:.0f} s {why}: "
                "start again; if it stays, look at the brokers"
            )
            yield self._standing("partition_stuck", message, beat.standing_s, name)

    def _standing(self, what: What, message: str, since_s: float, where: str | None = None) -> _Finding:
        """Deadly from the limit on."""
        made = self._deadly if since_s > self._limit_s else self._told
        return made(what, message, since_s, where)

    def _deadly(self, what: What, message: str, since_s: float, where: str | None = None) -> _Finding:
        return _Finding(self._told(what, message, since_s, where).reason, deadly=True)

    def _told(self, what: What, message: str, since_s: float, where: str | None = None) -> _Finding:
        where = where or self._name
        return _Finding(Reason(what, where, " ".join(f"{where}: {message}".split()), round(since_s, 3)))
