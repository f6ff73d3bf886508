"""Sequences carried out on two rigs at once: every answer and everything that can be read must be equal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from processor.engine.ports import Token
from tests.contract.kafka_rig import KafkaRig
from tests.contract.operations import (
    ADD,
    ADD_OFFSETS,
    AGAIN,
    COMMIT_OFFSETS,
    END,
    GAP,
    INIT,
    JOIN,
    LEAVE,
    MIXED,
    NOBODY,
    OLDER,
    PLAIN,
    PRODUCE,
    UNCHECKED,
    Op,
)
from tests.contract.rigs import NO_TOKEN, OK, ModelRig, Rig

MARKERS_S = 10.0  # within which two brokers that do the same look the same


@dataclass
class _Actors:
    """What one rig's clients know."""

    rig: Rig
    epochs: dict[int, list[Any]] = field(default_factory=dict)
    tokens: dict[int, list[Token]] = field(default_factory=dict)
    members: dict[int, str] = field(default_factory=dict)  # who is in the group, under which id

    def epoch(self, op: Op) -> Any:
        return self.epochs[op.who][-1 - op.age]

    def token(self, op: Op) -> Token:
        known = self.tokens.get(op.who, [])
        newest = known[-1] if known else Token(1, "nobody", None, frozenset())
        if op.token == UNCHECKED:
            return NO_TOKEN
        if op.token == NOBODY:
            return newest._replace(member_id="nobody")
        if op.token == OLDER:
            return known[-2] if len(known) > 1 else newest._replace(generation=newest.generation + 7)
        if op.token == MIXED:
            others = [tokens[-1] for who, tokens in self.tokens.items() if who != op.who]
            return newest._replace(generation=others[0].generation if others else 0)
        return newest


class Pair:
    """Model and Kafka under one sequence. ``answers`` counts what was answered."""

    def __init__(self, model: Rig, kafka: Rig) -> None:
        self._actors = [_Actors(model), _Actors(kafka)]
        self._serials: Counter[int] = Counter()
        self._sequences: Counter[tuple[int, int, int]] = Counter()
        self._last: dict[tuple[int, int, int], tuple[int, list[bytes]]] = {}
        self._written = 0
        self.answers: Counter[str] = Counter()

    async def run(self, operations: Sequence[Op]) -> str | None:
        """The first difference in words, None where there is none."""
        for number, op in enumerate(operations):
            if op.kind not in (INIT, JOIN, LEAVE, PLAIN) and self._serials[op.who] <= op.age:
                continue  # there is no such epoch
            model, kafka = await self._answers(op)
            self.answers[f"{op.kind}: {model.split(' ')[0] if model.startswith(OK) else model}"] += 1
            if model != kafka:
                return f"operation {number}, {op}: the model answers {model!r}, Kafka {kafka!r}"
            if difference := await self._difference():
                return f"after operation {number}, {op}: {difference}"
        return None

    async def _answers(self, op: Op) -> tuple[str, str]:
        if op.kind in (PRODUCE, PLAIN):
            return await self._write(op)
        if op.kind == INIT:
            self._serials[op.who] += 1
        model, kafka = [await self._ask(actors, op) for actors in self._actors]
        return model, kafka

    async def _write(self, op: Op) -> tuple[str, str]:
        partition, self._written = op.partitions[0], self._written + 1
        values = [b"%d.%d" % (self._written, index) for index in range(op.size)]
        if op.kind == PLAIN:
            model, kafka = [await actors.rig.plain(partition, values[0]) for actors in self._actors]
            return model, kafka
        where = op.who, self._serials[op.who] - op.age, partition
        sequence = self._sequences[where] + (op.mode == GAP)
        if op.mode == AGAIN and where in self._last:
            sequence, values = self._last[where]
        model, kafka = [
            await actors.rig.produce(f"p{op.who}", actors.epoch(op), partition, sequence, values)
            for actors in self._actors
        ]
        if model.startswith(OK) and model == kafka:
            self._last[where] = sequence, values
            self._sequences[where] = max(self._sequences[where], sequence + len(values))
        return model, kafka

    async def _ask(self, actors: _Actors, op: Op) -> str:
        rig, name = actors.rig, f"p{op.who}"
        if op.kind == INIT:
            actors.epochs.setdefault(op.who, []).append(await rig.init(name))
            return OK
        if op.kind == ADD:
            return await rig.add(name, actors.epoch(op), op.partitions)
        if op.kind == ADD_OFFSETS:
            return await rig.add_offsets(name, actors.epoch(op))
        if op.kind == COMMIT_OFFSETS:
            positions = dict.fromkeys(op.partitions, op.position)
            return await rig.commit_offsets(name, actors.epoch(op), actors.token(op), positions)
        if op.kind == END:
            return await rig.end(name, actors.epoch(op), op.committed)
        if op.kind == LEAVE:
            return await rig.leave(op.who, actors.members.pop(op.who, "nobody"))
        tokens = await rig.join(op.who, {op.who: "", **actors.members})
        for number, token in tokens.items():
            actors.tokens.setdefault(number, []).append(token)
            actors.members[number] = token.member_id
        return f"{OK} generation {tokens[op.who].generation}"

    async def _difference(self) -> str | None:
        """Markers follow the answer in their own time: what differs at first is looked at again."""
        model, kafka = self._actors[0].rig, self._actors[1].rig
        expected, offsets = await model.seen(), await model.group_offsets()
        deadline = asyncio.get_running_loop().time() + MARKERS_S
        while True:
            found, found_offsets = await kafka.seen(), await kafka.group_offsets()
            if (found, found_offsets) == (expected, offsets):
                return None
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.005)
        for partition, (left, right) in enumerate(zip(expected, found, strict=True)):
            if left != right:
                return f"partition {partition}: the model shows {left}, Kafka {right}"
        return f"offsets of the group: the model has {offsets}, Kafka {found_offsets}"


async def compare(operations: Sequence[Op], kafka: KafkaRig) -> tuple[str | None, Counter[str]]:
    """The first difference, if any, and how often what was answered."""
    model = ModelRig()
    await kafka.begin()
    pair = Pair(model, kafka)
    try:
        return await pair.run(operations), pair.answers
    finally:
        await kafka.close()


async def shrink(operations: Sequence[Op], kafka: KafkaRig) -> list[Op]:
    """Leave out what is not needed for a difference, until nothing more can be left out."""
    smallest = list(operations)
    size = len(smallest) // 2
    while size:
        at = 0
        while at < len(smallest):
            without = smallest[:at] + smallest[at + size :]
            if (await compare(without, kafka))[0] is not None:
                smallest = without
            else:
                at += size
        size //= 2
    return smallest
