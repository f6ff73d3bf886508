"""Under Kafka's authorizer: exactly the printed ACLs are enough, and each of them is needed and named when missing.

The users log in by SASL/SCRAM over TLS; the oracle looks from the side, where everything is allowed.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from processor.backends.kafka import CommittedReader, EventProducer, run_processor
from processor.config import KafkaConfig, Settings, declared_topology
from processor.engine.observer import Observer
from processor.errors import Refused
from processor.surfaces.folds import partition_fold
from tests.faults.instance import Instance
from tests.faults.load import events, load
from tests.faults.points import Fault
from tests.faults.stage import PATIENT, Stage, create_topics, scenario_settings
from tests.kafka.acls import acl_admin, run_acl_command
from tests.kafka.secure import SecuredKafka, secured_kafka
from tests.unit.surfaces.cli.commands import run_command
from topology import Acl, Party, acls, declare

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

PARTITIONS = 2
USERS: dict[Party, str] = {"processor": "processor", "topics": "topics", "producer": "producer", "reader": "reader"}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("keys")) as kafka:
        yield kafka


class SecuredStage(Stage):
    """A stage whose instances reach Kafka in the secured way; load and oracle look from the side."""

    def __init__(self, settings: Settings, way: KafkaConfig, folder: Path, feed: Any) -> None:
        super().__init__(settings, seed=61, folder=folder, made=feed)
        self._way = way

    async def start(self, instance_id: str, *faults: Fault, patience_s: float | None = None, **engine: Any) -> Instance:
        witness, self.settings = self.settings, msgspec.structs.replace(self.settings, kafka=self._way)
        try:
            return await super().start(instance_id, *faults, patience_s=patience_s, **engine)
        finally:
            self.settings = witness


def as_user(locked: SecuredKafka, settings: Settings, party: Party) -> Settings:
    return locked.secured(settings, locked.access("SASL_TLS", user=USERS[party]))


def needed_by(settings: Settings, party: Party) -> tuple[Acl, ...]:
    return acls(declared_topology(settings), settings.engine.application_id)[party]


def printed_commands(capfd: pytest.CaptureFixture[str], settings: Settings, party: Party) -> list[str]:
    """What `creative-feedback topics acls` prints for a party and its user."""
    topics = msgspec.to_builtins(settings.topics)
    flags = [f"topics.{name}={value}" for name, value in topics.items()]
    flags.append(f"engine.application_id={settings.engine.application_id}")
    words = [word for flag in flags for word in ("--set", flag)]
    ended = run_command(
        capfd, "topics", "acls", "--json", "--role", party, "--principal", f"User:{USERS[party]}", *words
    )
    assert ended.code == 0
    commands: list[str] = json.loads(ended.out)[party]["commands"]
    return commands


@pytest.mark.timeout(300)
async def test_the_printed_acls_are_enough_for_every_party_and_a_kill(
    locked: SecuredKafka, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The processor's printed commands are run by Kafka's own tool, the others are granted as data; one instance is
    killed in its commit; output is the replay's."""
    witness = scenario_settings(locked.witnesses, PARTITIONS, {})
    for command in printed_commands(capfd, witness, "processor"):
        await asyncio.to_thread(run_acl_command, shlex.split(command), locked.witnesses)
    async with acl_admin(locked.witnesses) as admin:
        for party in ("topics", "producer", "reader"):
            await admin.grant(USERS[party], needed_by(witness, party))

    await create_topics(as_user(locked, witness, "topics"))
    source = events(7, 50)
    async with EventProducer(as_user(locked, witness, "producer")) as producer:
        await producer.send([next(source) for _ in range(500)])
        await producer.flush()
    way = as_user(locked, witness, "processor").kafka
    async with load(locked.witnesses, witness.topics.state, PARTITIONS, source) as feed:
        scenario = SecuredStage(witness, way, tmp_path, feed)
        try:
            one = await scenario.start("one", Fault("before end", 8, "kill"))
            two = await scenario.start("two")
            await scenario.working(one, two)
            feed.begin(500.0)
            assert await one.wait() == -signal.SIGKILL
            again = await scenario.start("one")
            await scenario.working(again, two)
            # The producer's own 500 events are not the load's: what was acknowledged is compared elsewhere.
            await scenario.proven(inputs=False)
        finally:
            await scenario.close()
    topics = witness.topics
    async with CommittedReader(
        as_user(locked, witness, "reader"), [topics.actions, topics.metrics, topics.dead_letters]
    ) as reader:
        assert await reader.read(20.0)


# Each of them is needed --------------------------------------------------------------------------------------

DEFAULT_ACLS = acls(declare(), "creative-feedback")
"""For the names of the tests only: each scenario has names of its own, in the same order."""


@pytest.fixture(scope="module")
def granted(locked: SecuredKafka) -> Settings:
    """Topics, and a processor, a producer and a reader that may do everything they need; as the witnesses see it."""
    witness = scenario_settings(locked.witnesses, PARTITIONS, {})

    async def grant() -> None:
        await create_topics(witness)
        async with acl_admin(locked.witnesses) as admin:
            for party in ("processor", "producer", "reader"):
                await admin.grant(USERS[party], needed_by(witness, party))

    asyncio.run(grant())
    return witness


