"""Two processes that must agree, and what is done where they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import BinaryIO, cast

from tests.fuzz.inputs import Input
from tests.fuzz.outcome import Digest, Finding
from tests.fuzz.worker import EVENTS, Answer, Order, receive, send

HASH_SEEDS = {"judge": "1", "twin": "20011"}
MAX_SHRINK_TRIES = 400


class Pair:
    """A judge and a twin; orders go to both at once. A context manager: leaving it ends both."""

    def __init__(self) -> None:
        self._processes = {role: _started(role) for role in HASH_SEEDS}

    def __enter__(self) -> Pair:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            if kind is not None:
                process.kill()
            with process:
                cast(BinaryIO, process.stdin).close()

    def order(self, order: Order) -> None:
        """Send one order to both."""
        for process in self._processes.values():
            send(cast(BinaryIO, process.stdin), order)

    def answers(self) -> tuple[Answer, Answer]:
        """The answers of judge and twin to the oldest order not yet answered."""
        judge, twin = (self._answer(role) for role in HASH_SEEDS)
        return judge, twin

    def _answer(self, role: str) -> Answer:
        process = self._processes[role]
        answer = receive(cast(BinaryIO, process.stdout), Answer)
        if answer is None:
            raise RuntimeError(f"the {role} process ended with {process.wait()}: its own words are above")
        return answer

    def check(self, configuration: str, inputs: Sequence[Input], seed: int) -> list[Finding]:
        """What is wrong with these inputs in this order."""
        self.order(Order(EVENTS, configuration, seed, 0, inputs=list(inputs)))
        return findings_of(*self.answers())


def findings_of(judge: Answer, twin: Answer) -> list[Finding]:
    """The findings of both, and the difference between them."""
    findings = [*judge.outcome.findings, *twin.outcome.findings]
    if not findings and judge.outcome.digest != twin.outcome.digest:
        what = Digest.difference(judge.outcome.digest, twin.outcome.digest)
        findings.append(Finding(0, f"two workers differ in: {what}"))
    return findings


def shrunk(broken: Callable[[list[Input]], bool], inputs: list[Input]) -> list[Input]:
    """The fewest and shortest inputs still `broken`, within a number of tries."""
    tries = 0

    def fails(candidate: list[Input]) -> bool:
        nonlocal tries
        tries += 1
        return tries <= MAX_SHRINK_TRIES and broken(candidate)

    size = len(inputs) // 2
    while size:
        start = 0
        while start < len(inputs) and len(inputs) > 1:
            candidate = inputs[:start] + inputs[start + size :]
            if candidate and fails(candidate):
                inputs = candidate
            else:
                start += size
        size //= 2
    for index in range(len(inputs)):
        for shorter in _plainer:
            candidate = list(inputs)
            candidate[index] = shorter(inputs[index])
            if candidate[index] != inputs[index] and fails(candidate):
                inputs = candidate
        value = inputs[index].value or b""
        size = len(value) // 2
        while size:
            start = 0
            while start < len(value):
                less = value[:start] + value[start + size :]
                one = inputs[index]
                candidate = [*inputs[:index], Input(less, one.key, one.headers, one.timestamp), *inputs[index + 1 :]]
                if fails(candidate):
                    inputs, value = candidate, less
                else:
                    start += size
            size //= 2
    return inputs


_plainer: tuple[Callable[[Input], Input], ...] = (
    lambda one: Input(one.value, None, one.headers, one.timestamp),
    lambda one: Input(one.value, one.key, (), one.timestamp),
    lambda one: Input(one.value, one.key, one.headers, -1),
)


def _started(role: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.worker", role],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": HASH_SEEDS[role]},
    )
