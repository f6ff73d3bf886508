"""The group: storms of joins and leaves, a blocked process, twins, time-outs, and the group taken away."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.faults.points import Fault
from tests.faults.stage import Stage, stage
from tests.integration.command import CLUSTER
from tests.integration.foreign import delete_group
from tests.integration.strain import SELECTOR, send_strain
from tests.oracle import read_topic

RATE = 400.0
BLOCKED_S = 4.0  # more than twice the session time-out of a scenario


@pytest.mark.timeout(240)
async def test_a_rebalance_storm_leaves_no_trace(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """A guest comes and goes, in turn orderly, killed, and killed in the middle of its restore."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=501, partitions=6) as scenario:
        one, two = await scenario.start("one"), await scenario.start("two")
        await scenario.working(one, two)
        scenario.load.begin(RATE)
        for number in range(9):
            way = number % 3
            in_restore = [Fault("before read_changelog", 1, "kill")] if way == 2 else []
            guest = await scenario.start(f"guest-{number}", *in_restore)
            if way == 2:
                await guest.wait()
                continue
            await guest.line("assigned", lambda line: bool(line["partitions"]))
            if way == 1:
                await guest.kill()
            else:
                guest.signal(signal.SIGTERM)
                assert await guest.wait() == 0
        await scenario.working(one, two)
        await scenario.proven()


async def test_a_blocked_event_loop_loses_its_partitions_and_leaves_no_trace(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Blocked in the middle of a step for more than the session time-out: what it has computed is nobody's."""
    strained = {"profiles.selector": SELECTOR}
    async with stage(kafka.bootstrap_servers, tmp_path, seed=502, settings=strained) as scenario:
        blocked, heir = await scenario.start("blocked"), await scenario.start("heir")
        await scenario.working(blocked, heir)
        scenario.load.begin(RATE)
        seen, seen_heir = len(blocked.journal), len(heir.journal)
        file = await send_strain(scenario.load, tmp_path, "block", min(blocked.works_on()), "block", BLOCKED_S)
        # Read from the journal: all of them are its own only until the other is back.
        await heir.line("assigned", lambda line: len(line["partitions"]) == 4, after=seen_heir)
        scenario.expect(not file.exists(), "nobody was blocked: the test shows nothing")
        await blocked.line("assigned", after=seen)
        await scenario.working(blocked, heir)
        await scenario.proven()


async def test_static_twins_end_with_their_name_and_a_single_one_works(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    static = {"engine.static_membership": True}
    async with stage(kafka.bootstrap_servers, tmp_path, seed=503, settings=static) as scenario:
        first = await scenario.start("twin")
        await scenario.working(first)
        scenario.load.begin(RATE)
        second = await scenario.start("twin")

        await scenario.until("one of the twins ended", lambda: bool(first.lines("ended") or second.lines("ended")))

        # Each of them took the other's place once, in the group or at the transactions: both may have noticed.
        loser, other = (first, second) if first.lines("ended") else (second, first)
        assert await loser.wait() == CLUSTER
        await scenario.until("works or ended", lambda: bool(other.lines("ended")) or len(other.works_on()) == 4)
        for ended in loser.lines("ended") + other.lines("ended"):
            scenario.expect(ended["error"].startswith("InstanceIdInUse: instance id 'twin' is used"), f"{ended}")
        if not other.lines("ended"):
            other.signal(signal.SIGTERM)
        await other.wait()
        await scenario.working(await scenario.start("twin"))
        await scenario.proven()


async def test_a_transaction_past_its_time_out_is_not_committed(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Everything is accepted, heartbeats go on, only EndTxn comes too late: the broker has aborted meanwhile."""
    # Only the transaction's time-out is short: a process that stalls keeps its membership.
    patient = {"engine.session_timeout_ms": 10_000}
    async with stage(kafka.bootstrap_servers, tmp_path, seed=504, settings=patient) as scenario:
        one = await scenario.start("one", Fault("before end", 10, "hold"), patience_s=60.0)
        await scenario.working(one)
        scenario.load.begin(RATE)
        held = one.journal.index(await one.line("fault"))
        late = one.lines("offsets")[-1]["positions"]
        await until_no_transaction_is_open(scenario)

        one.go()

        refused = await one.line("refused", after=held)
        scenario.expect((refused["step"], refused["error"]) == ("end", "ProducerFenced"), f"{refused}")
        committed = await one.line("committed", after=one.journal.index(refused))
        scenario.expect(committed["positions"] != late, "the late transaction was committed")
        await scenario.proven()
        scenario.expect(len(one.lines("assigned")) == 1, "it cost the membership")


async def until_no_transaction_is_open(scenario: Stage) -> None:
    """No partition of the actions is held back."""
    async with asyncio.timeout(30):
        while True:
            log = await read_topic(scenario.settings.kafka.bootstrap_servers, scenario.settings.topics.actions)
            if log.stable_end == log.log_end:
                return


async def test_a_group_deleted_while_nobody_runs_is_not_missed(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """The progress record says where to resume; the group's offsets only mirror it."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=505) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(1_000)
        await scenario.drained()
        one.signal(signal.SIGTERM)
        assert await one.wait() == 0
        await delete_group(kafka.bootstrap_servers, scenario.settings.engine.application_id)
        await scenario.load.send(500)

        await scenario.start("one")

        await scenario.proven()


async def test_a_group_deleted_under_a_frozen_instance_takes_no_offsets_of_the_old_one(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Its transaction and its epoch are alive, but the group that comes from its request knows no member."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=506) as scenario:
        fault = Fault("before commit_offsets", 10, "stop")
        one = await scenario.start("one", fault, patience_s=60.0, transaction_timeout_ms=60_000)
        await scenario.working(one)
        scenario.load.begin(RATE)
        await one.line("fault")
        # Refused while the member counts, that is until its session time-out is over.
        await delete_group(kafka.bootstrap_servers, scenario.settings.engine.application_id)
        one.signal(signal.SIGCONT)

        refused = await one.line("refused")

        scenario.expect((refused["step"], refused["error"]) == ("commit_offsets", "Fenced"), f"{refused}")
        await scenario.working(one)
        await scenario.proven()


async def test_a_kill_after_sigterm_leaves_no_trace(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """It wanted to leave in order, with everything written and nothing decided, and was not given the time."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=507) as scenario:
        leaver, stayer = await scenario.start("leaver"), await scenario.start("stayer")
        await scenario.working(leaver, stayer)
        scenario.load.begin(RATE)
        leaver.plan(Fault("before end", 10, "hold"))
        await leaver.line("fault")
        leaver.signal(signal.SIGTERM)
        await leaver.line("stopping")

        await leaver.kill()

        await scenario.working(stayer)
        await scenario.proven()
