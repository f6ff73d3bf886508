"""One process of a pair: takes orders on stdin, answers on stdout, until stdin ends.

``python -m tests.fuzz.worker judge`` or ``twin``; started by `pair`, each with another seed of the hashes.
"""

from __future__ import annotations

import sys
import traceback
from random import Random
from time import process_time
from typing import BinaryIO, TypeVar

import msgspec
from msgspec import Struct

from tests.fuzz.grammar import Grammar
from tests.fuzz.inputs import Input
from tests.fuzz.outcome import Finding, Judge, Outcome
from tests.fuzz.targets import TARGETS
from tests.fuzz.twin import Twin

EVENTS = "events"
_LENGTH_BYTES = 4
_T = TypeVar("_T")


class Order(Struct):
    """Work for one process: `count` inputs from `seed`, or the `inputs` given.

    `additions` go into the pool first, whatever the target: both processes must have the same one.
    """

    target: str
    configuration: str
    seed: int
    count: int
    additions: list[Input] = []
    inputs: list[Input] | None = None


class Answer(Struct):
    """What came of an order; the judge tells its inputs too."""

    outcome: Outcome
    inputs: list[Input]
    cpu_s: float


def send(stream: BinaryIO, message: Struct) -> None:
    """One message, behind its length."""
    content = msgspec.msgpack.encode(message)
    stream.write(len(content).to_bytes(_LENGTH_BYTES, "big") + content)
    stream.flush()


def receive(stream: BinaryIO, message: type[_T]) -> _T | None:
    """The next message; None where the stream has ended."""
    head = stream.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    return msgspec.msgpack.decode(stream.read(int.from_bytes(head, "big")), type=message)


class Worker:
    """Carries out orders in one of the two roles."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.pool: list[Input] = []
        self._fold: Judge | Twin = Judge() if role == "judge" else Twin()

    def carry_out(self, order: Order) -> Answer:
        """The answer; an error of the fuzzer itself is a finding too."""
        began = process_time()
        self.pool += order.additions
        told: list[Input] = []
        try:
            if order.target == EVENTS:
                inputs = order.inputs
                if inputs is None:
                    inputs = Grammar(Random(order.seed), self.pool).inputs(order.count)
                outcome = self._fold.run(order.configuration, inputs, Random(f"{self.role} {order.seed}"))
                told = inputs if self.role == "judge" else []
            else:
                # Nothing is compared between the two here, so each takes inputs of its own.
                chunk = 2 * order.seed + (self.role == "twin")
                again = f"(again: --target {order.target} --chunk {chunk})"
                findings = TARGETS[order.target](Random(f"{order.target} {chunk}"), order.count)
                outcome = Outcome(b"", [Finding(0, f"{text} {again}") for text in findings], [], {})
        except Exception:
            outcome = Outcome(b"", [Finding(0, traceback.format_exc())], [], {})
        return Answer(outcome, told, process_time() - began)


def main() -> None:
    """Serve one parent."""
    worker = Worker(sys.argv[1])
    while (order := receive(sys.stdin.buffer, Order)) is not None:
        send(sys.stdout.buffer, worker.carry_out(order))


if __name__ == "__main__":
    main()
