"""The input and the output topics: made anew, cut, enlarged, held back and written to by others, under running work."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from aiokafka.admin import NewPartitions

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import connection, run_processor
from processor.engine.observer import Observer
from processor.errors import Refused
from processor.loop.partition import PartitionFold
from tests.faults.stage import create_topics, scenario_settings, stage
from tests.integration.bad_inputs import event
from tests.integration.command import CLUSTER, contents, recreate
from tests.integration.foreign import administrator, delete_records, foreign_producer, foreign_transactions, until_empty
from tests.oracle import verdict

RATE = 400.0


class Assigned(Observer):
    """Tells when the group has given out the partitions."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def assigned(self, partitions: frozenset[int], generation: int) -> None:
        self.event.set()


async def test_partitions_added_under_running_work_are_refused(
    kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys would hash elsewhere, and sessions begin anew: noticed at the latest with the next look at metadata."""
    monkeypatch.setattr(connection, "METADATA_AGE_MS", 500)
    settings = scenario_settings(kafka.bootstrap_servers, 2, {"engine.instance_id": "one"})
    await create_topics(settings)
    observer = Assigned()
    work = asyncio.create_task(
        run_processor(
            settings,
            lambda partition: PartitionFold(settings, settings.topics.state, partition),
            observer,
            asyncio.Event(),
        )
    )
    await observer.event.wait()

    async with administrator(kafka.bootstrap_servers) as client:
        await client.create_partitions({settings.topics.state: NewPartitions(3)})

    async with asyncio.timeout(60):
        with pytest.raises(Refused, match="more than the 2 partitions"):
            await work


async def test_an_input_topic_made_anew_under_a_running_instance_is_noticed(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """The new log is soon longer than the old one was: reading on at the old position would skip its beginning."""
    # Neither a stall nor the time until the topic is back ends anything.
    patient = {"engine.session_timeout_ms": 10_000, "kafka.request_timeout_ms": 30_000}
    async with stage(
        kafka.bootstrap_servers, tmp_path, seed=601, partitions=1, sessions=20, settings=patient
    ) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.load.send(300)
        await scenario.drained()
        before = await contents(settings)
        seen = len(one.journal)

        async with administrator(kafka.bootstrap_servers) as client:
            await client.delete_topics([settings.topics.state])
        # Whoever asks again only when the new log is the longer one cannot know: it must have met the gap.
        await one.line("restoring", after=seen)
        await recreate(settings, settings.topics.state, {"message.timestamp.after.max.ms": "3600000"})
        async with foreign_producer(kafka.bootstrap_servers, linger_ms=50) as foreign:
            sent = [await foreign.send(settings.topics.state, event("new"), b"new", 0) for _ in range(1_000)]
            await asyncio.gather(*sent)

        assert await one.wait() == CLUSTER
        [ended] = one.lines("ended")
        scenario.expect(f"{settings.topics.state}-0" in ended["error"], f"{ended}")
        scenario.expect("recreated" in ended["error"], f"{ended}")
        assert await contents(settings) == before


async def test_an_input_topic_deleted_under_a_running_instance_is_named(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=605, partitions=2) as scenario:
        topic = scenario.settings.topics.state
        one = await scenario.start("one")
        await scenario.load.send(300)
        await scenario.drained()

        async with administrator(kafka.bootstrap_servers) as client:
            await client.delete_topics([topic])

        assert await one.wait() == CLUSTER
        [ended] = one.lines("ended")
        scenario.expect(f"missing topic: {topic}; restore it" in ended["error"], f"{ended}")


async def test_input_removed_before_a_frozen_instance_read_it_is_named_and_the_others_go_on(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=602, partitions=2) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.load.send(400)
        await scenario.drained()
        following = scenario.committed()
        one.signal(signal.SIGSTOP)
        # By then its last fetch, which may still have been answered, has ended too.
        await until_empty(kafka.bootstrap_servers, settings.engine.application_id)
        await scenario.load.send(4_000)
        gone = following[0] + 1_000
        await delete_records(kafka.bootstrap_servers, settings.topics.state, {0: gone})
        one.signal(signal.SIGCONT)

        halted = await one.line("halted")

        scenario.expect(halted["partition"] == 0, f"{halted}")
        scenario.expect(f"lost {following[0]}..{gone - 1}" in halted["cause"], f"{halted}")
        scenario.expect("creative-feedback reset" in halted["cause"], f"{halted}")
        end = scenario.load.ends()[1]
        await scenario.until("partition 1 processed", lambda: scenario.committed().get(1, 0) >= end)
        scenario.expect(scenario.committed()[0] == following[0], "something behind the gap was committed")


async def test_events_behind_an_open_transaction_wait_for_it_and_the_other_partitions_go_on(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=603, partitions=2) as scenario:
        one = await scenario.start("one")
        await scenario.working(one)
        async with foreign_transactions(kafka.bootstrap_servers) as foreign:
            await foreign.begin_transaction()
            held = await foreign.send_and_wait(scenario.settings.topics.state, event("aborted"), b"aborted", 0)
            assert held.offset == 0
            await scenario.load.send(1_000)
            end = scenario.load.ends()[1]
            await scenario.until("partition 1 processed", lambda: scenario.committed().get(1, 0) >= end)
            scenario.expect(scenario.committed().get(0, 0) == 0, "events behind the open transaction were processed")
            await foreign.abort_transaction()
        # What was aborted was not the load's, so the input itself is not compared (O7).
        await scenario.proven(inputs=False)


async def test_a_foreign_record_in_an_output_disturbs_nobody_and_is_seen(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Also one in a transaction that stays open: readers wait for it, the processor does not."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=604, partitions=2) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.working(one)
        scenario.load.begin(RATE)
        async with foreign_transactions(kafka.bootstrap_servers) as foreign:
            await foreign.begin_transaction()
            await foreign.send_and_wait(settings.topics.metrics, b"open", b"foreign", 0)
            committed = await one.line("committed", lambda line: "0" in line["positions"], after=len(one.journal))
            scenario.expect(committed["records"] > 0, f"{committed}")
            await foreign.abort_transaction()
        await scenario.drained()
        async with foreign_producer(kafka.bootstrap_servers) as foreign:
            written = await foreign.send_and_wait(settings.topics.actions, b"{}", b"foreign", 1)
        await scenario.load.send(200)
        await scenario.drained()

        found = await verdict(settings)

        scenario.expect(not one.lines("halted"), "a foreign record halted a partition")
        scenario.expect(
            [(d.check, d.topic, d.partition) for d in found] == [("O1", settings.topics.actions, 1)],
            "\n".join(map(str, found)),
        )
        assert "foreign" in found[0].found, (written, found)
