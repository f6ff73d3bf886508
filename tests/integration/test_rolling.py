"""Restarts in turn, upgrades and scaling of static members, as a StatefulSet does them, under load."""

from __future__ import annotations

from pathlib import Path

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka.members import take_out
from processor.config import APPLICATION_VERSION
from schemas.progress import PROGRESS_KEY, decode_progress
from schemas.state_records import EraRecord, Kind, decode_state
from tests.faults.instance import Instance
from tests.faults.stage import Stage, stage
from tests.faults.stateful_set import StatefulSet, moving_s, pauses_s, pod_name
from tests.kafka.locked import as_party
from tests.oracle.verdict import committed_logs, compare, folded, group_offsets

RATE = 300.0
PODS = 3
NEWER = "99.0"
SESSION_TIMEOUT_MS = 30_000  # longer than any restart here: nobody is missed
STATIC = {
    "engine.static_membership": True,
    "engine.session_timeout_ms": SESSION_TIMEOUT_MS,
    "engine.transaction_timeout_ms": 10_000,
    "engine.rebalance_timeout_ms": 10_000,
}
REBALANCE = ("revoked", "assigned", "restoring", "doubted")


async def test_rolling_restart_and_upgrade_move_no_partition_and_leave_no_trace(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """The newer version is this one under another name: all that may differ is the name, wherever it is written."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=601, partitions=6, settings=STATIC) as scenario:
        pods = StatefulSet(scenario)
        await pods.scale_up(PODS)
        scenario.load.begin(RATE)
        await pods.moving()
        for version in (None, NEWER):
            await roll(scenario, pods, version)
        await scenario.finished()

        settings = scenario.settings
        logs = await committed_logs(settings)
        changelog = logs[settings.topics.changelog]
        for partition, records in changelog.records.items():
            state = folded(records)
            eras = {key: decode_state(value, EraRecord) for key, value in state.items() if key[:1] == Kind.ERA}
            versions = [era.application_version for era in sorted(eras.values(), key=lambda era: era.first_offset)]
            scenario.expect(versions == [APPLICATION_VERSION, NEWER], f"partition {partition}: eras of {versions}")
            wrote = decode_progress(state[PROGRESS_KEY]).application_version
            scenario.expect(wrote == NEWER, f"partition {partition}: progress of version {wrote}")
            newer = {key for key, era in eras.items() if era.application_version == NEWER}
            changelog.records[partition] = [record for record in records if record.key not in newer]
        found = compare(settings, logs, await group_offsets(settings))
        scenario.expect(not found, "\n".join(map(str, found)))


async def test_scaling_up_and_down_under_load_leaves_no_trace(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """1, 3, 2: what stays is not restored, and whoever is said to leave for good is not waited for."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=602, partitions=6, settings=STATIC) as scenario:
        pods = StatefulSet(scenario)
        await pods.scale_up(1)
        scenario.load.begin(RATE)
        [first] = pods.pods
        await first.line("committed", lambda line: bool(line["records"]))

        before = first.journal[-1]
        # One after the other: a rebalance in the middle of another one's restores has them begin again.
        for count in range(2, PODS + 1):
            await pods.scale_up(count)
        await pods.moving()
        tell_pauses(scenario, "from 1 to 3 pods", before["at_s"], pods)
        restored = [line for line in first.lines("restoring") if line["at_s"] > before["at_s"]]
        scenario.expect(not restored, f"{first.name} restored what it had: {restored}")

        gone = await pods.take_away()
        settings = await as_party(scenario.settings, "processor")
        taken_out = await take_out(settings, [pod_name(2), pod_name(7)])
        alone_s = await taken_over(scenario, pods, gone, "from 3 to 2 pods")
        scenario.expect(taken_out == {pod_name(2): True, pod_name(7): False}, f"{taken_out}")
        scenario.expect(alone_s < SESSION_TIMEOUT_MS / 1000, f"{gone.name} was waited for: {alone_s:g} s")
        await scenario.proven()


async def test_an_instance_that_is_said_to_leave_and_runs_joins_again(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=603, settings=STATIC) as scenario:
        pods = StatefulSet(scenario)
        await pods.scale_up(2)
        scenario.load.begin(RATE)
        await pods.moving()
        seen = [len(pod.journal) for pod in pods.pods]

        assert await take_out(await as_party(scenario.settings, "processor"), [pod_name(1)]) == {pod_name(1): True}

        for pod, since in zip(pods.pods, seen, strict=True):
            await pod.line("assigned", after=since)
        await pods.working()
        await scenario.proven()


async def test_static_members_that_leave_when_told_to_stop_are_waited_for_only_after_a_crash(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    leaving = {**STATIC, "engine.leave_on_stop": True}
    async with stage(kafka.bootstrap_servers, tmp_path, seed=605, partitions=6, settings=leaving) as scenario:
        pods = StatefulSet(scenario)
        await pods.scale_up(PODS)
        scenario.load.begin(RATE)
        await pods.moving()

        gone = await pods.take_away()
        alone_s = await taken_over(scenario, pods, gone, "from 3 to 2 pods")
        scenario.expect(alone_s < SESSION_TIMEOUT_MS / 1000, f"{gone.name} was waited for: {alone_s:g} s")
        await pods.scale_up(PODS)
        await pods.moving()

        crashed, stays = pods.pods[1], pods.pods[0]
        had, seen = crashed.lines("assigned")[-1], len(stays.journal)
        await crashed.kill()
        back = pods.pods[1] = await scenario.start(pod_name(1))
        await pods.working()
        await pods.moving()
        given = back.lines("assigned")[-1]
        same = (given["generation"], given["partitions"]) == (had["generation"], had["partitions"])
        scenario.expect(same, f"{had} became {given}")
        disturbed = [line for line in stays.journal[seen:] if line["what"] in REBALANCE]
        scenario.expect(not disturbed, f"{stays.name} was disturbed by a crash: {disturbed}")
        await scenario.proven()


async def test_a_static_member_that_does_not_come_back_is_missed(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Nobody says that it left for good: its partitions wait for the session time-out, then they are taken over."""
    static = {"engine.static_membership": True}
    async with stage(kafka.bootstrap_servers, tmp_path, seed=604, settings=static) as scenario:
        pods = StatefulSet(scenario)
        await pods.scale_up(2)
        scenario.load.begin(RATE)
        await pods.moving()

        gone = await pods.take_away()

        await taken_over(scenario, pods, gone, "from 2 to 1 pods, unsaid")
        await scenario.proven()


async def roll(scenario: Stage, pods: StatefulSet, version: str | None) -> None:
    """Every pod restarted in turn, under load; whoever is not restarted does nothing but commit."""
    seen = {pod.name: len(pod.journal) for pod in pods.pods}

    restarts = await pods.roll(version)

    for before, after in restarts:
        [given], [had] = after.lines("assigned"), before.lines("assigned")[-1:]
        same = (given["generation"], given["partitions"]) == (had["generation"], had["partitions"])
        scenario.expect(same, f"{had} became {given}")
        disturbed = [line for line in before.journal[seen[before.name] :] if line["what"] in REBALANCE]
        scenario.expect(not disturbed, f"{before.name} was disturbed before its own restart: {disturbed}")
        paused_s = pauses_s(scenario.instances, stopped_s(before), moving_s(after) or 0.0)
        told = {partition: round(seconds, 2) for partition, seconds in paused_s.items()}
        print(f"restart of {after.name} with {given['partitions']}: pauses in s {told}")
        longest_s = max(paused_s[partition] for partition in given["partitions"])
        scenario.expect(longest_s < SESSION_TIMEOUT_MS / 1000, f"paused {longest_s:g} s, as if it had been missed")


async def taken_over(scenario: Stage, pods: StatefulSet, gone: Instance, what: str) -> float:
    """Wait until the others have gone on with everything; returns for how many seconds that took since it stopped."""
    await pods.working()
    await pods.moving()
    tell_pauses(scenario, what, stopped_s(gone), pods)
    return pods.moving_s() - stopped_s(gone)


def tell_pauses(scenario: Stage, what: str, since_s: float, pods: StatefulSet) -> None:
    """Shown where a test fails."""
    paused_s = pauses_s(scenario.instances, since_s, pods.moving_s())
    print(f"{what}: pauses in s", {partition: round(seconds, 2) for partition, seconds in paused_s.items()})


def stopped_s(instance: Instance) -> float:
    """When it was told to stop."""
    return float(instance.lines("stopping")[0]["at_s"])
