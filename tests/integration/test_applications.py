"""A changelog belongs to one application: another one on the same topics would answer every event a second time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from processor.backends.embedded import EmbeddedKafka
from processor.backends.kafka import StoredProgress, connected, observe
from processor.config import Settings, declared_topology
from processor.errors import Refused
from tests.faults.stage import create_topics, stage
from tests.integration.command import CLUSTER, contents, expect_refusal, run_command
from tests.kafka.locked import as_party
from tests.oracle.verdict import group_offsets
from topology import ObservedCluster, plan


def another(settings: Settings) -> Settings:
    """An application of another name on the same topics, which wants larger records in them."""
    engine = msgspec.structs.replace(
        settings.engine,
        application_id=f"{settings.engine.application_id}-other",
        max_event_bytes=2 * settings.engine.max_event_bytes,
    )
    return msgspec.structs.replace(settings, engine=engine)


async def topics_of(settings: Settings) -> ObservedCluster:
    async with connected(await as_party(settings, "topics"), "look") as connection:
        return await observe(connection, declared_topology(settings))


def words(settings: Settings) -> tuple[str, ...]:
    mine, theirs = settings.engine.application_id, another(settings).engine.application_id
    return (
        f"belongs to application {mine!r}, this is {theirs!r}",
        f"set engine.application_id to {mine!r}, or give {theirs!r} output topics and a changelog of its own",
    )


async def test_another_application_is_refused_while_the_first_one_goes_on_exactly_once(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=641, partitions=2, sessions=10) as scenario:
        settings = scenario.settings
        one = await scenario.start("one")
        await scenario.working(one)
        scenario.load.begin(200.0)
        await scenario.until("committed", lambda: len(scenario.committed()) == settings.topics.partitions)

        expect_refusal(await run_command(another(settings)), CLUSTER, *words(settings))

        assert await group_offsets(another(settings)) == {}
        assert not one.ended
        await scenario.proven()


async def test_topics_of_one_application_are_neither_altered_nor_moved_nor_begun_by_another(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """Also before the first one has ever run."""
    async with stage(kafka.bootstrap_servers, tmp_path, seed=642, partitions=1) as scenario:
        settings = scenario.settings
        await scenario.load.send(50)
        before = await contents(settings)
        topics = await topics_of(settings)
        assert plan(declared_topology(another(settings)), topics).alterations

        with pytest.raises(Refused) as applied:
            await create_topics(another(settings))
        async with StoredProgress(await as_party(another(settings), "processor")) as stored:
            with pytest.raises(Refused) as moved:
                await stored.place(0)
        expect_refusal(await run_command(another(settings)), CLUSTER, *words(settings))

        for refusal in (applied, moved):
            assert all(word in str(refusal.value) for word in words(settings)), refusal.value
        assert await topics_of(settings) == topics
        assert await contents(settings) == before
        assert await group_offsets(another(settings)) == {}
        await create_topics(settings)
        await scenario.start("one")
        await scenario.proven()
