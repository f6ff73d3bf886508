"""Fuzzing as a test: the corpus and a slice of new inputs, and that the fuzzer would notice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
import pytest

from processor.loop.partition import PartitionFold
from schemas.actions import Action
from schemas.codec import encode_json
from tests.fuzz.campaign import Campaign
from tests.fuzz.configurations import SECTIONS
from tests.fuzz.grammar import Grammar
from tests.fuzz.inputs import CORPUS, Case, Input, corpus_cases, read_case, write_case
from tests.fuzz.outcome import Judge, Outcome
from tests.fuzz.pair import shrunk
from tests.fuzz.targets import TARGETS
from tests.fuzz.twin import Twin

SMALL = {"changelogs": 300, "configurations": 600, "files": 1000, "batches": 800, "replies": 1500}


@pytest.mark.timeout(300)
def test_the_corpus_and_new_events_break_no_rule_and_two_workers_agree(tmp_path: Path) -> None:
    report = Campaign(1, CORPUS, tmp_path, keep=False).run(15_000, 2, "events")
    assert report.first_findings == []
    assert report.findings == 0
    assert report.corpus_inputs > 200
    assert {name for name in report.outcomes if name.startswith("dead_letters")} == {
        f"dead_letters.{code}"
        for code in (
            *("not_decodable", "content_type", "too_large", "too_deep", "no_session", "session_mismatch"),
            *("bad_sequence", "bad_timestamp", "state_invalid"),
        )
    }


@pytest.mark.timeout(120)
@pytest.mark.parametrize("target", list(TARGETS))
def test_damage_around_the_events_is_refused_by_name(target: str) -> None:
    assert TARGETS[target](Random(7), SMALL[target]) == []


def digests(configuration: str, inputs: list[Input]) -> tuple[Outcome, Outcome]:
    return Judge().run(configuration, inputs, Random(1)), Twin().run(configuration, inputs, Random(1))


def test_the_same_seed_gives_the_same_inputs_and_the_same_outcome() -> None:
    one, two = (Grammar(Random(5), (), large=False).inputs(500) for _ in range(2))
    assert one == two
    assert digests("history", one) == digests("history", two)


class Forgetful(PartitionFold):
    """Keeps what a restart must not lose in memory alone: how many records it has seen."""

    seen = 0

    def process(self, records, out):  # type: ignore[no-untyped-def]
        self.seen += len(records)
        self.stream_time_ms += self.seen > 300
        super().process(records, out)


class Careless(PartitionFold):
    """Lets an error of the bytes escape."""

    def process(self, records, out):  # type: ignore[no-untyped-def]
        if any(record.value == b"" for record in records):
            raise ValueError("empty")
        super().process(records, out)


class Silent(PartitionFold):
    """Swallows what it cannot read."""

    def _dead_letter(self, record, error, out):  # type: ignore[no-untyped-def]
        if error.code != "not_decodable":
            super()._dead_letter(record, error, out)


class Hashing(PartitionFold):
    """Its action depends on the seed of the hashes, as the order of a set does; here: on the process."""

    def _refuse(self, record, event, session, message, headers, out):  # type: ignore[no-untyped-def]
        super()._refuse(record, event, session, f"{message} {id(self)}", headers, out)


@pytest.mark.parametrize("broken", [Forgetful, Careless, Silent, Hashing])
def test_a_broken_fold_is_noticed(broken: type[PartitionFold], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.outcome.PartitionFold", broken)
    monkeypatch.setattr("tests.fuzz.twin.PartitionFold", broken)
    judge, twin = digests("quick", Grammar(Random(2), (), large=False).inputs(1500))
    assert judge.findings or twin.findings or judge.digest != twin.digest


def test_an_output_nobody_can_read_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(record: object) -> bytes:
        return encode_json(record) if not isinstance(record, Action) else encode_json(record)[:-1]

    monkeypatch.setattr("processor.loop.partition.encode_json", encode)
    value = b'{"session_id":"s","state":{"novelty":0.5,"aesthetic_score":0.5}}'
    assert "does not decode" in Judge().run("quick", [Input(value)], Random(1)).findings[0].text


def test_a_case_that_fails_shrinks_to_what_makes_it_fail() -> None:
    inputs = Grammar(Random(3), (), large=False).inputs(200)
    inputs[120] = Input(b'{"session_id":"bad","state":{}}', b"key", (("own", b"x"),), 7)
    assert shrunk(lambda some: any(b"bad" in (one.value or b"") for one in some), inputs) == [Input(b"bad")]


def test_a_case_is_read_as_it_was_written(tmp_path: Path) -> None:
    case = Case("quick", Grammar(Random(4), (), large=False).inputs(50))
    assert read_case(write_case(tmp_path, case)) == case
    path = tmp_path / "x.case"
    path.write_bytes(msgspec.msgpack.encode([1]))
    with pytest.raises(ValueError, match="no case of the fuzzer"):
        read_case(path)


def test_every_configuration_has_cases_of_its_own() -> None:
    assert {case.configuration for case in corpus_cases(CORPUS)} == set(SECTIONS)
