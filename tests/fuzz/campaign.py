"""One run: the corpus first, then chunks of new inputs to pairs of processes, then what surrounds the events."""

from __future__ import annotations

import json
from collections import Counter, deque
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

from msgspec import Struct, field

from tests.fuzz.configurations import SECTIONS
from tests.fuzz.inputs import MAX_CORPUS_BYTES, SUFFIX, Case, Input, corpus_cases, write_case
from tests.fuzz.outcome import Finding
from tests.fuzz.pair import Pair, findings_of, shrunk
from tests.fuzz.worker import EVENTS, Order

CHUNK = 2_000
IN_FLIGHT = 2  # orders a pair has at once; what an answer adds to the pool goes with the order after those
# Inputs of the smaller targets, as parts of all: each input there costs as much as many events.
SHARES = {"changelogs": 0.002, "configurations": 0.005, "files": 0.005, "batches": 0.005, "replies": 0.005}
TARGET_CHUNK = 500
INPUTS_PER_FILE = 40
MAX_CORPUS_FILES = 40
MAX_FINDINGS = 10


class Report(Struct):
    """What a run did and found."""

    seed: int
    inputs: int = 0
    by_target: dict[str, int] = field(default_factory=dict)
    corpus_inputs: int = 0
    behaviours: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    findings: int = 0
    first_findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    inputs_per_s: int = 0
    cpu_s: float = 0.0

    def text(self) -> str:
        """A line for each figure."""
        return "\n".join(
            f"{name:15} {json.dumps(value, ensure_ascii=False)}"
            for name in self.__struct_fields__
            for value in [getattr(self, name)]
        )


