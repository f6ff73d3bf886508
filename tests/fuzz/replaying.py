"""Files of events that are none: every line is counted once, and what is written is JSON lines."""

from __future__ import annotations

import io
import json
from random import Random

from processor.surfaces.folds import partition_fold
from processor.surfaces.replay import replay
from tests.fuzz.configurations import settings_of
from tests.fuzz.damage import damaged
from tests.fuzz.grammar import Grammar

LINES_PER_FILE = 50
_SEPARATORS = (b"\n", b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\r", b"\x00", b"\x85", b"\xe2\x80\xa8", b"\x0c", b"")


def fuzz_files(dice: Random, count: int) -> list[str]:
    """Files of `count` inputs in all; the grammar's JSON and MessagePack, cut into lines that need not be its own."""
    findings = []
    for start in range(0, count, LINES_PER_FILE):
        inputs = Grammar(dice, (), large=False).inputs(min(LINES_PER_FILE, count - start))
        content = b"".join((one.value or b"") + dice.choice(_SEPARATORS) for one in inputs)
        if dice.random() < 0.3:
            content = damaged(dice, content, content[::-1])
        complaint = _complaint(content)
        if complaint is not None:
            findings.append(f"file {content!r:.2000}: {complaint}")
    return findings


def _complaint(content: bytes) -> str | None:
    actions, metrics, letters = io.BytesIO(), io.BytesIO(), io.BytesIO()
    fold = partition_fold(settings_of("history"), 0)
    try:
        summary = replay(fold, io.BytesIO(content), actions, metrics, letters)
    except Exception as error:
        return f"the replay raised {error!r}"
    lines = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    refused = summary.dead_letters.get("state_invalid", 0)
    answered = summary.actions + summary.duplicates + sum(summary.dead_letters.values()) - refused
    if not summary.events == lines == answered:
        return f"{lines} lines, {summary.events} events, {answered} answered"
    for written, expected in (
        (actions, summary.actions),
        (metrics, summary.metrics),
        (letters, sum(summary.dead_letters.values())),
    ):
        rows = written.getvalue().split(b"\n")
        if rows.pop() != b"" or len(rows) != expected:
            return f"{len(rows)} rows where {expected} are expected"
        for row in rows:
            try:
                json.loads(row)
            except ValueError as error:
                return f"a row that is no JSON: {row!r:.300} ({error})"
    return None
