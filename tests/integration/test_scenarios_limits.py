"""What is too much, too large or too little: poison, oversize, a wrong clock, no memory, a full disk."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processor.backends.embedded import EmbeddedKafka
from schemas.dead_letters import ERROR_CUT
from tests.faults.load import Event, events
from tests.faults.points import Fault
from tests.faults.stage import PATIENT, stage
from tests.integration.bad_inputs import MIB, OWN_HEADERS, bad_inputs, event
from tests.integration.foreign import foreign_producer
from tests.integration.strain import SELECTOR, send_strain
from tests.kafka.fixtures import QUICK_SETTINGS
from tests.oracle import read_topic

RATE = 400.0
DISK_MIB = 192
STRAINED = {"profiles.selector": SELECTOR}


def poisoned(source: Iterator[Event], seed: int, every: int = 50) -> Iterator[Event]:
    """One event in so many is one that nobody wants; it takes the key, and so the partition, of the one before."""
    dice = random.Random(seed)
    poison = [bad.value for bad in bad_inputs() if bad.value is not None and not bad.headers and len(bad.value) < MIB]
    for number, (key, value) in enumerate(source):
        yield key, value
        if number % (every - 1) == 0:
            yield key, dice.choice(poison)


async def test_poison_one_event_in_fifty_and_kills_leave_no_trace(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    source = poisoned(events(401, 100), 401)
    async with stage(kafka.bootstrap_servers, tmp_path, seed=401, source=source) as scenario:
        pair = {name: await scenario.start(name) for name in ("one", "two")}
        await scenario.working(*pair.values())
        scenario.load.begin(RATE)
        for point in ("before produce", "before commit_offsets", "after commit_offsets", "before end"):
            victim = scenario.dice.choice(sorted(pair))
            pair[victim].plan(Fault(point, scenario.dice.randrange(1, 20), "kill"))
            assert await pair[victim].wait() == -signal.SIGKILL
            pair[victim] = await scenario.start(victim)
        await scenario.working(*pair.values())
        await scenario.drained()
        letters = await read_topic(kafka.bootstrap_servers, scenario.settings.topics.dead_letters)
        codes = {dict(letter.headers)["error.code"] for part in letters.records.values() for letter in part}
        scenario.expect(len(codes) >= 5, f"only {codes}: the test shows little")
        scenario.expect(not any(one.lines("halted") for one in scenario.instances), "poison halted a partition")
        await scenario.proven()


async def test_what_is_too_large_to_be_written_again_is_cut_and_marked(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Compressed, a record may be larger than its topic and every output allow; the partition goes on."""
    trace = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    giants: list[tuple[bytes, bytes, list[tuple[str, bytes]]]] = [
        (b"value", b" " * 24 * MIB, []),
        (b"k" * 4 * MIB, event("key"), []),
        (b"headers", b"{", [("own", b"h" * 4 * MIB)]),
        (b"refused", event("refused", state=[0] * 300_000), []),
        (b"traced", event("traced"), [trace, ("tracestate", b"t" * 4 * MIB)]),
        (b"whole", event("whole", note="x" * (MIB - 300)), [*OWN_HEADERS, ("large", b"h" * 64 * 1024)]),
    ]
    async with stage(kafka.bootstrap_servers, tmp_path, seed=402, partitions=1, settings=PATIENT) as scenario:
        topics = scenario.settings.topics
        one = await scenario.start("one")
        async with foreign_producer(
            kafka.bootstrap_servers, compression_type="gzip", max_request_size=32 * MIB
        ) as foreign:
            for key, value, headers in giants:
                sent = await foreign.send_and_wait(topics.state, value, key, 0, headers=headers)
        await scenario.until("the giants processed", lambda: scenario.committed().get(0, 0) > sent.offset)

        letters = {
            int(dict(letter.headers)["source.offset"]): letter
            for letter in (await read_topic(kafka.bootstrap_servers, topics.dead_letters)).records[0]
        }
        told = {offset: dict(letter.headers) for offset, letter in letters.items()}
        assert [told[offset]["error.code"] for offset in range(4)] == [
            b"too_large", b"session_mismatch", b"not_decodable", b"state_invalid",
        ]  # fmt: skip
        assert [ERROR_CUT in told[offset] for offset in range(4)] == [True, True, True, False]
        assert all(len(letter.value or b"") + len(letter.key or b"") <= 2 * MIB for letter in letters.values())
        actions = (await read_topic(kafka.bootstrap_servers, topics.actions)).records[0]
        carried = {action.key: {name for name, _ in action.headers} for action in actions}
        assert carried[b"traced"] == {"source.offset"}
        assert carried[b"whole"] == {"source.offset", "traceparent"}
        await scenario.load.send(300)
        await scenario.drained()
        scenario.expect(not one.lines("halted") and not one.lines("refused"), "the broker refused something")
        await scenario.proven(inputs=False)


