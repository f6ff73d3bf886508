"""The formats of the changelog: none changes once it is kept, and what a version does not know it does not drop.

Who adds a field, a kind of key or a mode fails here first. The way on is always the same: raise ``FORMAT``, give new
fields defaults, and keep the new version with ``python -m tests.golden VERSION``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from processor.loop.restoring import StoredPartition
from schemas import progress, state_records
from schemas.progress import PROGRESS_KEY, RESET_PREFIX, decode_progress
from schemas.state_records import Kind, Marks, decode_marks, decode_state, encode_state
from tests.golden.formats import FAMILIES, Format, format_of_today, kept_formats
from tests.golden.kept import DIGESTS, digests, kept_applications, kept_files, read_application
from tests.golden.samples import PROGRESS, STATE_RECORDS

RECORD_OF_KIND = {
    Kind.SESSION: "SessionRecord",
    Kind.LEDGER: "LedgerRecord",
    Kind.POINTS: "BlockRecord",
    Kind.MODEL: "ModelRecord",
    Kind.SAMPLES: "BlockRecord",
    Kind.SHARED_MODEL: "ModelRecord",
    Kind.SHARED_SAMPLES: "BlockRecord",
    Kind.ERA: "EraRecord",
}


def with_one_field_more(value: bytes, *, format_: int | None = None) -> bytes:
    """As a later version may write it."""
    fields = msgspec.msgpack.decode(value)
    return msgspec.msgpack.encode([*(fields if format_ is None else [format_, *fields[1:]]), "added later"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_format_that_is_kept_still_says_the_same(family: str) -> None:
    number = str(FAMILIES[family][0])
    kept = kept_formats()[family]
    assert kept.get(number) == format_of_today(family), f"what {family} records say changed: raise its FORMAT"
    assert max(kept, key=int) == number


@pytest.mark.parametrize("family", FAMILIES)
def test_every_format_only_adds_to_the_one_before(family: str) -> None:
    numbered = sorted(kept_formats()[family].items(), key=lambda item: int(item[0]))
    assert [int(number) for number, _ in numbered] == list(range(1, len(numbered) + 1))
    for (_, earlier), (_, later) in pairwise(numbered):
        assert not what_a_reader_would_miss(earlier, later)


def what_a_reader_would_miss(earlier: Format, later: Format) -> list[str]:
    """What is not where it was, and added fields that old records leave without a value."""
    missed = []
    for name, told in earlier.items():
        now = later.get(name, [])
        missed += [f"{name}: {word}" for word, other in zip(told, [*now, *told], strict=False) if word != other]
        if not name.islower():
            missed += [f"{name}: {word}" for word in now[len(told) :] if " = " not in word]
    return missed


def test_a_format_that_takes_away_or_adds_without_a_default_is_seen() -> None:
    before = {"Record": ["format: int", "mode: int"], "modes": ["stable"]}
    assert not what_a_reader_would_miss(
        before, {"Record": [*before["Record"], "more: int = 0"], "modes": ["stable", "x"]}
    )
    assert what_a_reader_would_miss(before, {"Record": [*before["Record"], "more: int"], "modes": ["stable"]})
    assert what_a_reader_would_miss(before, {"Record": ["format: int", "step: int"], "modes": ["stable"]})
    assert what_a_reader_would_miss(before, {"Record": ["format: int"], "modes": ["stable"]})
    assert what_a_reader_would_miss(before, {"Record": before["Record"], "modes": ["x", "stable"]})


@pytest.mark.parametrize("file", kept_applications(), ids=lambda file: f"{file.parent.name}/{file.name.split('.')[0]}")
def test_every_record_that_was_ever_kept_has_exactly_the_fields_of_its_format(file: Any) -> None:
    formats = kept_formats()
    seen = 0
    for records in read_application(file).topics["changelog"].values():
        for record in records:
            assert record.key is not None
            if record.value is None or (record.key[0] == 0 and not record.key.startswith((PROGRESS_KEY, RESET_PREFIX))):
                continue
            fields = msgspec.msgpack.decode(record.value)
            if record.key[0] == 0:
                known = formats["progress"][str(fields[0])]
                name = "Progress" if record.key == PROGRESS_KEY else "Reset"
            else:
                known = formats["state"][str(fields[0])]
                name = RECORD_OF_KIND[Kind(record.key[:1])]
            assert len(fields) == len(known[name]), (record.key, name)
            seen += 1
    assert seen > 50


@pytest.mark.parametrize("name", sorted(STATE_RECORDS))
def test_a_field_that_this_format_does_not_have_is_refused_as_it_would_be_lost_when_written_again(name: str) -> None:
    record = STATE_RECORDS[name]
    with pytest.raises(ValueError, match=rf"not a {type(record).__name__}: Expected `array` of at most length"):
        decode_state(with_one_field_more(encode_state(record)), type(record))  # type: ignore[type-var]


def test_a_field_more_of_an_exploration_or_of_the_marks_is_refused_too() -> None:
    ledger = msgspec.msgpack.decode(encode_state(STATE_RECORDS["state-ledger"]))
    ledger[-1].append("added later")
    with pytest.raises(ValueError, match="at most length 12, got 13"):
        decode_state(msgspec.msgpack.encode(ledger), state_records.LedgerRecord)
    with pytest.raises(
        ValueError, match="marks of the progress record: not a Marks: Expected `array` of at most length"
    ):
        decode_marks(with_one_field_more(encode_state(Marks(state_records.FORMAT, 1, b"f"))))


@pytest.mark.parametrize("name", sorted(STATE_RECORDS))
def test_a_newer_format_is_named_whatever_it_adds(name: str) -> None:
    record = STATE_RECORDS[name]
    newer = state_records.FORMAT + 1
    with pytest.raises(ValueError, match=f"^written in format {newer}, this version reads up to {newer - 1}$"):
        decode_state(with_one_field_more(encode_state(record), format_=newer), type(record))  # type: ignore[type-var]


def test_a_newer_progress_record_is_named_with_its_version_whatever_it_adds() -> None:
    newer = progress.FORMAT + 1
    with pytest.raises(ValueError, match=rf"^written in format {newer} by version 0\.2\.0, this version reads"):
        decode_progress(with_one_field_more(progress.encode_progress(PROGRESS), format_=newer))


def test_a_kind_that_only_a_newer_version_knows_is_named_by_its_format() -> None:
    newer = state_records.FORMAT + 1
    with pytest.raises(ValueError, match=f"^state record b'xs1': written in format {newer}, this version reads up to"):
        StoredPartition().take(b"xs1", msgspec.msgpack.encode([newer, "whatever"]))
    with pytest.raises(ValueError, match=r"^state record b'xs1': unknown kind of state record$"):
        StoredPartition().take(b"xs1", None)


def test_what_is_kept_never_changes() -> None:
    """A difference means that a kept file was written again: take it back, and raise ``FORMAT``."""
    assert sorted(DIGESTS.read_text().splitlines()) == sorted(digests(kept_files()))
