"""Restarts in turn, upgrades and scaling of static members, as a StatefulSet does them, under load."""

from __future__ import annotations

from pathlib import Path

from processor.backends.embedded import EmbeddedKafka
from processor.config import APPLICATION_VERSION
from schemas.progress import PROGRESS_KEY, decode_progress
from schemas.state_records import EraRecord, Kind, decode_state
from tests.faults.instance import Instance
from tests.faults.stage import Stage, stage
from tests.faults.stateful_set import StatefulSet, moving_s, pauses_s
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


async def test_a_rolling_restart_moves_no_partition_and_leaves_no_trace(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=601, partitions=6, settings=STATIC) as scenario:
        await roll(scenario)
        await scenario.proven()


async def test_a_rolling_upgrade_continues_what_the_older_version_wrote(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """The newer version is this one under another name: all that may differ is the name, wherever it is written."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=602, partitions=6, settings=STATIC) as scenario:
        await roll(scenario, NEWER)
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


async def roll(scenario: Stage, version: str | None = None) -> None:
    """Three pods under load, restarted in turn; whoever is not restarted does nothing but commit."""
    pods = StatefulSet(scenario)
    await pods.scale_up(PODS)
    scenario.load.begin(RATE)
    for pod in pods.pods:
        await pod.line("committed", lambda line: bool(line["records"]))
    seen = {pod.name: len(pod.journal) for pod in pods.pods}

    restarts = await pods.roll(version)

    for before, after in restarts:
        [given], [had] = after.lines("assigned"), before.lines("assigned")[-1:]
        own = given["partitions"]
        scenario.expect((given["generation"], own) == (had["generation"], had["partitions"]), f"{had} became {given}")
        moved = [line for line in before.journal[seen[before.name] :] if line["what"] in REBALANCE]
        scenario.expect(not moved, f"{before.name} was disturbed before its own restart: {moved}")
        disturbed = [line for line in after.journal if line["what"] in REBALANCE]
        scenario.expect([line["what"] for line in disturbed].count("assigned") == 1, f"{after.name}: {disturbed}")
        paused_s = pauses_s(scenario.instances, stopped_s(before), moving_s(after) or 0.0)
        print(f"{after.name} restarted, pauses in s:", {partition: round(s, 2) for partition, s in paused_s.items()})
        longest_s = max(paused_s[partition] for partition in own)
        scenario.expect(longest_s < SESSION_TIMEOUT_MS / 1000, f"paused {longest_s:g} s, as if it had been missed")


def stopped_s(instance: Instance) -> float:
    """When it was told to stop."""
    return float(instance.lines("stopping")[0]["at_s"])