class Campaign:
    """A run under one seed. `keep`: new behaviour is written to the corpus, cases that fail to `failures`."""

    def __init__(self, seed: int, corpus: Path, failures: Path, keep: bool) -> None:
        self.report = Report(seed)
        self.corpus = corpus
        self.failures = failures
        self.keep = keep
        self._pairs: list[Pair] = []
        self._new: list[tuple[str, Input]] = []

    def run(self, inputs: int, workers: int, target: str | None = None) -> Report:
        """Fuzz `inputs` in all with an even number of processes; a `target` alone, or events and then the others."""
        began = monotonic()
        with ExitStack() as stack:
            self._pairs = [stack.enter_context(Pair()) for _ in range(workers // 2)]
            if target is None or target == EVENTS:
                pool = self._replay_corpus()
                shares = {} if target else {name: int(inputs * share) for name, share in SHARES.items()}
                self._fuzz_events(inputs - sum(shares.values()), pool)
                for name, count in shares.items():
                    self._fuzz_target(name, count)
            else:
                self._fuzz_target(target, inputs)
            if self.keep:
                self._grow_corpus()
        report = self.report
        report.seconds = round(monotonic() - began, 2)
        report.inputs = sum(report.by_target.values())
        report.inputs_per_s = int(report.inputs / max(report.seconds, 0.01))
        report.cpu_s = round(report.cpu_s, 2)
        return report

    def repeat(self, path: Path, case: Case) -> Report:
        """One case again, under many ways to cut it into batches."""
        with Pair() as pair:
            for seed in range(20):
                findings = pair.check(case.configuration, case.inputs, seed)
                if findings:
                    self._told(f"{path}: {findings[0].text} (input {findings[0].index})")
                    break
        self.report.inputs = len(case.inputs)
        return self.report

    def _replay_corpus(self) -> list[Input]:
        """Every case under every configuration, as it is; the inputs are the first pool."""
        pool: list[Input] = []
        cases = list(corpus_cases(self.corpus))
        for case in cases:
            pool += case.inputs
        for number, name in enumerate(SECTIONS):
            pair = self._pairs[number % len(self._pairs)]
            for case in cases:
                order = Order(EVENTS, name, number, 0, inputs=case.inputs)
                pair.order(order)
                self._answered(pair, order, case.inputs)
        self.report.corpus_inputs = len(pool)
        return pool

    def _fuzz_events(self, count: int, pool: list[Input]) -> None:
        waiting: list[deque[Order]] = [deque() for _ in self._pairs]
        additions: list[list[list[Input]]] = [[pool] for _ in self._pairs]
        number = 0
        names = list(SECTIONS)
        while count > 0 or any(waiting):
            for index, pair in enumerate(self._pairs):
                # In a fixed rhythm, so that the same seed gives the same pools whatever the processes' speed.
                while count > 0 and len(waiting[index]) < IN_FLIGHT:
                    size = min(CHUNK, count)
                    count -= size
                    new = additions[index].pop(0) if additions[index] else []
                    seed = self.report.seed * 1_000_003 + number
                    order = Order(EVENTS, names[number // len(self._pairs) % len(names)], seed, size, new)
                    number += 1
                    pair.order(order)
                    waiting[index].append(order)
                if waiting[index]:
                    additions[index].append(self._answered(pair, waiting[index].popleft(), None))

    def _fuzz_target(self, name: str, count: int) -> None:
        while count > 0:
            orders = []
            for pair in self._pairs:
                seed = self.report.seed * 1_000_003 + count
                order = Order(name, "", seed, TARGET_CHUNK)
                pair.order(order)
                orders.append((pair, order))
                count -= 2 * TARGET_CHUNK
            for pair, order in orders:
                self._answered(pair, order, None)

    def _answered(self, pair: Pair, order: Order, inputs: list[Input] | None) -> list[Input]:
        """Take both answers; returns what reached new behaviour."""
        judge, twin = pair.answers()
        report = self.report
        events = order.target == EVENTS
        done = len(inputs) if inputs is not None else order.count * (1 if events else 2)
        report.by_target[order.target] = report.by_target.get(order.target, 0) + done
        report.cpu_s += judge.cpu_s + twin.cpu_s
        outcomes = Counter(report.outcomes)
        for name, amount in judge.outcome.tally.items():
            if name in ("actions", "metrics", "duplicates") or name.startswith("dead_letters"):
                outcomes[name] += int(amount)
        report.outcomes = dict(outcomes)
        report.behaviours += len(judge.outcome.discovered)
        findings = findings_of(judge, twin)
        if findings and events:
            self._tell_shrunk(order, judge.inputs, findings[0])
        for finding in findings if not events else ():
            self._told(finding.text)
        discovered = [judge.inputs[index] for index in judge.outcome.discovered]
        small = [one for one in discovered if one.size() <= MAX_CORPUS_BYTES]
        if inputs is None:
            self._new += [(order.configuration, one) for one in small]
        return small

    def _tell_shrunk(self, order: Order, inputs: list[Input], finding: Finding) -> None:
        """Find the smallest case that is still wrong, in a pair of its own; write it down and tell of it."""
        if self.report.findings >= MAX_FINDINGS:
            self.report.findings += 1
            return
        with Pair() as pair:

            def broken(candidate: list[Input]) -> bool:
                return any(pair.check(order.configuration, candidate, seed) for seed in (order.seed, 1, 2))

            fewest = shrunk(broken, inputs) if broken(inputs) else inputs
        path = write_case(self.failures, Case(order.configuration, fewest))
        shown = "\n  ".join(f"{one!r:.600}" for one in fewest[:5])
        self._told(
            f"{finding.text}, under the configuration {order.configuration!r}, with {len(fewest)} inputs:\n  {shown}\n"
            f"  again: python -m tests.fuzz --repeat {path}"
        )

    def _told(self, text: str) -> None:
        self.report.findings += 1
        if len(self.report.first_findings) < MAX_FINDINGS:
            self.report.first_findings.append(text)

    def _grow_corpus(self) -> None:
        """Keep the inputs that show by themselves what the corpus does not show yet."""
        room = MAX_CORPUS_FILES - len(list(self.corpus.glob(f"*{SUFFIX}")))
        by_configuration: dict[str, list[Input]] = {}
        for name, one in self._new:
            by_configuration.setdefault(name, []).append(one)
        for name, inputs in by_configuration.items():
            for start in range(0, len(inputs), INPUTS_PER_FILE):
                if room > 0 and not self.report.findings:
                    write_case(self.corpus, Case(name, inputs[start : start + INPUTS_PER_FILE]))
                    room -= 1