async def test_state_and_metrics_at_their_largest_fit(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """A thousand points of history in each metric, a long model: what grows with a session is bounded."""
    large: dict[str, Any] = {
        **PATIENT,
        "streaming.include_history": True,
        "streaming.interval_steps": 100,
        "quality.max_history": 5_000,
        "loop.max_exploration_steps": 12,
    }
    async with stage(kafka.bootstrap_servers, tmp_path, seed=403, partitions=1, sessions=2, settings=large) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(2_500)
        await scenario.drained()
        metrics = (await read_topic(kafka.bootstrap_servers, scenario.settings.topics.metrics)).records[0]
        largest = max(len(metric.value or b"") for metric in metrics)
        scenario.expect(20_000 < largest < MIB, f"the largest metric has {largest} bytes")
        scenario.expect(not one.lines("refused"), "the broker refused something")
        await scenario.proven()


async def test_a_wall_clock_that_jumps_changes_nothing(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """Ahead by more than the broker believes a producer, then far behind.

    Deadlines run on the monotonic clock, the loop sees none, and what is written is stamped by the broker.
    """
    settings = {**STRAINED, **PATIENT}
    async with stage(kafka.bootstrap_servers, tmp_path, seed=404, partitions=2, settings=settings) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(300)
        await scenario.drained()
        for seconds in (2 * 3600.0, -2 * 86400.0):
            jumped = await send_strain(scenario.load, tmp_path, f"jump-{seconds:g}", 0, "jump", seconds)
            await scenario.load.send(600)
            await scenario.drained()
            scenario.expect(not jumped.exists(), "the clock did not jump: the test shows nothing")
        scenario.load.begin(RATE)
        two = await scenario.start("two")
        await scenario.working(one, two)
        scenario.expect(not one.lines("doubted") and not one.lines("halted"), "the clock cost a transaction")
        await scenario.proven()


async def test_no_memory_ends_the_process_and_blames_no_event(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    async with stage(kafka.bootstrap_servers, tmp_path, seed=405, partitions=2, settings=STRAINED) as scenario:
        one = await scenario.start("one")
        await scenario.load.send(300)
        await scenario.drained()
        await send_strain(scenario.load, tmp_path, "exhaust", 0, "exhaust", 64)
        await scenario.load.send(300)

        assert await one.wait() not in (0, None)

        [ended] = one.lines("ended")
        scenario.expect(ended["error"].startswith("OutOfMemory: out of memory"), f"{ended}")
        scenario.expect(not one.lines("halted"), "the partition was halted")
        await scenario.start("two")
        await scenario.proven()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a disk that can be filled is a tmpfs of its own, and only root may mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.kafka
@pytest.mark.timeout(240)
async def test_a_full_disk_stops_the_broker_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    """The broker fails in the middle of our writes and ends; with room again, work goes on where it was.

    All input is there before: what a producer of input is told meanwhile is between it and the broker.
    """
    async with EmbeddedKafka(folder=small_disk / "kafka", properties=QUICK_SETTINGS) as broker:
        async with stage(broker.bootstrap_servers, tmp_path, seed=406, partitions=2) as scenario:
            one = await scenario.start("one")
            await scenario.load.send(1_000)
            await scenario.drained()
            one.plan(Fault("before produce", 1, "hold"))
            await scenario.load.send(8_000)
            await one.line("fault")
            ballast = small_disk / "ballast"
            free = os.statvfs(small_disk)
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
            one.go()
            async with asyncio.timeout(90):
                while not await asyncio.to_thread(broker.nodes[0].await_stopped, 1.0):
                    pass
            ballast.unlink()
            seen = len(one.journal)

            await asyncio.to_thread(broker.restart, 1)

            await one.line("committed", after=seen)
            await scenario.proven()
