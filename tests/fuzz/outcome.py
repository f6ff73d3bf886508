"""One process alone: every input folded by itself, and what came out held against the rules of the wire."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from time import thread_time_ns
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct

from processor.loop.partition import PartitionFold
from schemas.actions import Action
from schemas.codec import decode_action, decode_metric
from schemas.errors import ERROR_CODES
from tests.fuzz.configurations import settings_of
from tests.fuzz.inputs import Input, Placed, placed

TOPIC: Final = "tori.state"
PARTITION: Final = 3
MAX_CPU_NS: Final = 250_000_000
# A megabyte of nothing but one-byte containers takes a good second, and nothing takes longer.
MAX_CPU_NS_PER_BYTE: Final = 2_500
TRACED_BYTES: Final = range(16 * 1024, 128 * 1024)  # inputs of this size are folded under tracemalloc, which is slow
MAX_MEMORY_RATIO: Final = 150
MEMORY_FLOOR_BYTES: Final = 4 * 1024 * 1024
# Output topics take the input's largest record and this much more.
ALLOWANCE_BYTES: Final = 128 * 1024

Header = tuple[str, bytes]
Produced = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
Signature = tuple[object, ...]

_NUMBERS = re.compile(r"[0-9]+")
_encode = msgspec.msgpack.Encoder().encode


class Finding(Struct, frozen=True):
    """A rule that an input broke; `index` counts the inputs of the case."""

    index: int
    text: str


class Outcome(Struct):
    """What a case came to: one digest of outputs, state and marks; findings; indexes of inputs that did new things."""

    digest: bytes
    findings: list[Finding]
    discovered: list[int]
    tally: dict[str, float]


class Outputs:
    """What one record gave."""

    __slots__ = ("actions", "dead_letters", "metrics")

    def __init__(self) -> None:
        self.actions: list[Produced] = []
        self.metrics: list[Produced] = []
        self.dead_letters: list[Produced] = []

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.actions.append((key, value, headers))

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.metrics.append((key, value, headers))

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self.dead_letters.append((key, value, headers))


class Digest(NamedTuple):
    """Running digests, one for each output."""

    actions: blake2b
    metrics: blake2b
    dead_letters: blake2b

    def whole(self, changelog: dict[bytes, bytes], marks: bytes) -> bytes:
        """The digest of everything: outputs in order, the state by key, the marks."""
        rest = blake2b(marks, digest_size=16)
        for key in sorted(changelog):
            rest.update(_encode((key, changelog[key])))
        return b"".join(part.digest() for part in (*self, rest))

    @staticmethod
    def new() -> Digest:
        return Digest(blake2b(digest_size=16), blake2b(digest_size=16), blake2b(digest_size=16))

    @staticmethod
    def difference(mine: bytes, other: bytes) -> str:
        """Which of the four parts of two whole digests differ."""
        names = ("actions", "metrics", "dead letters", "state")
        return ", ".join(
            name
            for number, name in enumerate(names)
            if mine[16 * number : 16 * number + 16] != other[16 * number :][:16]
        )


class Judge:
    """Folds cases record by record; remembers between them what behaviour it has seen."""

    def __init__(self) -> None:
        self.seen: dict[Signature, None] = {}

    def run(self, configuration: str, inputs: Sequence[Input], dice: Random) -> Outcome:
        """The outcome of one case, from an empty state."""
        settings = settings_of(configuration)
        fold = PartitionFold(settings, TOPIC, PARTITION)
        limit = settings.engine.max_event_bytes + ALLOWANCE_BYTES
        digest = Digest.new()
        outcome = Outcome(b"", [], [], {})
        changelog: dict[bytes, bytes] = {}
        for record in placed(list(inputs)):
            out = Outputs()
            size = len(record.value or b"")
            try:
                if size in TRACED_BYTES:
                    self._fold_traced(fold, record, out, outcome)
                else:
                    began = thread_time_ns()
                    fold.process((record,), out)  # type: ignore[arg-type]  # header values may be null
                    spent = thread_time_ns() - began
                    if spent > MAX_CPU_NS + size * MAX_CPU_NS_PER_BYTE:
                        outcome.findings.append(Finding(record.offset, f"{spent // 1_000_000} ms of CPU time"))
            except Exception as error:
                outcome.findings.append(Finding(record.offset, f"the fold raised {error!r}"))
                return outcome
            tally = fold.tally()
            signature, complaint = _judged(record, out, tally, limit)
            if complaint is not None:
                outcome.findings.append(Finding(record.offset, complaint))
            if signature not in self.seen:
                self.seen[signature] = None
                outcome.discovered.append(record.offset)
            for name, amount in tally.items():
                outcome.tally[name] = outcome.tally.get(name, 0) + amount
            for running, produced in zip(digest, (out.actions, out.metrics, out.dead_letters), strict=True):
                for one in produced:
                    running.update(_encode(one))
            if dice.random() < 0.1:
                take_changes(fold, changelog)
        take_changes(fold, changelog)
        outcome.digest = digest.whole(changelog, fold.marks())
        return outcome

    @staticmethod
    def _fold_traced(fold: PartitionFold, record: Placed, out: Outputs, outcome: Outcome) -> None:
        size = len(record.value or b"")
        tracemalloc.start()
        try:
            fold.process((record,), out)  # type: ignore[arg-type]  # as above
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if peak > max(MEMORY_FLOOR_BYTES, MAX_MEMORY_RATIO * size):
            outcome.findings.append(Finding(record.offset, f"{peak:,} bytes of memory for an input of {size:,}"))


def take_changes(fold: PartitionFold, changelog: dict[bytes, bytes]) -> None:
    """Fold the changes since the last time into the changelog, as compaction would."""
    for key, value in fold.changes():
        if value is None:
            changelog.pop(key, None)
        else:
            changelog[key] = value


def _judged(record: Placed, out: Outputs, tally: object, limit: int) -> tuple[Signature, str | None]:
    """The signature of what one record gave, and what is wrong with it."""
    assert isinstance(tally, dict)
    actions, metrics, letters = out.actions, out.metrics, out.dead_letters
    counts = len(actions), len(metrics), len(letters)
    for produced in (*actions, *metrics, *letters):
        if _size(produced) > max(limit, _size((record.key, record.value, record.headers)) + ALLOWANCE_BYTES):
            return ("size",), f"an output of {_size(produced):,} bytes for an input of {len(record.value or b''):,}"
    code, message = "", ""
    if letters:
        key, value, headers = letters[0]
        told = dict(headers)
        code, message = _text(told["error.code"]), _text(told["error.message"])
        if counts[2] > 1 or (key, value) != (record.key, record.value) or tuple(headers[:-6]) != record.headers:
            return ("letter",), f"a dead letter that is not the input: {letters!r:.300}"
        if code not in ERROR_CODES or told["source.offset"] != b"%d" % record.offset or not message.isprintable():
            return ("letter",), f"a dead letter with wrong headers: {headers!r:.300}"
        if code != "state_invalid":
            if actions or metrics:
                return ("letter",), f"a dead letter {code} and an action"
            return ("dead", code, _shape(message)), None
    if not actions:
        if metrics or tally.get("duplicates") != 1:
            return ("nothing",), f"neither an action nor a dead letter nor a duplicate: {tally}"
        return ("duplicate",), None
    try:
        return _answered(record, out, code, message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return ("output",), f"an output does not decode: {error!r}"


def _answered(record: Placed, out: Outputs, code: str, message: str) -> tuple[Signature, str | None]:
    key, value, headers = out.actions[0]
    assert value is not None
    msgpack = ("content-type", b"application/msgpack") in headers
    action = decode_action(value, msgpack=msgpack)
    if len(out.actions) > 1 or len(out.metrics) > 1:
        return ("many",), "more than one answer"
    if key != action.session_id.encode() or (record.key and key != record.key):
        return ("key",), f"the action's key is {key!r}, its session {action.session_id!r}, the input's {record.key!r}"
    if headers[0] != ("source.offset", b"%d" % record.offset):
        return ("headers",), f"the action's headers are {headers}"
    if (code != "") != (action.error is not UNSET) or (code and (out.metrics or action.error != message)):
        return ("error",), f"dead letter {code!r} {message!r}, action's error {action.error!r}"
    metric = None
    if out.metrics:
        metric_key, metric_value, metric_headers = out.metrics[0]
        assert metric_value is not None
        metric = decode_metric(metric_value, msgpack=msgpack)
        if metric_key != key or metric_headers != headers or metric.session_id != action.session_id:
            return ("metric",), "a metric of another session"
    wrong = _out_of_bounds(action)
    ended = action.completed_injection
    signature = (
        *(action.action, action.reason, msgpack, metric is not None, tuple(action.warnings or ()), _shape(message)),
        *(action.profile, None if ended is UNSET else ended.end_reason),
        None if action.experiment is UNSET else action.experiment.group,
    )
    return signature, wrong


def _out_of_bounds(action: Action) -> str | None:
    factor = action.current_factor
    if factor is not UNSET and not 0.0 <= factor <= 1.0:
        return f"a current factor of {factor}"
    if action.entropy_factor is not UNSET and not 0.1 <= action.entropy_factor <= 0.9:
        return f"an entropy factor of {action.entropy_factor}"
    if action.progress is not UNSET and not 0.0 <= action.progress <= 1.0:
        return f"a progress of {action.progress}"
    return None


def _text(content: bytes | None) -> str:
    return (content or b"").decode()


def _size(produced: Produced) -> int:
    key, value, headers = produced
    return len(key or b"") + len(value or b"") + sum(len(name) + len(content or b"") for name, content in headers)


def _shape(message: str) -> str:
    return _NUMBERS.sub("#", message)[:80]
