"""Exactly once on Apache Kafka while the cluster, the group or an operator disturbs the work."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.faults.points import Fault
from tests.faults.stage import Stage, stage
from tests.kafka import tools

RATE = 600.0  # a commit every 20 ms has something to commit, and the machine has time for the faults
TINY_BYTES = "100"  # less than any batch of one metric
ROOMY_BYTES = "4000000"
SMALL_BYTES = "6000"  # a few metrics

# Where only what the test does shall end a membership or a transaction.
CALM = {"engine.session_timeout_ms": 6_000, "engine.transaction_timeout_ms": 5_000}


async def test_a_refused_batch_of_one_topic_hides_the_whole_transaction(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """The metrics topic refuses every batch: nothing of the transaction is visible; once it takes them, all is."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=61, settings=CALM) as scenario:
        one = await scenario.start("one", patience_s=60.0)
        await scenario.load.send(2_000)
        await scenario.working(one)
        one.plan(Fault("refused produce", 1, "stop"))
        await limit_metrics(scenario, TINY_BYTES)
        await scenario.load.send(500)

        # The instance stands still with its transaction open, so whatever is visible now was committed before.
        await one.line("fault")
        *_, refused = (line for line in one.lines("refused") if line["step"] == "produce")
        scenario.expect("MessageSizeTooLarge" in refused["message"], f"refused: {refused}")
        await scenario.consistent()
        await limit_metrics(scenario, ROOMY_BYTES)
        one.signal(signal.SIGCONT)

        await scenario.load.send(500)
        await scenario.proven()


async def test_a_topic_that_takes_small_batches_only_gets_small_batches(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=62) as scenario:
        one = await scenario.start("one")
        await scenario.working(one)
        await limit_metrics(scenario, SMALL_BYTES)
        await scenario.load.send(4_000)
        await scenario.drained()
        scenario.expect(bool(one.lines("refused")), "no batch was refused: the test shows nothing")
        await scenario.proven()


async def limit_metrics(scenario: Stage, value: str) -> None:
    await asyncio.to_thread(
        tools.alter_topic,
        scenario.settings.kafka.bootstrap_servers,
        scenario.settings.topics.metrics,
        {"max.message.bytes": value},
    )


async def test_a_third_instance_joins_while_the_second_restores(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=71, partitions=6) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(2_000)
        await scenario.working(one)
        scenario.load.begin(RATE)
        two = await scenario.start("two", Fault("before read_changelog", 1, "hold"))
        await two.line("fault")
        began = len(two.journal)

        three = await scenario.start("three")

        await two.line("revoked", after=began)
        await scenario.working(one, two, three)
        await scenario.proven()


async def test_an_instance_dies_in_its_restore(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=72) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(2_000)
        await scenario.working(one)
        scenario.load.begin(RATE)
        for point in ("after barrier", "before read_changelog", "after read_changelog"):
            two = await scenario.start("two", Fault(point, 2, "kill"))
            assert await two.wait() == -signal.SIGKILL
        two = await scenario.start("two")
        await scenario.working(one, two)
        await scenario.proven()


@pytest.mark.timeout(150)
async def test_the_broker_is_killed_and_comes_back(own_kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(own_kafka.bootstrap_servers, tmp_path, seed=81) as scenario:
        one, two = await scenario.start("one"), await scenario.start("two")
        await scenario.working(one, two)
        scenario.load.begin(RATE)
        for _ in range(2):
            await one.line("committed", after=len(one.journal) + scenario.dice.randrange(20))
            await asyncio.to_thread(own_kafka.kill, 1)
            seen = len(one.journal)
            await asyncio.to_thread(own_kafka.restart, 1)
            await one.line("committed", after=seen)
        await scenario.proven()


async def test_sigterm_under_load_leaves_nothing_to_compute_again(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=91, settings=CALM) as scenario:
        leaver, stayer = await scenario.start("leaver"), await scenario.start("stayer")
        await scenario.working(leaver, stayer)
        scenario.load.begin(RATE)
        await leaver.line("committed", after=len(leaver.journal) + 20)

        leaver.signal(signal.SIGTERM)
        code = await leaver.wait()

        scenario.expect(code == 0, f"exit code {code}")
        [ended] = leaver.lines("ended")
        committed = leaver.positions()
        for partition, computed in ended["computed"].items():
            scenario.expect(
                committed[int(partition)] == computed,
                f"partition {partition}: computed up to {computed}, committed up to {committed[int(partition)]}",
            )
        await scenario.working(stayer)
        await scenario.proven()


async def test_a_second_sigterm_ends_at_once_and_leaves_no_trace(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=92) as scenario:
        # Its own deadline for a commit would let go of what is held.
        leaver, stayer = await scenario.start("leaver", patience_s=60.0), await scenario.start("stayer")
        await scenario.working(leaver, stayer)
        scenario.load.begin(RATE)
        leaver.plan(Fault("before end", 10, "hold"))
        await leaver.line("fault")

        # The first one waits for the transaction that is held; the second one does not.
        leaver.signal(signal.SIGTERM)
        await leaver.line("stopping")
        leaver.signal(signal.SIGTERM)
        code = await leaver.wait()

        scenario.expect(code == 128 + signal.SIGTERM, f"exit code {code}")
        scenario.expect(not leaver.lines("ended"), "it ended in an orderly way: the test shows nothing")
        await scenario.working(stayer)
        await scenario.proven()
