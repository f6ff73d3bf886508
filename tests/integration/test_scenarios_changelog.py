"""A changelog that is compacted, held back, read slowly, replaced or cut while instances live from it."""

from __future__ import annotations

import asyncio
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from processor.backends.embedded import EmbeddedKafka
from schemas.progress import BARRIER_KEY, PROGRESS_KEY
from tests.faults.instance import Instance
from tests.faults.points import Fault
from tests.faults.stage import PATIENT, Stage, stage
from tests.integration.command import CLUSTER, contents, expect_refusal, recreate, run_command
from tests.integration.foreign import delete_records, foreign_transactions
from tests.kafka import tools
from tests.oracle import LoggedRecord, read_topic

RATE = 400.0
SHORT_SESSION_MS = 4_000

# Whatever may be compacted is, at once, and nothing that may go stays.
EAGER_CLEANER = {
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.0001",
    "delete.retention.ms": "0",
    "min.compaction.lag.ms": "0",
}


async def changelog(scenario: Stage, partition: int = 0) -> tuple[list[LoggedRecord], int]:
    """Committed records of a changelog partition, and its log end."""
    log = await read_topic(scenario.settings.kafka.bootstrap_servers, scenario.settings.topics.changelog)
    return log.records[partition], log.log_end[partition]


async def stopped(instance: Instance) -> None:
    instance.signal(signal.SIGTERM)
    assert await instance.wait() == 0


async def test_a_compacted_changelog_that_ends_in_markers_is_restored(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Holes instead of records, and behind the last record nothing but what an aborted transaction left."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=301, partitions=1, sessions=20) as scenario:
        topic = scenario.settings.topics.changelog
        await asyncio.to_thread(tools.alter_topic, kafka.bootstrap_servers, topic, EAGER_CLEANER)
        before = await scenario.start("before")
        await scenario.working(before)
        await scenario.load.send(2_000)
        await scenario.drained()
        await stopped(before)
        async with foreign_transactions(kafka.bootstrap_servers) as foreign:
            async with asyncio.timeout(60):
                # Each aborted transaction lets the broker begin a new segment, and what lies before may be compacted.
                while True:
                    await foreign.begin_transaction()
                    await foreign.send_and_wait(topic, b"aborted", BARRIER_KEY, 0)
                    await foreign.abort_transaction()
                    left, end = await changelog(scenario)
                    if len(left) == len({record.key for record in left}):
                        break
        # A marker leaves out one offset; what was compacted leaves out more, and may have gone at any time.
        holes = [after.offset - before.offset for before, after in pairwise(left)]
        scenario.expect(max(holes) > 2, f"nothing was compacted: {len(left)} records up to offset {left[-1].offset}")
        scenario.expect(left[-1].offset < end - 2, "no markers behind the last record: the test shows nothing")

        await scenario.load.send(500)
        after = await scenario.start("after")

        await scenario.working(after)
        await scenario.proven()


@pytest.mark.parametrize("ends_by", ["its time-out", "its writer"])
async def test_a_restore_waits_for_a_foreign_transaction_and_the_other_partitions_go_on(
    kafka: EmbeddedKafka, tmp_path: Path, ends_by: str
) -> None:
    timeout_ms = 6_000 if ends_by == "its time-out" else 60_000
    first_barrier = Fault("before barrier", 1, "hold")
    async with stage(kafka.bootstrap_servers, tmp_path, seed=302, partitions=2, settings=PATIENT) as scenario:
        await scenario.load.send(500)
        one = await scenario.start("one", first_barrier)
        await one.line("fault")
        async with foreign_transactions(kafka.bootstrap_servers, timeout_ms=timeout_ms) as foreign:
            await foreign.begin_transaction()
            await foreign.send_and_wait(scenario.settings.topics.changelog, b"open", BARRIER_KEY, 0)
            scenario.load.begin(RATE)
            one.go()
            waiting = await one.line("waiting", lambda line: line["partition"] == 0)
            scenario.expect(waiting["position"] < waiting["barrier"], f"{waiting}")
            began = one.journal.index(waiting)
            await one.line("committed", after=began)
            if ends_by == "its writer":
                await foreign.abort_transaction()
            restored = await one.line("running", lambda line: line["partition"] == 0)
        meanwhile = [line for line in one.journal[began : one.journal.index(restored)] if line["what"] == "committed"]
        scenario.expect(meanwhile != [], "nothing was committed while the restore waited")
        scenario.expect(all(set(line["positions"]) == {"1"} for line in meanwhile), f"{meanwhile}")
        scenario.expect(len(one.lines("assigned")) == 1, "waiting cost the membership")
        await scenario.proven()


async def test_a_restore_longer_than_the_session_time_out_costs_no_membership(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Heartbeats go on, nobody is fenced, and the other partitions work meanwhile."""
    short = {"engine.session_timeout_ms": SHORT_SESSION_MS, "engine.transaction_timeout_ms": SHORT_SESSION_MS}
    async with stage(kafka.bootstrap_servers, tmp_path, seed=303, settings=short) as scenario:
        scenario.load.begin(RATE)
        one = await scenario.start("one", Fault("before read_changelog", 2, "hold"))
        held = await one.line("fault")
        late = held["at_s"] + 1.5 * SHORT_SESSION_MS / 1000

        last = await one.line("committed", lambda line: line["at_s"] > late)

        slow = {line["partition"] for line in one.lines("running")} ^ set(range(4))
        scenario.expect(len(slow) == 1, f"restored meanwhile: all but {slow}")
        scenario.expect(not slow & {int(partition) for partition in last["positions"]}, f"{last}")
        one.go()
        await scenario.working(one)
        scenario.expect(len(one.lines("assigned")) == 1, "the slow restore cost the membership")
        await scenario.proven()


async def test_a_changelog_made_anew_under_a_running_instance_ends_it_before_anything_is_committed(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """The new log would hold what changed since, and a progress record: a later restore would miss the rest."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=304, partitions=1, sessions=50) as scenario:
        settings = scenario.settings
        await scenario.load.send(1_000)
        one = await scenario.start("one")
        await scenario.drained()
        scenario.load.begin(RATE)
        await recreate(settings, settings.topics.changelog, {"cleanup.policy": "compact"})

        assert await one.wait() != 0

        await scenario.load.finish()
        records, _ = await changelog(scenario)
        scenario.expect(PROGRESS_KEY not in {record.key for record in records}, "a transaction was committed")
        again = await run_command(settings)
        expect_refusal(again, CLUSTER, f"{settings.topics.changelog}-0", "no progress record", "restore the topic")


async def test_a_changelog_cut_under_a_running_instance_is_refused_at_the_next_restore(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """The sessions that were not touched since are gone, though there is a progress record."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=305, partitions=1, sessions=50) as scenario:
        settings, servers = scenario.settings, kafka.bootstrap_servers
        topic = settings.topics.changelog
        one = await scenario.start("one")
        await scenario.load.send(1_000)
        await scenario.drained()
        _, end = await changelog(scenario)
        await asyncio.to_thread(tools.alter_topic, servers, topic, {"cleanup.policy": "compact,delete"})
        await delete_records(servers, topic, {0: end})
        await asyncio.to_thread(tools.alter_topic, servers, topic, {"cleanup.policy": "compact"})
        await scenario.load.send(20)
        await scenario.drained()
        await stopped(one)
        before = await contents(settings)

        ended = await run_command(settings)

        expect_refusal(ended, CLUSTER, f"{topic}-0", f"begins at offset {end}", "restore the topic")
        assert await contents(settings) == before
