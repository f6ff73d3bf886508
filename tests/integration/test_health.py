"""Every failure that the probes are for, caused for real, and what `/health/live` and `/health/ready` said of it.

What is awaited where a failure is made (`tests.faults.health.scenes`) is half of the promise: that it is named there,
that both probes answer as they should, and that they are well again without it.  ``-s`` prints the table.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from processor.backends.embedded import EmbeddedKafka
from tests.faults.health import scenes
from tests.faults.health.sighting import Sighting, table

SECONDS = 15.0  # an operator sees in seconds; the limit is two of them here, and the machine may be busy


def expect(seen: Sighting, *words: str) -> None:
    """Soon enough, and in one line that names the thing and the remedy."""
    assert seen.unready_s < SECONDS
    assert seen.unlive_s is None or seen.unlive_s < SECONDS
    for word in words:
        assert word in seen.message
    assert seen.message.isprintable()


@pytest.mark.timeout(240)
async def test_whatever_stands_still_is_named_fails_live_and_is_well_when_its_cause_is_gone(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with scenes.one_worker(kafka, tmp_path) as scene:
        expect(await scene.stuck(), "stands at offset", "answers no fetch", "start again")
        expect(await scene.damaged(), "stands at offset", "with lag", "start again")
        expect(await scene.dead_producer(), "no transaction has succeeded", "look at the brokers")
        expect(await scene.broker_gone(), "no transaction has succeeded", "look at the brokers")
        expect(await scene.stalled(), "hanging.py", "in choose", "and start again")
        print(table(scene.run.sightings))


@pytest.mark.timeout(240)
async def test_what_a_new_start_would_not_change_is_named_and_unready_and_stays_live(
    kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    async with scenes.one_worker(kafka, tmp_path) as scene:
        [starting] = scene.run.sightings
        expect(starting, "waits for the group to give it partitions")
        changelog = scene.settings.topics.changelog
        expect(await scene.restore_waits(), f"{changelog}-0", "open transaction", "find-hanging")
        expect(await scene.restore_fails(), "foreign", "restore the topic")
        expect(await scene.stopping(), "commits what it has computed")
        print(table(scene.run.sightings))


@pytest.mark.timeout(240)
async def test_a_supervisor_tells_of_a_worker_that_was_killed_or_frozen(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """The killed one is started again, so nobody else has to; the frozen one is not."""
    killed, frozen = await scenes.two_workers(kafka, tmp_path)
    expect(killed, "its connection ended; its supervisor starts it again")
    expect(frozen, "silent", "kill it")
    print(table([killed, frozen]))
