"""Faults of brokers on three nodes (replication 3, in-sync minimum 2), under load, with two instances at work.

A fault is over when every partition has committed an event that was written after it and the cluster is whole again.
What was lost, repeated or misled meanwhile shows in the oracle's verdict at the end of a round.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from processor.backends.embedded import EmbeddedKafka
from tests.faults.campaign.report import Tally
from tests.faults.instance import Instance
from tests.faults.points import Fault
from tests.faults.stage import Stage, stage
from tests.kafka.leadership import GROUPS, TRANSACTIONS, Nodes, TopicPartition, nodes_of

KIND = "broker"
RATE = 200.0  # events a second: every partition has some in each commit, and the machine has time for the brokers
RECOVERY_S = 120.0
PARTITIONS = 4

# A node is away for seconds: time-outs below that let transactions and memberships fail, too, not only requests.
THREE_NODES_SETTINGS: dict[str, Any] = {
    "topics.replication_factor": 3,
    "kafka.request_timeout_ms": 3_000,
    "kafka.connect_timeout_ms": 9_000,
    "engine.session_timeout_ms": 3_000,
    "engine.transaction_timeout_ms": 3_000,
    "engine.rebalance_timeout_ms": 6_000,
    "engine.commit_interval_ms": 50,
}


class Scene:
    """Two instances at work under load on three nodes; made by `scene`."""

    def __init__(self, stage: Stage, nodes: Nodes, instances: list[Instance], tally: Tally) -> None:
        self.stage = stage
        self.nodes = nodes
        self.instances = instances
        self.tally = tally
        self.dice = stage.dice

    async def leader_of(self, topic: str) -> int:
        """The node that leads some partition of the topic."""
        return await self.nodes.leader(topic, self.dice.randrange(PARTITIONS))

    async def coordinator(self, topic: str) -> int:
        """The node that coordinates the group, or the transactions of one of the instances."""
        return await self.nodes.leader(*await self.coordination(topic))

    async def coordination(self, topic: str) -> TopicPartition:
        """The internal partition behind it."""
        engine = self.stage.settings.engine
        instance_id = self.dice.choice(self.instances).name.partition("-")[2]
        key = engine.application_id if topic == GROUPS else f"{engine.application_id}-{instance_id}"
        return await self.nodes.coordination(topic, key)

    async def committing(self) -> None:
        """Wait for a commit or a few, so that the next fault hits at a moment of its own."""
        one = self.dice.choice(self.instances)
        await one.line("committed", after=len(one.journal) + self.dice.randrange(10))

    async def progress(self) -> float:
        """Wait until every partition has committed an event that was acknowledged after this call; returns seconds."""
        loop = asyncio.get_running_loop()
        began, ends = loop.time(), self.stage.load.ends()

        def holds() -> bool:
            committed = self.stage.committed()
            return self.ended() is not None or all(committed.get(p, 0) > end for p, end in ends.items())

        await self.stage.until(f"a later commit of every partition than {ends}", holds, RECOVERY_S)
        ended = self.ended()
        self.stage.expect(ended is None, f"{ended.name if ended else ''} ended")
        return loop.time() - began

    def ended(self) -> Instance | None:
        """An instance that nobody ended, and that is not there any more."""
        return next((instance for instance in self.instances if instance.ended), None)

    async def recovered(self) -> None:
        """Wait for `progress`, and count how long it took."""
        self.tally.recovered(await self.progress())

    def fired(self, point: str) -> None:
        """Count a fault."""
        self.tally.fired(KIND, point)


async def kill(scene: Scene, node: int, point: str) -> None:
    """SIGKILL; half of the time it stays away until the others have gone on without it."""
    await scene.nodes.kill(node)
    scene.fired(point)
    if scene.dice.random() < 0.5:
        await scene.recovered()
        await scene.nodes.restart(node)
        await scene.progress()
    else:
        await scene.nodes.restart(node)
        await scene.recovered()


async def kill_input_leader(scene: Scene) -> None:
    """The leader of an input partition."""
    await kill(scene, await scene.leader_of(scene.stage.settings.topics.state), "kill leader of input")


async def kill_changelog_leader(scene: Scene) -> None:
    """The leader of a changelog partition."""
    await kill(scene, await scene.leader_of(scene.stage.settings.topics.changelog), "kill leader of changelog")


async def kill_output_leader(scene: Scene) -> None:
    """The leader of a partition of actions."""
    await kill(scene, await scene.leader_of(scene.stage.settings.topics.actions), "kill leader of output")


async def kill_group_coordinator(scene: Scene) -> None:
    """Who holds the group and its offsets."""
    await kill(scene, await scene.coordinator(GROUPS), "kill group coordinator")


async def kill_transaction_coordinator(scene: Scene) -> None:
    """Who holds the transactions of an instance."""
    await kill(scene, await scene.coordinator(TRANSACTIONS), "kill transaction coordinator")


async def kill_controller(scene: Scene) -> None:
    """Who would elect the new leaders: first the others elect a new one of these."""
    await kill(scene, await scene.nodes.controller(), "kill controller")


async def move_leaders(scene: Scene) -> None:
    """Every partition of a topic gets another leader, while all nodes are well."""
    topics = scene.stage.settings.topics
    topic = scene.dice.choice([topics.state, topics.changelog, topics.actions])
    leaders = await scene.nodes.leaders()
    await scene.nodes.lead({tp: _other(scene, leader) for tp, leader in leaders.items() if tp[0] == topic})
    scene.fired("move leaders")
    await scene.recovered()


async def move_coordinators(scene: Scene) -> None:
    """Group and transactions are handed to other nodes, while all are well."""
    leaders = await scene.nodes.leaders()
    moved = [await scene.coordination(topic) for topic in (GROUPS, TRANSACTIONS)]
    await scene.nodes.lead({tp: _other(scene, leaders[tp]) for tp in moved})
    scene.fired("move coordinators")
    await scene.recovered()


async def restart_in_turn(scene: Scene) -> None:
    """An upgrade: each node in turn stops in an orderly way and comes back; the next one waits for full copies."""
    for node in scene.dice.sample(scene.nodes.numbers, k=len(scene.nodes.numbers)):
        await scene.nodes.stop(node)
        scene.fired("restart in turn")
        await scene.nodes.restart(node)
        await scene.recovered()
        await scene.nodes.whole()


async def isolate_leader(scene: Scene) -> None:
    """A leader of input or changelog is frozen until others lead; while an instance is about to read, it wakes."""
    topics = scene.stage.settings.topics
    node = await scene.leader_of(scene.dice.choice([topics.state, topics.changelog]))
    scene.nodes.freeze(node)
    scene.fired("isolate leader")
    await scene.nodes.led_without(node)
    restarted = await _restarted(scene, Fault("before read_changelog", 1, "hold"))
    await restarted.line("fault")
    scene.nodes.thaw(node)
    restarted.go()
    await scene.recovered()


async def isolate_coordinator(scene: Scene) -> None:
    """A coordinator is frozen until others coordinate, and wakes in the belief that it does."""
    node = await scene.coordinator(scene.dice.choice([GROUPS, TRANSACTIONS]))
    scene.nodes.freeze(node)
    scene.fired("isolate coordinator")
    await scene.nodes.led_without(node)
    scene.nodes.thaw(node)
    await scene.recovered()


async def lose_two_nodes(scene: Scene) -> None:
    """Nothing can be acknowledged by two copies: nobody commits until they are back."""
    lost = scene.dice.sample(scene.nodes.numbers, k=2)
    await asyncio.gather(*map(scene.nodes.kill, lost))
    scene.fired("lose two nodes")
    await scene.nodes.restart(*lost)
    await scene.recovered()


FAULTS: tuple[Callable[[Scene], Awaitable[None]], ...] = (
    kill_input_leader,
    kill_changelog_leader,
    kill_output_leader,
    kill_group_coordinator,
    kill_transaction_coordinator,
    kill_controller,
    move_leaders,
    move_coordinators,
    isolate_leader,
    isolate_coordinator,
    lose_two_nodes,
    restart_in_turn,
)


@asynccontextmanager
async def scene(kafka: EmbeddedKafka, folder: Path, seed: int, tally: Tally) -> AsyncIterator[Scene]:
    """Fresh topics on the three nodes, two instances under load; all nodes are back at the end."""
    async with nodes_of(kafka) as nodes:
        async with stage(
            kafka.bootstrap_servers, folder, seed=seed, partitions=PARTITIONS, settings=THREE_NODES_SETTINGS, live=True
        ) as made:
            instances = [await made.start(name) for name in ("one", "two")]
            await made.working(*instances)
            await made.load.send(400)  # so that every partition has something to restore and to compare
            made.load.begin(RATE)
            yield Scene(made, nodes, instances, tally)


async def broker_faults(kafka: EmbeddedKafka, folder: Path, count: int, seed: int, tally: Tally) -> None:
    """One round of at least ``count`` faults, decided by ``seed``; then the oracle compares everything.

    Every kind comes once before any comes again; a restart in turn counts as three.
    """
    before = tally.count(KIND)
    async with scene(kafka, folder, seed, tally) as made:
        while (left := count - (tally.count(KIND) - before)) > 0:
            for fault in made.dice.sample(FAULTS, k=min(left, len(FAULTS))):
                await made.committing()
                await fault(made)
                await made.nodes.whole()
        tally.checked(await made.stage.proven())


async def _restarted(scene: Scene, fault: Fault) -> Instance:
    """SIGKILL of an instance; another process under its id, with a fault planned, takes its place."""
    index = scene.dice.randrange(len(scene.instances))
    old = scene.instances[index]
    await old.kill()
    scene.instances[index] = await scene.stage.start(old.name.partition("-")[2], fault)
    return scene.instances[index]


def _other(scene: Scene, node: int) -> int:
    return scene.dice.choice([number for number in scene.nodes.numbers if number != node])
