"""Replay: the fold over a file of JSON lines, without a broker.

All lines are one partition: line N, counted from 0, is the record at offset N, without key, timestamp or
headers, its bytes untouched.  A line ends with ``\\n``; a last line without one counts where it is not
empty.  An empty line is an empty record, therefore a dead letter.  Memory is bounded by the sessions, not
by the file.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from time import perf_counter
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from processor.engine.ports import Fold, Header

READ_BYTES = 1 << 20


class Line(Struct, frozen=True, gc=False):
    """One line as an input record."""

    offset: int
    value: bytes
    timestamp: int = -1
    key: bytes | None = None
    headers: tuple[Header, ...] = ()


class DeadLetterLine(Struct, omit_defaults=True):
    """A dead letter as written to a file; ``value_base64`` stands for ``value`` where the bytes are not
    UTF-8."""

    code: str
    message: str
    offset: int
    value: str | None = None
    value_base64: str | None = None


class Summary(Struct):
    """What a replay did; ``dead_letters`` by code, ``explorations`` by profile, both completed and
    aborted."""

    events: int = 0
    actions: int = 0
    metrics: int = 0
    duplicates: int = 0
    dead_letters: dict[str, int] = msgspec.field(default_factory=dict)
    explorations: dict[str, int] = msgspec.field(default_factory=dict)
    cumulative_gain: float = 0.0
    seconds: float = 0.0
    events_per_s: float = 0.0


class Collected:
    """An outbox that keeps the values written, for one slice at a time."""

    def __init__(self) -> None:
        self.actions: list[bytes] = []
        self.metrics: list[bytes] = []
        self.dead_letters: list[bytes] = []

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.actions.append(value)

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        self.metrics.append(value)

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
        self.dead_letters.append(msgspec.json.encode(dead_letter_line(value, headers)))


def dead_letter_line(value: bytes | None, headers: Sequence[Header]) -> DeadLetterLine:
    """The file's form of a dead letter."""
    # The processor's own headers come first; the input's, which follow, may repeat their names.
    told: dict[str, str] = {}
    for name, content in headers:
        told.setdefault(name, content.decode("utf-8", "replace"))
    line = DeadLetterLine(told["error.code"], told["error.message"], int(told["source.offset"]))
    if value is not None:
        try:
            line.value = value.decode()
        except UnicodeDecodeError:
            line.value_base64 = b64encode(value).decode()
    return line


def replay(
    fold: Fold,
    events: BinaryIO,
    actions: BinaryIO | None = None,
    metrics: BinaryIO | None = None,
    dead_letters: BinaryIO | None = None,
) -> Summary:
    """Fold every line of ``events`` and write what comes out as JSON lines; an output of None is
    discarded."""
    started = perf_counter()
    totals: Counter[str] = Counter()
    gain = 0.0
    offset = 0
    while slice_ := events.readlines(READ_BYTES):
        lines = [Line(offset + i, line.removesuffix(b"\n")) for i, line in enumerate(slice_)]
        offset += len(lines)
        out = Collected()
        fold.process(lines, out)
        fold.changes()  # nobody stores them here: taken, so that they do not pile up
        for name, count in fold.tally().items():
            if name == "gain":
                gain += count
            else:
                totals[name] += int(count)
        for sink, values in (
            (actions, out.actions),
            (metrics, out.metrics),
            (dead_letters, out.dead_letters),
        ):
            if sink is not None and values:
                values.append(b"")
                sink.write(b"\n".join(values))
    return _summary(totals, gain, offset, perf_counter() - started)


def _summary(totals: Counter[str], gain: float, events: int, seconds: float) -> Summary:
    return Summary(
        events=events,
        actions=totals["actions"],
        metrics=totals["metrics"],
        duplicates=totals["duplicates"],
        dead_letters=_named("dead_letters.", totals),
        explorations=_named("explorations.", totals),
        cumulative_gain=gain,
        seconds=seconds,
        events_per_s=events / seconds if seconds > 0 else 0.0,
    )


def _named(prefix: str, totals: Counter[str]) -> dict[str, int]:
    return {name.removeprefix(prefix): totals[name] for name in sorted(totals) if name.startswith(prefix)}


def described(summary: Summary) -> dict[str, Any]:
    """The summary as plain values, for people and for scripts."""
    values: dict[str, Any] = msgspec.to_builtins(summary)
    return values
