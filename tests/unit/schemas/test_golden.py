"""Golden bytes: what a version wrote is read for ever, unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tests.golden
from schemas.actions import Action, CompletedInjection, DebugRecord, Experiment
from schemas.codec import decode_action, decode_metric, encode
from schemas.dead_letters import DeadLetterHeaders
from schemas.events import StateFields, decode_event
from schemas.metrics import CurrentInjection, HistoryPoint, Metric, PerformanceTrend
from schemas.progress import decode_progress, decode_reset, encode_progress, encode_reset
from schemas.state_records import decode_state, encode_state
from tests.golden.samples import RECORDS, STATE_RECORDS, golden_files

FOLDER = Path(tests.golden.__file__).parent
VERSIONS = sorted(
    (path.name for path in FOLDER.iterdir() if path.name[0].isdigit()),
    key=lambda version: [int(part) for part in version.split(".")],
)
RECORD_FILES = sorted(
    path for path in FOLDER.glob("*/*") if path.name.startswith(("action-", "metric-")) and path.is_file()
)


def plain(value: bytes, *, msgpack: bool) -> Any:
    return msgspec.msgpack.decode(value) if msgpack else json.loads(value)


@pytest.mark.parametrize("path", RECORD_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_kept_record_is_read_without_loss(path: Path) -> None:
    msgpack = path.suffix == ".msgpack"
    value = path.read_bytes()
    decode = decode_action if path.name.startswith("action-") else decode_metric
    again = encode(decode(value, msgpack=msgpack), msgpack=msgpack)
    assert plain(again, msgpack=msgpack) == plain(value, msgpack=msgpack)


@pytest.mark.parametrize("path", RECORD_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_both_formats_of_a_kept_record_say_the_same(path: Path) -> None:
    twin = path.with_suffix(".json" if path.suffix == ".msgpack" else ".msgpack")
    assert plain(path.read_bytes(), msgpack=path.suffix == ".msgpack") == plain(
        twin.read_bytes(), msgpack=twin.suffix == ".msgpack"
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("msgpack", [False, True])
def test_every_kept_event_is_read_with_all_its_fields(version: str, msgpack: bool) -> None:
    value = (FOLDER / version / ("state-event.msgpack" if msgpack else "state-event.json")).read_bytes()
    expected = plain(value, msgpack=msgpack)
    event = decode_event(value, b"s1", msgpack=msgpack)
    assert (event.session_id, event.sequence, event.timestamp) == ("s1", 42, "2026-01-01T00:00:00Z")
    assert isinstance(event.state, StateFields)
    assert {name: getattr(event.state, name) for name in expected["state"]} == expected["state"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kept_dead_letter_has_headers_of_today(version: str) -> None:
    headers = dict(json.loads((FOLDER / version / "dead-letter-headers.json").read_bytes()))
    assert msgspec.convert(headers, DeadLetterHeaders).source_offset == "9"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(STATE_RECORDS))
def test_every_kept_state_record_is_restored(version: str, name: str) -> None:
    """By the changelog's rule: fields are only added, so what was kept is a prefix of what is known today."""
    value = (FOLDER / version / f"{name}.msgpack").read_bytes()
    restored = decode_state(value, type(STATE_RECORDS[name]))  # type: ignore[type-var]
    kept = msgspec.msgpack.decode(value)
    assert msgspec.msgpack.decode(encode_state(restored))[: len(kept)] == kept


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kept_progress_record_is_restored(version: str) -> None:
    value = (FOLDER / version / "progress.msgpack").read_bytes()
    assert decode_progress(value).next_offset == 10
    kept = msgspec.msgpack.decode(value)
    assert msgspec.msgpack.decode(encode_progress(decode_progress(value)))[: len(kept)] == kept


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kept_reset_is_read(version: str) -> None:
    value = (FOLDER / version / "reset.msgpack").read_bytes()
    assert (decode_reset(value).previous_offset, decode_reset(value).next_offset) == (10, 25)
    kept = msgspec.msgpack.decode(value)
    assert msgspec.msgpack.decode(encode_reset(decode_reset(value)))[: len(kept)] == kept


def test_the_newest_version_is_what_is_written_today() -> None:
    newest = FOLDER / VERSIONS[-1]
    kept = {path.name: path.read_bytes() for path in newest.iterdir()}
    assert golden_files() == kept, "the wire changed: add fields with defaults, keep a new version's bytes"


@pytest.mark.parametrize(
    "struct",
    [
        Action,
        CompletedInjection,
        CurrentInjection,
        DebugRecord,
        Experiment,
        HistoryPoint,
        Metric,
        PerformanceTrend,
    ],
)
def test_every_field_is_in_use_in_a_sample(struct: type[msgspec.Struct]) -> None:
    seen: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, msgspec.Struct):
            if type(node) is struct:
                seen.update(name for name in node.__struct_fields__ if getattr(node, name) is not msgspec.UNSET)
            for name in node.__struct_fields__:
                collect(getattr(node, name))
        elif isinstance(node, list):
            for item in node:
                collect(item)

    for record in RECORDS.values():
        collect(record)
    assert seen == set(struct.__struct_fields__)


def test_fields_of_later_versions_are_ignored() -> None:
    assert (
        decode_action(
            b'{"session_id":"s","action":"recover","mode":"recovering","steps_in_mode":1,"step":2,"later":[1]}'
        ).step
        == 2
    )