@asynccontextmanager
async def lacking(locked: SecuredKafka, settings: Settings, party: Party, number: int) -> AsyncIterator[Acl]:
    acl = needed_by(settings, party)[number]
    async with acl_admin(locked.witnesses) as admin:
        async with admin.without(USERS[party], acl):
            yield acl


def assert_names(message: str, acl: Acl, user: str) -> None:
    """The one missing ACL, whose it is, the remedy, and no other."""
    assert f"for User:{user}: {acl.operation} on {acl.resource} {acl.name}" in message
    assert message.count(" on ") == 1, message
    assert "creative-feedback topics acls" in message


async def run_until_refused(settings: Settings) -> str:
    async with asyncio.timeout(30):
        with pytest.raises(Refused) as caught:
            await run_processor(settings, lambda p: partition_fold(settings, p), Observer(), asyncio.Event())
    return str(caught.value)


@pytest.mark.parametrize(("number", "acl"), list(enumerate(DEFAULT_ACLS["processor"])), ids=str)
async def test_each_acl_the_processor_lacks_is_named_at_its_start(
    locked: SecuredKafka, granted: Settings, number: int, acl: Acl
) -> None:
    async with lacking(locked, granted, "processor", number) as missing:
        assert (missing.resource, missing.operation) == (acl.resource, acl.operation)
        assert_names(await run_until_refused(as_user(locked, granted, "processor")), missing, "processor")


@pytest.mark.parametrize(("number", "acl"), list(enumerate(DEFAULT_ACLS["topics"])), ids=str)
async def test_each_acl_the_topics_job_lacks_is_named(locked: SecuredKafka, number: int, acl: Acl) -> None:
    """On topics that do not exist yet: the job creates them, and is refused where the ACL is first needed."""
    witness = scenario_settings(locked.witnesses, PARTITIONS, {})
    allowed = needed_by(witness, "topics")
    missing = allowed[number]
    assert (missing.resource, missing.operation) == (acl.resource, acl.operation)
    async with acl_admin(locked.witnesses) as admin:
        await admin.grant(USERS["topics"], [other for other in allowed if other is not missing])
        async with asyncio.timeout(30):
            with pytest.raises(Refused) as caught:
                await create_topics(as_user(locked, witness, "topics"))
    assert_names(str(caught.value), missing, "topics")


@pytest.mark.parametrize(("number", "acl"), list(enumerate(DEFAULT_ACLS["producer"])), ids=str)
async def test_each_acl_a_producer_lacks_is_named(
    locked: SecuredKafka, granted: Settings, number: int, acl: Acl
) -> None:
    """Of who writes events and reads the actions they are answered with."""
    settings = as_user(locked, granted, "producer")
    async with lacking(locked, granted, "producer", number) as missing:
        assert (missing.resource, missing.operation) == (acl.resource, acl.operation)
        with pytest.raises(Refused) as caught:
            async with EventProducer(settings), CommittedReader(settings, [granted.topics.actions]):
                pass
    assert_names(str(caught.value), missing, "producer")


@pytest.mark.parametrize("number", range(len(DEFAULT_ACLS["reader"])))
async def test_each_acl_a_reader_lacks_is_named(locked: SecuredKafka, granted: Settings, number: int) -> None:
    topics = granted.topics
    async with lacking(locked, granted, "reader", number) as missing:
        with pytest.raises(Refused) as caught:
            async with CommittedReader(
                as_user(locked, granted, "reader"), [topics.actions, topics.metrics, topics.dead_letters]
            ):
                pass
    assert_names(str(caught.value), missing, "reader")


async def test_an_acl_taken_back_while_the_processor_works_is_named(locked: SecuredKafka, tmp_path: Path) -> None:
    """Nothing is committed meanwhile; granted again, work goes on, and output is the replay's."""
    witness = scenario_settings(locked.witnesses, PARTITIONS, PATIENT)
    await create_topics(witness)
    user = USERS["processor"]
    async with acl_admin(locked.witnesses) as admin:
        await admin.grant(user, needed_by(witness, "processor"))
        write = next(acl for acl in needed_by(witness, "processor") if acl.name == witness.topics.actions)
        way = as_user(locked, witness, "processor").kafka
        async with load(locked.witnesses, witness.topics.state, PARTITIONS, events(8, 50)) as feed:
            scenario = SecuredStage(witness, way, tmp_path, feed)
            try:
                one = await scenario.start("one")
                await scenario.working(one)
                feed.begin(300.0)
                await one.line("committed")
                await admin.revoke(user, [write])
                doubt = await one.line("doubted")
                assert f"Write on topic {write.name}" in doubt["cause"]
                await admin.grant(user, [write])
                await one.line("committed", after=len(one.journal))
                await scenario.proven()
            finally:
                await scenario.close()
