"""What is tested comes by the locked door, as a party with exactly the printed ACLs; the witnesses by the other one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import CommittedReader, EventProducer
from processor.config import Settings, declared_topology
from processor.errors import Refused
from tests.faults.stage import create_topics, scenario_settings, stage
from tests.kafka.acls import acl_admin
from tests.kafka.locked import as_party
from topology import PARTIES, Acl, Party, acls


def printed(settings: Settings, party: Party) -> tuple[Acl, ...]:
    return acls(declared_topology(settings), settings.engine.application_id)[party]


@pytest.mark.parametrize("party", PARTIES)
async def test_a_party_is_allowed_what_is_printed_for_it_and_nothing_else(kafka: EmbeddedKafka, party: Party) -> None:
    witness = scenario_settings(kafka.bootstrap_servers, 1, {})

    inside = await as_party(witness, party)

    assert (inside.kafka.security_protocol, inside.kafka.sasl_username) == ("SASL_SSL", party)
    wanted = printed(witness, party)
    async with acl_admin(kafka.bootstrap_servers) as admin:
        for resource, name, pattern in {(acl.resource, acl.name, acl.pattern) for acl in wanted}:
            operations = {acl.operation for acl in wanted if (acl.resource, acl.name) == (resource, name)}
            assert await admin.granted(party, resource, name, pattern) == operations
        names = {acl.name for acl in wanted}
        for topic in declared_topology(witness).topics:
            if topic.name not in names:
                assert await admin.granted(party, "topic", topic.name, "literal") == set()


async def test_a_reader_that_writes_and_a_producer_that_reads_metrics_are_refused(kafka: EmbeddedKafka) -> None:
    witness = scenario_settings(kafka.bootstrap_servers, 1, {})
    await create_topics(witness)
    with pytest.raises(Refused, match=f"for User:reader: Write on topic {witness.topics.state}"):
        async with EventProducer(await as_party(witness, "reader")):
            pass
    with pytest.raises(Refused, match=f"for User:producer: Read on topic {witness.topics.metrics}"):
        async with CommittedReader(await as_party(witness, "producer"), [witness.topics.metrics]):
            pass


async def test_instances_and_load_of_a_scenario_log_in_each_as_its_party(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=301, partitions=1) as scenario:
        one = await scenario.start("one")
        plan = tmp_path / f"{one.name}.plan.json"
        told = msgspec.json.decode(plan.read_bytes())["settings"]["kafka"]
        assert (told["security_protocol"], told["sasl_username"]) == ("SASL_SSL", "processor")
        assert scenario.settings.kafka.security_protocol == "PLAINTEXT"
        await scenario.load.send(200)
        await scenario.working(one)
        await scenario.proven()

        async with acl_admin(kafka.bootstrap_servers) as admin:
            for acl in printed(scenario.settings, "producer"):
                await admin.revoke("producer", [acl])
        with pytest.raises(AssertionError, match="TopicAuthorizationFailedError"):
            await scenario.load.send(1)


async def test_at_an_address_without_a_lock_everybody_comes_as_the_settings_say() -> None:
    settings = scenario_settings("127.0.0.1:9", 1, {})
    assert await as_party(settings, "processor") is settings
