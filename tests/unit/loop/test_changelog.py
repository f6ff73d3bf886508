"""State records: small, refused where they are not what they should be, kept through another window."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from processor.config import Settings, settings_from
from processor.errors import Refused
from schemas.state_records import FORMAT, Kind, parse_state_key, state_key
from tests.unit.loop.play import CALM, NOVEL
from tests.unit.loop.streams import Collected, Record, Run, apply_changes, restored, run, state_records, without_eras

BUSY = {"loop": {"max_exploration_steps": 10, "recovery_steps": 0, "stable_patience_steps": 1}}


def busy(count: int = 400, **sections: Any) -> tuple[Settings, Run]:
    settings = settings_from({**BUSY, **sections})
    states = [(f"s{number % 2}", {**NOVEL, "aesthetic_score": 0.5 + number % 7 / 20}) for number in range(count)]
    return settings, run(settings, state_records(states), range(37, count, 37))


def test_core_record_of_a_session_stays_small() -> None:
    result = run(Settings(), state_records([("session-with-a-name", CALM)] * 1000), range(1000))
    sizes = {len(value) for key, value in result.changelog.items() if key[:1] == Kind.SESSION.value}
    assert max(sizes) < 350


def test_full_blocks_are_written_once() -> None:
    records = state_records([("s", CALM)] * 160)
    settings = settings_from({"loop": {"stable_patience_steps": 0}})
    fold = run(settings, []).fold
    writes: dict[bytes, int] = {}
    for record in records:
        fold.process([record], Collected())
        for key, _ in fold.changes():
            writes[key] = writes.get(key, 0) + 1
    blocks = {key: count for key, count in writes.items() if key[:1] == Kind.POINTS.value}
    assert sum(blocks.values()) == 10
    assert writes[state_key(Kind.SESSION, b"s")] == 160
    assert writes.pop(state_key(Kind.ERA, slot=0)) == 1
    assert len(writes) == 1 + len(blocks)


def test_changes_name_only_what_changed_since_the_last_call() -> None:
    fold = run(Settings(), state_records([("a", CALM), ("b", CALM)])).fold
    assert list(fold.changes()) == []
    fold.process(state_records([("b", CALM)]), Collected())
    assert [key for key, _ in fold.changes()] == [b"sb"]
    fold.process(state_records([("b", [])]), Collected())
    assert list(fold.changes()) == []


def test_changes_come_in_the_order_sessions_were_touched() -> None:
    fold = run(Settings(), []).fold
    names = [f"s{number * 7 % 50}" for number in range(50)]
    fold.process(state_records([(name, CALM) for name in names]), Collected())
    era, *sessions = [key for key, _ in fold.changes()]
    assert parse_state_key(era).kind is Kind.ERA
    assert sessions == [b"s" + name.encode() for name in names]


@pytest.mark.parametrize(
    ("before", "after"), [(100, 20), (20, 100), (100, 1000), (1000, 2), (2, 3), (16, 17), (100, 101)]
)
def test_another_trend_window_keeps_the_points_it_knows(before: int, after: int) -> None:
    def settings(window: int) -> Settings:
        return settings_from(
            {"loop": {"stable_patience_steps": 0}, "streaming": {"trend_window": window, "interval_steps": 1}}
        )

    def state(number: int) -> tuple[str, Any]:
        return "s", {**CALM, "novelty": 0.3 + 0.001 * (number * number % 300)}

    states = [state(number) for number in range(500)]
    old = run(settings(before), state_records(states), range(0, 500, 7))
    changelog = dict(old.changelog)
    fold = restored(settings(after), changelog, old.marks)
    assert fold.configuration_changed
    expected = run(settings(after), state_records([*states, *map(state, range(500, 1600))]))
    # As many points as both windows hold are known at once; a wider window fills up with time.
    known = min(before, after)
    for number in range(500, 1600):
        out = Collected()
        record = state_records([state(number)])[0]
        record.offset = number
        fold.process([record], out)
        apply_changes(changelog, fold.changes())
        if after <= known + number - 500 + 1:
            assert out.metrics[0].json() == expected.out.metrics[number].json()
        if number % 400 == 0:
            fold = restored(settings(after), changelog, fold.marks())
    assert without_eras(changelog) == without_eras(expected.changelog) or after > before
    slots = {parse_state_key(key).slot for key in changelog if key[:1] == Kind.POINTS.value}
    assert slots == set(range(fold.rules.point_capacity // 16 - 1))


@pytest.mark.parametrize(("before", "after"), [(40, 10), (10, 40)])
def test_another_model_window_keeps_the_samples_it_knows(before: int, after: int) -> None:
    quality = {"min_samples": 5, "retrain_interval": 1}
    _, old = busy(1200, quality={**quality, "max_history": before})
    settings = settings_from({**BUSY, "quality": {**quality, "max_history": after}})
    changelog = dict(old.changelog)
    fold = restored(settings, changelog, old.marks)
    states = [("s0", {**NOVEL, "aesthetic_score": 0.5 + number % 5 / 20}) for number in range(1000)]
    for start in range(0, 1000, 50):
        fold.process(state_records(states[start : start + 50]), Collected())
        apply_changes(changelog, fold.changes())
    again = restored(settings, changelog, fold.marks())
    model, twin = fold.sessions["s0"].model, again.sessions["s0"].model
    assert model is not None
    assert twin is not None
    assert (twin.count, twin.weights) == (model.count, model.weights)
    setup = fold.rules.model
    for number in range(model.count - after, model.count):
        assert twin.sample(setup, number) == model.sample(setup, number)
    slots = {parse_state_key(key).slot for key in changelog if key[:1] == Kind.SAMPLES.value and key.endswith(b"s0")}
    assert slots == set(range(fold.rules.model.capacity // 16 - 1))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({"streaming": {"trend_window": 2}}, {"streaming": {"trend_window": 1000}}),
        ({"quality": {"min_samples": 1, "max_history": 1}}, {"quality": {"min_samples": 1, "max_history": 500}}),
    ],
)
def test_windows_widened_and_narrowed_leave_nothing_of_a_forgotten_session(
    narrow: dict[str, Any], wide: dict[str, Any]
) -> None:
    quick = {"min_exploration_steps": 1, "max_exploration_steps": 1, "recovery_steps": 0, "stable_patience_steps": 1}
    changelog: dict[bytes, bytes] = {}
    marks = b""
    offset = 0
    for sections, session, count, time_ms in [
        (narrow, "s", 300, 0),
        (wide, "s", 4, 0),
        (narrow, "s", 4, 0),
        (narrow, "later", 1, 2000),
        (narrow, "later", 1, 2000),
    ]:
        fold = restored(settings_from({**sections, "loop": quick, "engine": {"session_ttl": "1s"}}), changelog, marks)
        records = state_records([(session, NOVEL)] * count)
        for record in records:
            record.offset, record.timestamp = offset, time_ms
            offset += 1
        fold.process(records, Collected())
        apply_changes(changelog, fold.changes())
        marks = fold.marks()
    assert {parse_state_key(key).session_id for key in without_eras(changelog)} == {"later"}


@pytest.mark.parametrize("mode", ["static", "adaptive"])
def test_exploration_of_a_profile_that_is_gone_goes_on_as_constant(mode: str) -> None:
    custom = {"custom": {"rising": "tests.unit.loop.customs:rising"}, "selection": "rising"}
    old = run(settings_from({"profiles": custom}), state_records([("s", NOVEL)]))
    fold = restored(settings_from({"profiles": {"params_mode": mode}}), old.changelog, old.marks)
    out = Collected()
    record = state_records([("s", NOVEL)])[0]
    record.offset = 1
    fold.process([record], out)
    action = out.actions[0].json()
    assert (action["action"], action["profile"]) == ("continue_exploration", "rising")
    assert action["warnings"] == ["profile_error"]
    assert action["current_factor"] == action["entropy_factor"]


def test_history_switched_on_later_starts_without_the_old_timestamps() -> None:
    old = run(settings_from({"streaming": {"interval_steps": 1}}), state_records([("s", CALM)] * 20))
    settings = settings_from({"streaming": {"interval_steps": 1, "include_history": True}})
    fold = restored(settings, old.changelog, old.marks)
    out = Collected()
    value = json.dumps({"session_id": "s", "timestamp": "now", "state": CALM}).encode()
    fold.process([Record(value, 20)], out)
    history = out.metrics[0].json()["performance_history"]
    assert len(history) == 21
    assert "timestamp" not in history[0]
    assert history[-1]["timestamp"] == "now"


@pytest.mark.parametrize(
    ("mode", "profile", "group"),
    [("off", "pulse", None), ("ab", "constant", "control"), ("rollout", "pulse", "enhanced")],
)
def test_group_of_another_kind_of_experiment_does_not_live_on(mode: str, profile: str, group: str | None) -> None:
    control = {"mode": "ab", "treatment_share": 0.0}
    old = run(settings_from({"experiment": control}), state_records([("s", CALM)]))
    share = {"treatment_share": 0.0, "enhancement_percentage": 1.0}
    fold = restored(settings_from({"experiment": {"mode": mode, **share}}), old.changelog, old.marks)
    out = Collected()
    fold.process(state_records([("s", {**CALM, "novelty": 0.1})]), out)
    action = out.actions[0].json()
    assert action["profile"] == profile
    assert action.get("experiment", {}).get("group") == group


# Refusals


def newer(value: bytes) -> bytes:
    fields = msgspec.msgpack.decode(value)
    fields[0] = FORMAT + 1
    return msgspec.msgpack.encode([*fields, "a field of the future"])


@pytest.mark.parametrize("kind", list(Kind))
def test_newer_state_is_refused_by_name(kind: Kind) -> None:
    scope = "shared" if kind in (Kind.SHARED_MODEL, Kind.SHARED_SAMPLES) else "session"
    settings, result = busy(quality={"scope": scope})
    key = next(key for key in result.changelog if key[:1] == kind.value)
    changelog = {**result.changelog, key: newer(result.changelog[key])}
    with pytest.raises(Refused, match=r"tori\.state partition 3.*format 2, this version reads up to 1"):
        restored(settings, changelog, result.marks)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_corrupt_state_is_refused(kind: Kind, damage: str) -> None:
    scope = "shared" if kind in (Kind.SHARED_MODEL, Kind.SHARED_SAMPLES) else "session"
    settings, result = busy(quality={"scope": scope})
    key = next(key for key in result.changelog if key[:1] == kind.value)
    value = result.changelog[key]
    bad = {"cut": value[: len(value) // 2], "other": b"\x93\x01\x02\x03", "empty": b""}[damage]
    with pytest.raises(Refused, match=r"changelog of tori\.state partition 3"):
        restored(settings, {**result.changelog, key: bad}, result.marks)


@pytest.mark.parametrize("kind", [Kind.SESSION, Kind.LEDGER, Kind.POINTS, Kind.SAMPLES])
def test_missing_part_of_a_session_is_refused(kind: Kind) -> None:
    # Just after an injection, so that the ledger is needed.
    settings, result = busy(401)
    doomed = next(key for key in result.changelog if key[:1] == kind.value)
    changelog = {key: value for key, value in result.changelog.items() if key != doomed}
    session = result.fold.sessions[parse_state_key(doomed).session_id]
    if kind is Kind.LEDGER and session.mode != "exploring":
        session.mode = "exploring"
        session.dirty = True
        result.fold._dirty.append(session)
        apply_changes(changelog, result.fold.changes())
    with pytest.raises(Refused, match="missing"):
        restored(settings, changelog, result.marks)


def test_stale_block_in_a_slot_is_noticed() -> None:
    settings, result = busy()
    keys = [key for key in result.changelog if key[:1] == Kind.POINTS.value and key.endswith(b"s0")]
    changelog = {**result.changelog, keys[0]: result.changelog[keys[1]]}
    with pytest.raises(Refused, match="block"):
        restored(settings, changelog, result.marks)


@pytest.mark.parametrize("key", [b"", b"z", b"\xff\xfe", b"s", b"p\x00", b"Mshared", b"s\xff", b"e\x00"])
def test_unknown_key_is_refused(key: bytes) -> None:
    fold = run(Settings(), []).fold
    with pytest.raises(Refused):
        fold.restore(key, b"\x90")


@pytest.mark.parametrize("marks", [b"\xff", msgspec.msgpack.encode([2, 0, b""]), msgspec.msgpack.encode(["x"])])
def test_marks_of_another_format_are_refused(marks: bytes) -> None:
    with pytest.raises(Refused, match="marks of the progress record"):
        run(Settings(), []).fold.restored(marks)


def test_first_start_has_empty_marks() -> None:
    fold = run(Settings(), []).fold
    fold.restored(b"")
    assert not fold.configuration_changed


def test_marks_tell_another_behaviour_and_only_that() -> None:
    result = run(Settings(), state_records([("s", CALM)]))
    same = settings_from({"engine": {"commit_interval_ms": 50}})
    other = settings_from({"loop": {"recovery_steps": 5}})
    assert not restored(same, result.changelog, result.marks).configuration_changed
    assert restored(other, result.changelog, result.marks).configuration_changed
    assert len(result.marks) < 40


def test_later_records_of_a_key_replace_earlier_ones_and_tombstones_remove() -> None:
    settings, result = busy()
    early = busy(100)[1]
    fold = run(settings, []).fold
    for key, value in [*early.changelog.items(), *result.changelog.items()]:
        fold.restore(key, value)
    for key in result.changelog:
        if key.endswith(b"s1"):
            fold.restore(key, None)
    fold.restored(result.marks)
    assert list(fold.sessions) == ["s0"]
    assert fold.sessions["s0"].step == result.fold.sessions["s0"].step


@pytest.mark.parametrize("session", ["s", "ü", "\x00", "\U0001d4b3" * 64])
@pytest.mark.parametrize("kind", [Kind.SESSION, Kind.POINTS])
def test_keys_are_read_back(kind: Kind, session: str) -> None:
    slot = 70_000 if kind is Kind.POINTS else None
    parsed = parse_state_key(state_key(kind, session.encode(), slot))
    assert parsed == (kind, session, slot or 0)
