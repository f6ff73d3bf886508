"""How fast a lost changelog is rebuilt from its input.

    python -m tests.bench.rebuild --events 400000

One embedded broker, 4 partitions, 2,000 sessions, JSON.  A processor works the events off, the changelog is deleted and
made anew, and `creative-feedback rebuild --execute` makes it as it was: all input folded again, all output read and
compared, state and progress committed.  CPU-seconds are this process's, the broker's are not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import sys

from processor.app import ApacheKafka
from processor.config import Settings
from processor.errors import Refused
from processor.surfaces.cli.event_loop import run_async
from processor.surfaces.folds import partition_fold
from processor.surfaces.rebuild import Words, rebuild_partition
from schemas.progress import PROGRESS_KEY
from tests.bench.backlog import PARTITIONS, Counting, Rate, Stopwatch, application, broker, events, worked_off, write
from tests.faults.stage import create_topics
from tests.integration.command import recreate
from tests.oracle import read_topic
from tests.oracle.verdict import folded


async def stored(settings: Settings) -> list[dict[bytes, bytes]]:
    """What the changelog comes to, by partition."""
    log = await read_topic(settings.kafka.bootstrap_servers, settings.topics.changelog)
    return [folded(log.records[partition]) for partition in range(PARTITIONS)]


async def measure_rebuild(settings: Settings, count: int) -> tuple[Rate, int]:
    """What the command does; also how many committed records it compared."""
    watch, compared, words = Stopwatch(), 0, Words()
    async with ApacheKafka().changelogs(settings) as admin, ApacheKafka().logs(settings) as logs:
        states = []
        for partition in range(PARTITIONS):
            standing = await admin.standing(partition, partition_fold(settings, partition).restore)
            report, state = await rebuild_partition(logs, settings, standing, words)
            assert report.refusal(words) is None, report
            assert state is not None
            states.append(state)
            compared += sum(report.compared.values())
        await admin.write(states)
    return watch.rate(count), compared


async def main(servers: str, count: int) -> dict[str, object]:
    """Processed, lost, rebuilt."""
    settings = await application(servers, "rebuild")
    await write(settings, events(count))
    processed = await worked_off(settings, lambda partition: partition_fold(settings, partition), Counting(count))
    before = await stored(settings)
    await recreate(settings, settings.topics.changelog, {"cleanup.policy": "compact"})
    with contextlib.suppress(Refused):  # it names the loss, once the topic is there
        await create_topics(settings)
    rebuilt, compared = await measure_rebuild(settings, count)
    after = await stored(settings)
    assert all(PROGRESS_KEY in state for state in after)
    return {
        "events": count,
        "records_compared": compared,
        "state_records": sum(map(len, after)),
        "as_it_was": before == after,
        "processor_per_s": round(processed.per_s),
        "processor_per_cpu_s": round(processed.per_cpu_s),
        "rebuilt_per_s": round(rebuilt.per_s),
        "rebuilt_per_cpu_s": round(rebuilt.per_cpu_s),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=400_000)
    options = parser.parse_args()
    gc.set_threshold(50_000, 20, 100)
    with broker() as kafka:
        json.dump(run_async(main(kafka.bootstrap_servers, options.events)), sys.stdout, indent=2)
