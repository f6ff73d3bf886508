"""Random sequences of what clients of a broker may do, right and wrong.

An operation names its actors by number, never by what a broker answered, so every sequence, and every part of one,
can be carried out anywhere.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

PRODUCERS = 2
MEMBERS = 2
PARTITIONS = 3

INIT, ADD, PRODUCE, ADD_OFFSETS, COMMIT_OFFSETS, END = "init", "add", "produce", "add offsets", "commit offsets", "end"
JOIN, LEAVE, PLAIN = "join", "leave", "plain"

NEXT, AGAIN, GAP = "next", "again", "gap"  # which sequence numbers a batch carries
OURS, OLDER, NOBODY, UNCHECKED, MIXED = "ours", "older", "nobody", "unchecked", "mixed"  # which token goes with offsets


class Op(NamedTuple):
    """One request. ``age``: in how old an epoch of the producer (0: its newest).

    ``partitions`` are written or added; ``mode`` and ``size`` are of a batch, ``token`` and ``position`` of offsets,
    ``committed`` of an end.
    """

    kind: str
    who: int
    age: int = 0
    partitions: tuple[int, ...] = ()
    mode: str = NEXT
    size: int = 1
    token: str = OURS
    position: int = 0
    committed: bool = True


def sequence(seed: int, length: int = 24) -> list[Op]:
    """Half of it is a client's usual way, with a twist now and then; half of it is anything."""
    random = Random(seed)
    began = [False] * PRODUCERS
    operations = [Op(JOIN, 0)] if random.random() < 0.7 else []
    while len(operations) < length:
        who = random.randrange(PRODUCERS)
        draw = random.random()
        if draw < 0.1:
            operations.append(Op(random.choice([JOIN, JOIN, LEAVE]), random.randrange(MEMBERS)))
        elif draw < 0.14:
            operations.append(Op(PLAIN, 0, partitions=(random.randrange(PARTITIONS),)))
        elif not began[who]:
            began[who] = True
            operations.append(Op(INIT, who))
        elif draw < 0.6:
            operations += _transaction(random, who)
        else:
            operations.append(_anything(random, who))
            if random.random() < 0.3:
                operations.append(operations[-1])  # repeated
    return operations[:length]


def _transaction(random: Random, who: int) -> list[Op]:
    """The usual way, perhaps not to its end."""
    partitions = tuple(sorted(random.sample(range(PARTITIONS), random.randint(1, PARTITIONS))))
    steps = [Op(ADD, who, partitions=partitions)]
    steps += [Op(PRODUCE, who, partitions=(p,), size=random.randint(1, 3)) for p in partitions]
    if random.random() < 0.7:
        steps.append(Op(ADD_OFFSETS, who))
        steps.append(Op(COMMIT_OFFSETS, who, partitions=partitions, position=random.randrange(100)))
    steps.append(Op(END, who, committed=random.random() < 0.7))
    at = random.randrange(len(steps))
    twist = random.random()
    if twist < 0.15:
        # The client is restarted; what it had sent before arrives late.
        steps = [*steps[:at], Op(INIT, who), *(step._replace(age=1) for step in steps[at:])]
    elif twist < 0.3:
        steps.insert(at, steps[at])
    elif twist < 0.5:
        steps = [step._replace(mode=random.choice([NEXT, AGAIN, GAP])) for step in steps]
    return steps[: random.randint(1, 3 * len(steps))]


def _anything(random: Random, who: int) -> Op:
    kind = random.choice([INIT, ADD, PRODUCE, PRODUCE, ADD_OFFSETS, COMMIT_OFFSETS, COMMIT_OFFSETS, END, END])
    return Op(
        kind,
        who,
        random.choice([0, 0, 0, 1, 1, 2]),
        (random.randrange(PARTITIONS),),
        random.choice([NEXT, NEXT, AGAIN, GAP]),
        random.randint(1, 2),
        random.choice([OURS, OURS, OLDER, NOBODY, UNCHECKED, MIXED]),
        random.randrange(100),
        random.random() < 0.6,
    )
