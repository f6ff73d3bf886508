"""Exactly once on Apache Kafka: whatever happens to instances, output is the replay's, byte by byte."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.faults.instance import Instance
from tests.faults.points import Fault
from tests.faults.stage import Stage, stage

RATE = 600.0  # a commit every 20 ms has something to commit, and the machine has time for the faults

# (before TxnOffsetCommit: everything is written, nothing speaks for it; before EndTxn: all of it could become visible)
NAMED_POINTS = ("before commit_offsets", "before end")


async def test_two_instances_give_what_one_replay_gives(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=1) as scenario:
        one, two = await scenario.start("one"), await scenario.start("two")
        await scenario.load.send(2_000)
        await scenario.working(one, two)
        await scenario.load.send(2_000)
        await scenario.proven()


@pytest.mark.timeout(150)
async def test_many_events_give_what_one_replay_gives(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """120,000 events over 2,000 sessions and 8 partitions, at full speed, with the product's own time-outs."""
    calm = {"engine.session_timeout_ms": 6_000, "engine.transaction_timeout_ms": 6_000}
    async with stage(
        kafka.bootstrap_servers, tmp_path, seed=2, partitions=8, sessions=2_000, settings=calm
    ) as scenario:
        one, two = await scenario.start("one"), await scenario.start("two")
        await scenario.working(one, two)
        await scenario.load.send(120_000)
        await scenario.proven()


@pytest.mark.timeout(150)
async def test_eight_kills_of_one_of_two_static_members_leave_no_trace(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Half of the kills hit a named point of the commit, half any moment; a static member comes back to its place.

    The campaign's slice (`test_campaign`) kills others.
    """
    kills = 8
    async with stage(
        kafka.bootstrap_servers, tmp_path, seed=12, settings={"engine.static_membership": True}
    ) as scenario:
        pair = {name: await scenario.start(name) for name in ("one", "two")}
        await scenario.working(*pair.values())
        scenario.load.begin(RATE)
        for number in range(kills):
            victim = scenario.dice.choice(sorted(pair))
            await (kill_at_random if number % 2 else kill_at_named_point)(scenario, pair, victim)
            await scenario.working(*pair.values())
        assert len([instance for instance in scenario.instances if instance.ended]) >= kills
        await scenario.proven()


async def kill_at_random(scenario: Stage, pair: dict[str, Instance], victim: str) -> None:
    """SIGKILL some milliseconds after some commit; then the same id starts again."""
    instance = pair[victim]
    since = len(instance.journal)
    await instance.line("offsets", after=since + scenario.dice.randrange(30))
    # The moment itself is what is random here; nothing is waited for.
    await asyncio.sleep(scenario.dice.uniform(0, 0.03))
    await instance.kill()
    pair[victim] = await scenario.start(victim)


async def kill_at_named_point(scenario: Stage, pair: dict[str, Instance], victim: str) -> None:
    """The instance kills itself at its n-th commit from now; then the same id starts again."""
    instance = pair[victim]
    instance.plan(Fault(scenario.dice.choice(NAMED_POINTS), scenario.dice.randrange(1, 30), "kill"))
    await instance.line("fault")
    assert await instance.wait() == -signal.SIGKILL
    pair[victim] = await scenario.start(victim)


@pytest.mark.parametrize("point", [None, *NAMED_POINTS])
async def test_a_zombie_leaves_no_trace(kafka: EmbeddedKafka, tmp_path: Path, point: str | None) -> None:
    """SIGSTOP past the session time-out, takeover by the other instance, SIGCONT; twice in a row."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=21) as scenario:
        zombie, heir = await scenario.start("zombie"), await scenario.start("heir")
        await scenario.working(zombie, heir)
        scenario.load.begin(RATE)
        for _ in range(2):
            if point is None:
                await zombie.line("offsets", after=len(zombie.journal) + scenario.dice.randrange(30))
                await asyncio.sleep(scenario.dice.uniform(0, 0.03))
                zombie.signal(signal.SIGSTOP)
            else:
                since = len(zombie.journal)
                zombie.plan(Fault(point, scenario.dice.randrange(1, 30), "stop"))
                await zombie.line("fault", after=since)
            await scenario.working(heir)
            zombie.signal(signal.SIGCONT)
            await scenario.working(zombie, heir)
        await scenario.proven()


@pytest.mark.parametrize(("point", "step"), [(point, point.split()[1]) for point in NAMED_POINTS])
async def test_the_broker_refuses_a_zombie_whose_transaction_timed_out(
    kafka: EmbeddedKafka, tmp_path: Path, point: str, step: str
) -> None:
    """Without a deadline of its own the zombie sends on: its epoch is over."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=31) as scenario:
        zombie = await scenario.start("zombie", Fault(point, 20, "stop"), patience_s=60.0)
        heir = await scenario.start("heir")
        await scenario.working(zombie, heir)
        scenario.load.begin(RATE)
        await zombie.line("fault")
        stopped = len(zombie.journal)  # before it there may be what a slow machine caused
        await scenario.working(heir)
        zombie.signal(signal.SIGCONT)

        refused = await zombie.line("refused", after=stopped)

        scenario.expect((refused["step"], refused["error"]) == (step, "ProducerFenced"), f"refused: {refused}")
        await scenario.working(zombie, heir)
        await scenario.proven()


async def test_the_group_refuses_the_offsets_of_an_older_generation(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """The zombie's transaction is alive and its epoch is the newest: only the generation tells that it is one."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=41) as scenario:
        fault = Fault("before commit_offsets", 20, "stop")
        zombie = await scenario.start("zombie", fault, patience_s=60.0, transaction_timeout_ms=60_000)
        heir = await scenario.start("heir")
        await scenario.working(zombie, heir)
        scenario.load.begin(RATE)
        await zombie.line("fault")
        stopped = len(zombie.journal)  # before it there may be what a slow machine caused
        # The heir has the partitions, and waits for the transaction that lies before its barrier.
        everything = list(range(scenario.settings.topics.partitions))
        await scenario.until(
            "everything assigned to the heir", lambda: heir.lines("assigned")[-1]["partitions"] == everything
        )
        await heir.line("waiting", after=heir.journal.index(heir.lines("assigned")[-1]))
        zombie.signal(signal.SIGCONT)

        refused = await zombie.line("refused", after=stopped)

        scenario.expect((refused["step"], refused["error"]) == ("commit_offsets", "Fenced"), f"refused: {refused}")
        await scenario.working(zombie, heir)
        await scenario.proven()


async def test_a_transaction_whose_offsets_were_accepted_is_waited_for(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """A zombie stopped before EndTxn may still commit after the takeover: the heir's restore must not miss it."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=51) as scenario:
        fault = Fault("before end", 20, "stop")
        zombie = await scenario.start("zombie", fault, patience_s=60.0, transaction_timeout_ms=60_000)
        heir = await scenario.start("heir")
        await scenario.working(zombie, heir)
        began = len(heir.journal)
        scenario.load.begin(RATE)
        await zombie.line("fault")
        stopped = len(zombie.journal)
        accepted = zombie.lines("offsets")[-1]["positions"]
        await heir.line("waiting", after=began)
        zombie.signal(signal.SIGCONT)

        committed = await zombie.line("committed", after=stopped)

        scenario.expect(committed["positions"] == accepted, f"{committed} is not {accepted}")
        await scenario.working(zombie, heir)
        await scenario.proven()
