"""What fails a probe, what is only told, and from when on: `processor.surfaces.health`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from processor.config import Settings
from processor.surfaces.health import Health, Reason, What, judge
from processor.surfaces.watch.beat import Beat, PartitionBeat
from processor.surfaces.watch.instances import Instance
from processor.surfaces.watch.picture import Picture

SETTINGS = Settings()
LIMIT_S = SETTINGS.http.stuck_after_ms / 1000
NOTICED_S = LIMIT_S / 2 + 0.1
NOW = 1_000.0
CHANGELOG = SETTINGS.topics.changelog


@dataclass
class Told(Instance):
    heard_at: float = NOW


@dataclass
class Group:
    instances: dict[str, Told] = field(default_factory=dict)


def beat(instance: str = "w-0", **more: Any) -> Beat:
    usual: dict[str, Any] = {
        "sequence": 7,
        "at": 100.0,
        "began": 50.0,
        "phase": "working",
        "partitions": {0: running(), 1: running()},
    }
    return Beat(instance, **{**usual, **more})


def running(**more: Any) -> PartitionBeat:
    return PartitionBeat("running", position=120, **more)


def health(*told: Told | Beat) -> Health:
    seen = [one if isinstance(one, Told) else Told(one) for one in told]
    return judge(Group({one.beat.instance: one for one in seen}), NOW, SETTINGS)


def only(judged: Health) -> Reason:
    [reason] = judged.ready.reasons
    assert judged.live.reasons == [reason]
    return reason


def expect(judged: Health, what: What, where: str, *, live: bool) -> Reason:
    reason = only(judged)
    assert (reason.what, reason.where) == (what, where)
    assert (judged.live.ok, judged.ready.ok) == (live, False)
    assert judged.live.status == ("degraded" if live else "failing")
    return reason


def test_all_restored_and_moving_is_live_and_ready() -> None:
    judged = health(beat("w-0"), beat("w-1", partitions={2: running(lag=5_000, lag_s=3.0)}))
    assert judged == Health(judged.live, judged.live)
    assert (judged.live.ok, judged.live.status, judged.live.reasons) == (True, "ok", [])


def test_nothing_assigned_is_ready() -> None:
    assert health(beat(partitions={})).ready.ok


def test_nobody_heard_of_is_live_and_not_ready() -> None:
    reason = expect(health(), "starting", "creative-feedback", live=True)
    assert reason.since_s == 0.0


# Standing still -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "where", "still"),
    [
        ("event_loop_stalled", "w-0", lambda s: Told(beat(stalled_s=s, stalled_where="mine.py:17 in choose"))),
        (
            "partition_stuck",
            "tori.state-1",
            lambda s: Told(beat(partitions={0: running(), 1: running(lag=34, standing_s=s)})),
        ),
        ("worker_silent", "w-0", lambda s: Told(beat(), heard_at=NOW - s)),
    ],
)
def test_what_stands_is_told_at_half_the_limit_and_deadly_from_the_whole(what: What, where: str, still: Any) -> None:
    assert health(still(LIMIT_S / 2)).ready.status == "ok"
    assert expect(health(still(NOTICED_S)), what, where, live=True).since_s == NOTICED_S
    assert expect(health(still(LIMIT_S)), what, where, live=True).since_s == LIMIT_S
    assert expect(health(still(LIMIT_S + 0.1)), what, where, live=False).since_s == LIMIT_S + 0.1


def test_a_longer_limit_waits_longer() -> None:
    patient = msgspec.structs.replace(SETTINGS, http=msgspec.structs.replace(SETTINGS.http, stuck_after_ms=60_000))
    seen = Group({"w-0": Told(beat(stalled_s=25.0))})
    assert not judge(seen, NOW, SETTINGS).live.ok
    assert judge(seen, NOW, patient).ready.ok


def test_a_stall_says_where_in_the_code_and_what_to_do() -> None:
    message = only(health(beat(stalled_s=12.4, stalled_where="mine.py:17 in choose"))).message
    assert message.startswith("w-0: the event loop has not turned for 12 s in mine.py:17 in choose: ")
    assert "correct what does not return there" in message
    assert "start again" in message


def test_a_stuck_partition_says_where_it_stands() -> None:
    message = only(health(beat(partitions={3: running(lag=34, standing_s=11.0)}))).message
    assert message.startswith("tori.state-3: stands at offset 120 for 11 s with lag 34: start again")


def test_a_partition_whose_leader_is_silent_stands_without_known_lag() -> None:
    message = only(health(beat(partitions={3: running(standing_s=11.0)}))).message
    assert message.startswith("tori.state-3: stands at offset 120 for 11 s and its leader answers no fetch: ")


def test_one_stuck_partition_among_several_workers_fails_all_of_them() -> None:
    """One address stands for all: whoever asks it may start all of them again."""
    judged = health(beat("w-0"), beat("w-1", partitions={2: running(lag=1, standing_s=11.0)}))
    assert not judged.live.ok
    assert only(judged).where == "tori.state-2"


def test_a_worker_that_stops_may_leave_lag_behind() -> None:
    judged = health(beat(phase="stopping", partitions={0: running(lag=9, standing_s=LIMIT_S * 2)}))
    expect(judged, "stopping", "w-0", live=True)


def test_what_a_silent_worker_said_last_is_not_repeated() -> None:
    frozen = Told(beat(phase="starting", doubt="no reply", doubt_s=99.0, stalled_s=99.0), heard_at=NOW - 99.0)
    reason = expect(health(frozen), "worker_silent", "w-0", live=False)
    assert "kill it" in reason.message


# The producer -----------------------------------------------------------------------------------------------------


def test_a_doubt_makes_unready_at_once_and_is_deadly_from_the_limit() -> None:
    reason = expect(
        health(beat(phase="recovering", doubt="EndTxn: no reply", doubt_s=0.2)), "recovering", "w-0", live=True
    )
    assert "EndTxn: no reply" in reason.message
    reason = expect(
        health(beat(phase="recovering", doubt="EndTxn: no reply", doubt_s=LIMIT_S + 1)),
        "producer_dead",
        "w-0",
        live=False,
    )
    assert reason.message.startswith(
        "w-0: no transaction has succeeded for 11 s: EndTxn: no reply; look at the brokers"
    )


def test_a_start_without_a_producer_is_named_and_then_deadly() -> None:
    waiting: dict[str, Any] = {"phase": "starting", "partitions": {}, "doubt": "no transactional producer yet"}
    reason = expect(health(beat(**waiting, doubt_s=6.0)), "starting", "w-0", live=True)
    assert "no transactional producer yet" in reason.message
    judged = health(beat(**waiting, doubt_s=LIMIT_S + 1))
    assert [reason.what for reason in judged.live.reasons] == ["producer_dead", "starting"]
    assert not judged.live.ok


# Restores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["assigned", "restoring"])
def test_a_restore_is_never_deadly_however_long(phase: Any) -> None:
    judged = health(beat(partitions={0: PartitionBeat(phase, since_s=3_600.0), 1: running()}))
    reason = expect(judged, "restoring", "tori.state-0", live=True)
    assert (reason.since_s, f"{CHANGELOG}-0" in reason.message) == (3_600.0, True)


def test_a_restore_that_waits_says_at_which_offset() -> None:
    judged = health(beat(partitions={0: PartitionBeat("restoring", since_s=3_600.0, waiting=(17, 40))}))
    reason = expect(judged, "restore_waiting", "tori.state-0", live=True)
    assert f"offset 17 of 40 of {CHANGELOG}-0" in reason.message
    assert "open transaction" in reason.message


def test_a_failed_restore_is_told_from_a_partition_that_halted_at_work() -> None:
    gone = PartitionBeat("halted", cause="changelog c-0 has no progress record: restore the topic", since_s=4.0)
    reason = expect(health(beat(partitions={0: gone, 1: running()})), "restore_failed", "tori.state-0", live=True)
    assert reason.message.endswith("restore the topic; then start w-0 again")
    poisoned = PartitionBeat("halted", position=120, cause="tori.state-0 offset 120: ValueError('x')", since_s=4.0)
    reason = expect(health(beat(partitions={0: poisoned})), "partition_halted", "tori.state-0", live=True)
    assert "tori.state-0 offset 120: ValueError('x')" in reason.message
    assert "start w-0 again" in reason.message


# Beginnings and ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["starting", "stopping"])
def test_who_begins_or_ends_is_live_and_not_ready(phase: Any) -> None:
    expect(health(beat(phase=phase, partitions={})), phase, "w-0", live=True)


@pytest.mark.parametrize(
    ("phase", "what"), [("starting", "starting"), ("working", "joining"), ("recovering", "joining")]
)
def test_waiting_for_the_group_is_deadly_only_when_no_other_member_may_cause_it(phase: Any, what: What) -> None:
    patience_s = SETTINGS.engine.rebalance_timeout_ms / 1000 + LIMIT_S
    waiting: dict[str, Any] = {"phase": phase, "partitions": {}}
    reason = expect(health(beat(**waiting, unassigned_s=patience_s)), what, "w-0", live=True)
    assert reason.since_s == patience_s
    reason = expect(health(beat(**waiting, unassigned_s=patience_s + 1)), what, "w-0", live=False)
    assert "the group has given no partitions for 71 s: look at the brokers" in reason.message


def test_a_worker_that_ended_is_the_supervisors_to_start_until_it_does_not() -> None:
    gone = Told(beat(phase="working", partitions={}), heard_at=NOW - 31.0, connected=False, why="ended by SIGKILL")
    reason = expect(health(beat("w-1"), gone), "worker_ended", "w-0", live=True)
    assert "gone for 31 s: ended by SIGKILL" in reason.message
    # The supervisor pauses for up to 30 s.
    gone.heard_at = NOW - 30.0 - LIMIT_S - 0.1
    reason = expect(health(beat("w-1"), gone), "worker_ended", "w-0", live=False)
    assert "gone for 40 s: ended by SIGKILL, and not started again" in reason.message


@pytest.mark.parametrize("phase", ["stopping", "ended"])
def test_a_worker_that_has_ended_as_it_was_told_to_is_not_missed(phase: Any) -> None:
    reason = expect(health(Told(beat(phase=phase, partitions={}), connected=False)), "stopping", "w-0", live=True)
    assert reason.message == "w-0: has ended as it was told to"


def test_what_ended_a_worker_is_told() -> None:
    reason = expect(
        health(beat(phase="ended", error="no broker answers", partitions={})), "worker_ended", "w-0", live=True
    )
    assert "has ended: no broker answers" in reason.message
    gone = Told(beat(phase="ended", error="no broker answers", partitions={}), connected=False)
    assert "gone for 0 s: no broker answers" in only(health(gone)).message


def test_a_worker_that_is_expected_is_starting_then_late_then_lost() -> None:
    now = [NOW]
    picture = Picture(SETTINGS, monotonic=lambda: now[0])
    picture.expect("w-0")
    picture.expect("w-1")
    picture.hear(beat("w-1"))
    reason = expect(judge(picture, now[0], SETTINGS), "starting", "w-0", live=True)
    assert reason.message == "w-0: its process begins: wait"
    now[0] += LIMIT_S + 0.1
    picture.hear(beat("w-1"))
    reason = expect(judge(picture, now[0], SETTINGS), "worker_ended", "w-0", live=True)
    assert "not heard of yet, 10 s after its start" in reason.message
    now[0] += 30.0
    picture.hear(beat("w-1"))
    expect(judge(picture, now[0], SETTINGS), "worker_ended", "w-0", live=False)
    picture.hear(beat("w-0"))
    assert judge(picture, now[0], SETTINGS).ready.ok
    assert picture.instances["w-0"].restarts == 0


# All of it -----------------------------------------------------------------------------------------------------------


def test_what_is_deadly_comes_first() -> None:
    partitions = {0: PartitionBeat("restoring"), 1: running(), 2: running(lag=1, standing_s=11.0)}
    judged = health(beat("w-0", phase="stopping"), beat("w-1", partitions=partitions), beat("w-2", stalled_s=99.0))
    assert [reason.what for reason in judged.live.reasons] == [
        "partition_stuck",
        "event_loop_stalled",
        "stopping",
        "restoring",
    ]


def test_a_thousand_reasons_are_told_as_some_and_how_many_more() -> None:
    partitions = {number: PartitionBeat("restoring", since_s=float(number)) for number in range(1_000)}
    partitions[999] = running(lag=1, standing_s=11.0)
    judged = health(beat(partitions=partitions))
    assert not judged.live.ok
    assert [reason.what for reason in judged.live.reasons] == ["partition_stuck", *["restoring"] * 50]
    assert judged.live.reasons[-1].message.startswith("creative-feedback: 950 more reasons")
    assert judged.live.reasons[-1].since_s == 998.0


def test_every_reason_is_one_line_that_begins_with_its_place() -> None:
    causes = "a\nb\r\n  c"
    judged = health(
        beat("w-0", stalled_s=99.0, doubt=causes, doubt_s=99.0),
        beat("w-1", phase="ended", error=causes, partitions={4: PartitionBeat("halted", cause=causes)}),
        Told(beat("w-2"), connected=False, why=causes),
    )
    assert len(judged.live.reasons) == 5
    for reason in judged.live.reasons:
        assert reason.message.startswith(f"{reason.where}: ")
        assert reason.message.isprintable()


def test_the_picture_is_judged_as_it_is() -> None:
    now = [NOW]
    picture = Picture(SETTINGS, monotonic=lambda: now[0])
    picture.hear(beat())
    assert judge(picture, now[0], SETTINGS).ready.ok
    now[0] += LIMIT_S + 1
    expect(judge(picture, now[0], SETTINGS), "worker_silent", "w-0", live=False)
    picture.lost("w-0", "its process ended")
    assert "its process ended" in expect(judge(picture, now[0], SETTINGS), "worker_ended", "w-0", live=True).message
    picture.hear(beat(began=60.0))
    assert judge(picture, now[0], SETTINGS).ready.ok
