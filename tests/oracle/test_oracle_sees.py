"""The oracle is worth nothing unless it sees: every kind of wrong log is named by its check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as copied
from itertools import islice

import pytest

from processor.config import Settings, load_settings
from schemas.progress import BARRIER_KEY, FORMAT, PROGRESS_KEY, Progress, encode_progress
from tests.faults.load import events
from tests.oracle.committed import Log, LoggedRecord
from tests.oracle.replay import Expected, replay
from tests.oracle.verdict import compare, inputs

Logs = dict[str, Log]
COUNT = 600
SETTINGS = load_settings(None, {}, {"topics.partitions": 1, "topics.replication_factor": 1})
TOPICS = SETTINGS.topics


def log_of(topic: str, records: list[LoggedRecord]) -> Log:
    # One offset more than records: the commit marker behind them.
    return Log(topic, {0: records}, {0: len(records) + 1}, {0: len(records) + 1})


def outputs(expected: Expected, kind: str) -> list[LoggedRecord]:
    return [LoggedRecord(offset, 0, *output) for offset, output in enumerate(getattr(expected, kind))]


def right_logs(settings: Settings = SETTINGS) -> Logs:
    """What a faultless processor leaves behind."""
    source = [
        LoggedRecord(offset, 1_700_000_000_000 + offset, key, value, ())
        for offset, (key, value) in enumerate(islice(events(3, 5), COUNT))
    ]
    expected = replay(settings, {0: source})[0]
    progress = encode_progress(Progress(FORMAT, "1", 1, COUNT, COUNT - 1, b"", expected.marks))
    changelog = [LoggedRecord(0, 0, BARRIER_KEY, b"", ())]
    changelog += [LoggedRecord(1 + n, 0, key, value, ()) for n, (key, value) in enumerate(expected.state.items())]
    changelog.append(LoggedRecord(len(changelog), 0, PROGRESS_KEY, progress, ()))
    return {
        TOPICS.state: Log(TOPICS.state, {0: source}, {0: COUNT}, {0: COUNT}),
        TOPICS.actions: log_of(TOPICS.actions, outputs(expected, "actions")),
        TOPICS.metrics: log_of(TOPICS.metrics, outputs(expected, "metrics")),
        TOPICS.dead_letters: log_of(TOPICS.dead_letters, outputs(expected, "dead_letters")),
        TOPICS.changelog: log_of(TOPICS.changelog, changelog),
    }


def test_right_logs_are_right() -> None:
    assert compare(SETTINGS, right_logs(), {0: COUNT}) == []


def lose(topic: str, at: int) -> Callable[[Logs], None]:
    return lambda logs: logs[topic].records[0].__delitem__(at)


def repeat(topic: str, at: int) -> Callable[[Logs], None]:
    return lambda logs: logs[topic].records[0].insert(at, logs[topic].records[0][at])


def swap(topic: str, at: int) -> Callable[[Logs], None]:
    def swapped(logs: Logs) -> None:
        records = logs[topic].records[0]
        records[at], records[at + 1] = records[at + 1], records[at]

    return swapped


def change(topic: str, at: int, **fields: object) -> Callable[[Logs], None]:
    def changed(logs: Logs) -> None:
        records = logs[topic].records[0]
        records[at] = records[at]._replace(**fields)  # type: ignore[arg-type]

    return changed


def surviving_key(logs: Logs) -> None:
    logs[TOPICS.changelog].records[0].insert(-1, LoggedRecord(0, 0, b"sforgotten", b"\x91", ()))


def open_transaction(logs: Logs) -> None:
    logs[TOPICS.metrics] = copied(logs[TOPICS.metrics], stable_end={0: 3})


def unread_input(logs: Logs) -> None:
    source = logs[TOPICS.state]
    source.records[0].append(LoggedRecord(COUNT, 1_700_000_000_000, b"late", b"{}", ()))
    logs[TOPICS.state] = copied(source, stable_end={0: COUNT + 1}, log_end={0: COUNT + 1})


@pytest.mark.parametrize(
    ("damage", "check", "topic"),
    [
        pytest.param(lose(TOPICS.actions, 100), "O1", TOPICS.actions, id="action lost"),
        pytest.param(lose(TOPICS.actions, -1), "O1", TOPICS.actions, id="last action lost"),
        pytest.param(repeat(TOPICS.actions, 100), "O1", TOPICS.actions, id="action twice"),
        pytest.param(repeat(TOPICS.actions, -1), "O1", TOPICS.actions, id="last action twice"),
        pytest.param(swap(TOPICS.actions, 40), "O1", TOPICS.actions, id="actions out of order"),
        pytest.param(change(TOPICS.actions, 9, value=b"{}"), "O1", TOPICS.actions, id="another action"),
        pytest.param(change(TOPICS.actions, 9, key=b"other"), "O1", TOPICS.actions, id="another key"),
        pytest.param(
            change(TOPICS.actions, 9, headers=(("source.offset", b"1"),)), "O1", TOPICS.actions, id="another source"
        ),
        pytest.param(lose(TOPICS.metrics, 3), "O1", TOPICS.metrics, id="metric lost"),
        pytest.param(repeat(TOPICS.metrics, 3), "O1", TOPICS.metrics, id="metric twice"),
        pytest.param(lose(TOPICS.dead_letters, 2), "O1", TOPICS.dead_letters, id="dead letter lost"),
        pytest.param(change(TOPICS.dead_letters, 2, headers=()), "O1", TOPICS.dead_letters, id="dead letter unnamed"),
        pytest.param(lose(TOPICS.changelog, 1), "O3", TOPICS.changelog, id="state lost"),
        pytest.param(change(TOPICS.changelog, 1, value=b"\x90"), "O3", TOPICS.changelog, id="state differs"),
        pytest.param(change(TOPICS.changelog, 1, value=None), "O3", TOPICS.changelog, id="state buried"),
        pytest.param(surviving_key, "O3", TOPICS.changelog, id="tombstone dropped"),
        pytest.param(lose(TOPICS.changelog, -1), "O2", TOPICS.changelog, id="progress lost"),
        pytest.param(unread_input, "O2", TOPICS.state, id="input not processed"),
        pytest.param(open_transaction, "O5", TOPICS.metrics, id="transaction left open"),
    ],
)
def test_every_damage_is_named_by_its_check(damage: Callable[[Logs], None], check: str, topic: str) -> None:
    logs = right_logs()

    damage(logs)

    found = compare(SETTINGS, logs, {0: COUNT})
    assert [(difference.check, difference.topic) for difference in found][:1] == [(check, topic)]


@pytest.mark.parametrize("offset", [COUNT - 1, COUNT + 1, -1])
def test_a_group_offset_that_does_not_mirror_the_progress_is_seen(offset: int) -> None:
    [difference] = compare(SETTINGS, right_logs(), {0: offset})

    assert (difference.check, difference.found) == ("O2", str(offset))


def test_output_beyond_the_progress_is_seen() -> None:
    logs = right_logs()
    records = logs[TOPICS.changelog].records[0]
    behind = Progress(FORMAT, "1", 1, COUNT - 50, COUNT - 51, b"", b"")
    records[-1] = records[-1]._replace(value=encode_progress(behind))

    found = compare(SETTINGS, logs, {0: COUNT - 50}, drained=False)

    assert {difference.check for difference in found} == {"O1", "O3"}


@pytest.mark.parametrize("anchor", [COUNT - 1, -1])
def test_marks_that_differ_are_seen_whatever_the_anchor(anchor: int) -> None:
    logs = right_logs()
    records = logs[TOPICS.changelog].records[0]
    other = Progress(FORMAT, "1", 1, COUNT, anchor, b"", b"other")
    records[-1] = records[-1]._replace(value=encode_progress(other))

    [difference] = compare(SETTINGS, logs, {0: COUNT})

    assert (difference.check, difference.where) == ("O3", f"marks at input offset {COUNT}")


def test_a_partition_of_which_nothing_is_processed_yet_has_no_group_offset() -> None:
    logs = right_logs()
    for topic in (TOPICS.actions, TOPICS.metrics, TOPICS.dead_letters):
        logs[topic] = log_of(topic, [])
    first = LoggedRecord(0, 0, PROGRESS_KEY, encode_progress(Progress(FORMAT, "1", 1, 0)), ())
    logs[TOPICS.changelog] = log_of(TOPICS.changelog, [first])

    assert compare(SETTINGS, logs, {}, drained=False) == []
    assert [difference.where for difference in compare(SETTINGS, logs, {})] == ["progress record"]


def test_input_that_was_not_acknowledged_or_is_missing_is_seen() -> None:
    source = right_logs()[TOPICS.state]
    sent = [(record.offset, record.key, record.value) for record in source.records[0]]

    assert inputs(source, {0: sent}) == []
    assert [difference.check for difference in inputs(source, {0: sent[:-1]})] == ["O7"]
    assert [difference.check for difference in inputs(source, {0: [*sent, (COUNT, b"k", b"v")]})] == ["O7"]
