"""Composition root: the command line, bound to Kafka and to the embedded broker."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from processor.config import Settings, declared_topology
from processor.engine.observer import Observer
from processor.engine.ports import FoldFactory, InputRecord
from processor.errors import Unreachable
from processor.surfaces.cli import main as command_line
from processor.surfaces.ports import (
    Bounds,
    Broker,
    ChangelogAdmin,
    Chunk,
    FetchProgress,
    GroupMember,
    Logs,
    Move,
    Place,
    Producer,
    ProgressAdmin,
    Reader,
    RebuiltState,
    Standing,
    TopicAdmin,
)
from topology import ObservedCluster, Plan


class ApacheKafka:
    """`processor.surfaces.ports.Kafka`; the clients are imported where they are used, since most commands need none."""

    async def run(self, settings: Settings, folds: FoldFactory, observer: Observer, stop: asyncio.Event) -> None:
        from processor.backends.kafka.run import run_processor

        # Records live for milliseconds and hold no cycles: the default of 700 allocations looks for garbage that is
        # not there, again and again, for a tenth to a third of the CPU time (tests.bench.throughput).
        gc.set_threshold(50_000, 20, 100)
        await run_processor(settings, folds, observer, stop)

    async def owners(self, settings: Settings) -> Mapping[int, GroupMember]:
        from processor.backends.kafka import members

        return {
            partition: GroupMember(member.instance or member.client_id, member.url)
            for member in await members.present(settings)
            for partition in member.partitions
        }

    async def take_out(self, settings: Settings, instances: Sequence[str]) -> Mapping[str, bool]:
        from processor.backends.kafka import members

        return await members.take_out(settings, instances)

    @asynccontextmanager
    async def topics(self, settings: Settings) -> AsyncIterator[TopicAdmin]:
        from processor.backends.kafka import admin

        declared = declared_topology(settings)
        async with admin.connected(settings, "topics") as connection:

            class Admin:
                async def observe(self) -> ObservedCluster:
                    return await admin.observe(connection, declared)

                async def apply(self, plan: Plan) -> None:
                    await admin.apply(connection, settings, plan, declared)

            yield Admin()

    @asynccontextmanager
    async def producer(self, settings: Settings) -> AsyncIterator[Producer]:
        from processor.backends.kafka import EventProducer

        async with EventProducer(settings) as producer:
            yield producer

    @asynccontextmanager
    async def reader(self, settings: Settings, topics: Sequence[str], *, latest: bool = False) -> AsyncIterator[Reader]:
        from processor.backends.kafka import CommittedReader

        async with CommittedReader(settings, topics, latest=latest) as reader:

            class Chunks:
                async def read(self, timeout_s: float) -> Sequence[Chunk]:
                    records = await reader.read(timeout_s)
                    return [
                        Chunk(topic, partition, list(run))
                        for (topic, partition), run in groupby(records, key=itemgetter(0, 1))
                    ]

            yield Chunks()

    @asynccontextmanager
    async def logs(self, settings: Settings) -> AsyncIterator[Logs]:
        from processor.backends.kafka import CommittedLogs

        async with CommittedLogs(settings) as committed:

            class Partitions:
                async def bounds(self, topic: str, partition: int) -> Bounds:
                    return Bounds(*await committed.bounds(topic, partition))

                def records(
                    self, topic: str, partition: int, start: int, end: int
                ) -> AsyncGenerator[Sequence[InputRecord], None]:
                    return committed.records(topic, partition, start, end)

            yield Partitions()

    @asynccontextmanager
    async def progress(self, settings: Settings) -> AsyncIterator[ProgressAdmin]:
        from processor.backends.kafka import StoredProgress

        async with StoredProgress(settings) as stored:

            class Admin:
                async def members(self) -> Sequence[str]:
                    return await stored.members()

                async def place(self, partition: int) -> Place:
                    return Place(partition, *await stored.place(partition))

                async def offset_at(self, partition: int, timestamp_ms: int) -> int | None:
                    return await stored.offset_at(partition, timestamp_ms)

                async def move(self, moves: Sequence[Move]) -> None:
                    await stored.move({partition: (previous, following) for partition, previous, following in moves})

            yield Admin()

    @asynccontextmanager
    async def changelogs(self, settings: Settings) -> AsyncIterator[ChangelogAdmin]:
        from processor.backends.kafka import LostChangelogs, NewState

        async with LostChangelogs(settings) as lost:

            class Admin:
                async def members(self) -> Sequence[str]:
                    return await lost.members()

                async def standing(self, partition: int, each: Callable[[bytes, bytes | None], None]) -> Standing:
                    return Standing(partition, *await lost.standing(partition, each))

                async def write(self, states: Sequence[RebuiltState]) -> None:
                    await lost.write(
                        [
                            NewState(*standing, following, state, progress)
                            for standing, following, state, progress in states
                        ]
                    )

            yield Admin()

    def start_broker(
        self,
        *,
        nodes: int,
        port: int | None,
        folder: Path | None,
        properties: Mapping[str, str],
        progress: FetchProgress,
    ) -> AbstractContextManager[Broker]:
        from processor.backends.embedded import BrokerError, start_broker

        try:
            return start_broker(nodes=nodes, port=port, folder=folder, properties=properties, progress=progress)
        except BrokerError as error:
            raise Unreachable(str(error)) from None


def main() -> None:
    """The console command ``creative-feedback``."""
    code = command_line(ApacheKafka())
    # The interpreter would look for garbage in everything once more, for a fifth of a second of CPU time in which a
    # static member's partitions wait for its next process.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
