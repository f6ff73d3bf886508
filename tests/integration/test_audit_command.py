"""``creative-feedback audit`` on Apache Kafka: equal while and after processors work, and every doubt by name."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from processor.app import ApacheKafka
from processor.backends.embedded import EmbeddedKafka
from processor.config import Settings, declared_topology
from processor.errors import Refused
from processor.surfaces.audit import AuditReport, Span, audit_partition
from processor.surfaces.audit.span import WHOLE
from tests.faults.instance import Instance
from tests.faults.points import Fault
from tests.faults.stage import Stage, create_topics, scenario_settings, stage
from tests.integration.command import Ended, command
from tests.integration.foreign import delete_records
from tests.kafka.acls import acl_admin
from tests.kafka.locked import LockedKafka, as_party
from tests.oracle.committed import settled
from topology import acls

pytestmark = pytest.mark.timeout(180)

EQUAL, DIFFERENT = 0, 1
PARTITIONS = 2


async def audit(settings: Settings, *arguments: str) -> Ended:
    """The command with its answer for scripts; what is decided by now is marked before."""
    await settled(settings.kafka.bootstrap_servers, [settings.topics.changelog])
    return await command(settings, "auditor", "audit", "--json", *arguments)


async def expect_equal(settings: Settings, *partitions: int, span: Span = WHOLE) -> AuditReport:
    """What the command does, in this process; what is decided by now is marked before."""
    await settled(settings.kafka.bootstrap_servers, [settings.topics.changelog])
    settings = await as_party(settings, "auditor")
    async with ApacheKafka().logs(settings) as logs:
        numbers = partitions or range(PARTITIONS)
        report = AuditReport([await audit_partition(logs, settings, number, span) for number in numbers])
    assert report.verdict == "equal", report.to_json()
    return report


def events(report: AuditReport) -> int:
    return sum(partition.events for partition in report.partitions)


async def stopped(instance: Instance) -> None:
    instance.signal(signal.SIGTERM)
    assert await instance.wait() == 0, instance.told()


async def test_equal_while_processors_work_and_after_one_was_killed(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=41, partitions=PARTITIONS) as scenario:
        one, two = await scenario.start("one"), await scenario.start("two")
        await scenario.working(one, two)
        scenario.load.begin(300.0)
        await scenario.until("something committed", lambda: any(scenario.committed().values()))
        under_load = await expect_equal(scenario.settings)
        assert events(under_load) > 0

        # Killed with everything written and nothing decided: what it left open is waited for, then not there.
        two.plan(Fault("before end", 3, "kill"))
        assert await two.wait() == -signal.SIGKILL
        later = await expect_equal(scenario.settings)
        assert events(later) >= events(under_load)

        await scenario.drained()
        await stopped(one)
        whole = await expect_equal(scenario.settings)
    assert events(whole) == scenario.load.count
    compared = whole.compared
    assert compared["actions"] > compared["metrics"] > compared["dead_letters"] > 0
    assert compared["state"] > 0
    for number, end in scenario.load.ends().items():
        assert (whole.partitions[number].first, whole.partitions[number].end) == (0, end)


async def test_a_foreign_record_is_named_with_partition_offset_and_both_values(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=42, partitions=PARTITIONS) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(600)
        await scenario.drained()
        actions = scenario.settings.topics.actions
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
            foreign = await producer.send_and_wait(
                actions, b"not ours", b"somebody", 1, headers=[("source.offset", b"7")]
            )
        await scenario.load.send(600)
        await scenario.drained()
        await stopped(one)

        different = await audit(scenario.settings)
        assert different.code == DIFFERENT
        assert [one["verdict"] for one in different.partitions] == ["equal", "different"]
        found = different.partitions[1]["difference"]
        assert (found["topic"], found["partition"], found["offset"]) == (actions, 1, foreign.offset)
        assert (found["what"], found["expected"], found["found"]) == ("surplus", None, "not ours")
        assert different.line == (
            f"creative-feedback: {actions}-1 offset {foreign.offset} (input offset 7): a record too many: replay gives "
            "nothing, committed is not ours"
        )
        equal = await audit(scenario.settings, "--partition", "0")
        assert (equal.code, equal.line) == (EQUAL, "")
        assert [report["partition"] for report in equal.partitions] == [0]


def changed(scenario: Stage, **loop: Any) -> None:
    """Instances started from now on behave otherwise."""
    scenario.settings = msgspec.structs.replace(
        scenario.settings, loop=msgspec.structs.replace(scenario.settings.loop, **loop)
    )


async def test_settings_changed_midway_are_taken_from_the_log(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=43, partitions=PARTITIONS) as scenario:
        asked = scenario.settings
        for recovery_steps in (3, 9, 3):
            changed(scenario, recovery_steps=recovery_steps)
            instance = await scenario.start("one")
            await scenario.load.send(500)
            await scenario.drained()
            await stopped(instance)
        changed(scenario, recovery_steps=77, novelty_high=0.3)
        audited = await expect_equal(scenario.settings)
        assert events(audited) == 1_500
        assert [report.notes for report in audited.partitions] == [[], []]
        middle = scenario.load.ends()[0] // 2
        [part] = (await expect_equal(asked, 0, span=Span(middle))).partitions
        assert part.first == middle
        assert "state" in part.compared


async def test_behind_retention_what_can_be_known_is_compared_and_the_rest_is_named(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=44, partitions=PARTITIONS) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(600)
        first = scenario.load.ends()[0]
        for number in range(30):
            value = msgspec.json.encode({"session_id": "late", "state": {"novelty": number / 30}})
            await scenario.load.send_raw(0, b"late", value)
        await scenario.load.send(300)
        await scenario.drained()
        await stopped(one)
        topics, servers = scenario.settings.topics, kafka.bootstrap_servers
        await delete_records(servers, topics.state, {0: first})
        await delete_records(servers, topics.metrics, {1: 20})

        audited = await expect_equal(scenario.settings)
        cut, whole = audited.partitions
        assert cut.first == first
        assert cut.events == scenario.load.ends()[0] - first
        assert cut.compared["actions"] >= 30
        assert cut.passed_over > 0
        assert cut.sessions_passed_over > 0
        assert "state" not in cut.compared
        assert whole.passed_over == 0
        assert [note.split(" is compared from")[0] for note in whole.notes] == [topics.metrics]


@pytest.mark.parametrize("number", range(5))
async def test_each_acl_the_auditor_lacks_is_named(shared_kafka: LockedKafka, number: int) -> None:
    witness = scenario_settings(shared_kafka.bootstrap_servers, PARTITIONS, {})
    await create_topics(witness)
    auditor = await shared_kafka.admit(witness, "auditor")
    needed = acls(declared_topology(witness), witness.engine.application_id)["auditor"]
    assert len(needed) == 5
    async with ApacheKafka().logs(auditor) as logs:
        assert (await audit_partition(logs, auditor, 0)).verdict == "equal"
    async with acl_admin(shared_kafka.bootstrap_servers) as admin, admin.without("auditor", needed[number]):
        with pytest.raises(Refused) as caught:
            async with ApacheKafka().logs(auditor):
                pass
    assert str(caught.value) == (
        f"missing ACL for User:auditor: Read on topic {needed[number].name}; grant it with kafka-acls.sh, as "
        "`creative-feedback topics acls` prints it"
    )
