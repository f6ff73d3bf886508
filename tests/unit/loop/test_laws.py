"""Laws that hold for every input: independence, bounds, splits, restarts."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.config import Settings, settings_from
from tests.unit.loop.streams import DAY_MS, Produced, Record, Run, run, without_eras

NOW = 1_760_000_000_000

scores = st.one_of(
    st.floats(-0.2, 1.2),
    st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.7, 0.9, 1.0, None, "broken"]),
)
states: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "novelty": scores,
            "aesthetic_score": scores,
            "volatility": scores,
            "lambda_max": st.sampled_from([0.0, 0.03, 0.05, 0.09, "x"]),
            "emergency_override": st.sampled_from([True, False, None, 1]),
            "force_inject": st.booleans(),
            "temperature": scores,
            "conversation_stalled": st.booleans(),
            "user_id": st.sampled_from(["u1", "u2", 3, None]),
        },
    ),
    st.sampled_from([[], "state", None]),
)
events = st.tuples(st.sampled_from(["a", "b", "ü"]), st.none() | st.integers(0, 40), states)

sections: list[dict[str, dict[str, Any]]] = [
    {},
    {
        "loop": {"max_exploration_steps": 10, "recovery_steps": 1, "stable_patience_steps": 2},
        "streaming": {"interval_steps": 2, "trend_window": 3},
        "quality": {"min_samples": 2, "max_history": 3, "retrain_interval": 1},
    },
    {
        "loop": {"max_exploration_steps": 11, "recovery_steps": 0, "stable_patience_steps": 1},
        "quality": {"feature_weights": [1, 0, 0, 0, 0, 0], "min_samples": 1, "max_history": 2},
        "profiles": {"params_mode": "adaptive", "hints": True},
        "streaming": {"interval_steps": 1, "include_history": True},
        "experiment": {"mode": "ab"},
    },
    {
        "loop": {"max_exploration_steps": 10, "recovery_steps": 0, "stable_patience_steps": 1},
        "profiles": {"selection": "sinusoidal", "params": {"sinusoidal": {"amplitude": 9.0}}},
        "experiment": {"mode": "rollout", "enhancement_percentage": 0.5},
        "streaming": {"interval_steps": 0},
    },
]
configurations = st.sampled_from([settings_from(one) for one in sections])
shared = settings_from(
    {
        "loop": {"max_exploration_steps": 10, "recovery_steps": 0, "stable_patience_steps": 1},
        "quality": {"scope": "shared", "min_samples": 2, "max_history": 3, "retrain_interval": 1},
    }
)

slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def streams(draw: st.DrawFn) -> list[Record]:
    """Up to some hundred records: drawn events, each repeated a few times so that modes get somewhere."""
    records: list[Record] = []
    time_ms = NOW
    for session, sequence, state in draw(st.lists(events, min_size=1, max_size=25)):
        for _ in range(draw(st.integers(1, 8))):
            time_ms += draw(st.sampled_from([0, 1000, -1000, 8 * DAY_MS]))
            envelope: dict[str, Any] = {"session_id": session, "state": state}
            if sequence is not None:
                envelope["sequence"] = sequence + len(records) // 4
            records.append(Record(json.dumps(envelope).encode(), len(records), time_ms))
    return records


@slow
@given(st.one_of(configurations, st.just(shared)), streams(), st.data())
def test_any_split_gives_the_same_output_and_the_same_folded_changelog(
    config: Settings, records: list[Record], data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(records)), max_size=len(records)))
    whole, split = run(config, records), run(config, records, cuts)
    assert split.out == whole.out
    assert split.changelog == whole.changelog
    assert split.marks == whole.marks
    assert split.tally.keys() == whole.tally.keys()


@slow
@given(st.one_of(configurations, st.just(shared)), streams(), st.data())
def test_snapshot_and_restore_change_nothing(config: Settings, records: list[Record], data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(records)), max_size=6))
    whole, torn = run(config, records), run(config, records, cuts, restart_at_cuts=True)
    assert torn.out == whole.out
    assert torn.changelog == whole.changelog
    assert torn.marks == whole.marks


def by_session(produced: list[Produced]) -> dict[bytes | None, list[bytes | None]]:
    sessions: dict[bytes | None, list[bytes | None]] = defaultdict(list)
    for one in produced:
        sessions[one.key].append(one.value)
    return sessions


@slow
@given(configurations, streams(), st.randoms(use_true_random=False))
def test_any_interleaving_gives_the_same_output_per_session(
    config: Settings, records: list[Record], random: Any
) -> None:
    # Time stands still: expiry looks at the whole partition by design.
    queues: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        record.timestamp = NOW
        queues[json.loads(record.value or b"")["session_id"]].append(record)
    whole = run(config, records)
    waiting = [queue[:] for queue in queues.values()]
    shuffled = []
    while waiting:
        queue = random.choice(waiting)
        shuffled.append(queue.pop(0))
        if not queue:
            waiting.remove(queue)
    other = run(config, shuffled)
    assert by_session(other.out.actions) == by_session(whole.out.actions)
    assert by_session(other.out.metrics) == by_session(whole.out.metrics)


@slow
@given(configurations, streams(), st.data())
def test_refused_events_and_duplicates_change_nothing(
    config: Settings, records: list[Record], data: st.DataObject
) -> None:
    for record in records:
        record.timestamp = NOW
    whole = run(config, records)
    refused = {produced.header("source.offset") for produced in whole.out.actions if "error" in produced.json()}
    answered = {produced.header("source.offset") for produced in whole.out.actions}
    kept = [record for record in records if b"%d" % record.offset in answered and b"%d" % record.offset not in refused]
    without = run(config, kept)
    accepted = [action for action in whole.out.actions if action.header("source.offset") not in refused]
    assert without.out.actions == accepted
    assert without.out.metrics == whole.out.metrics
    assert without_eras(without.changelog) == without_eras(whole.changelog)


@slow
@given(configurations, streams())
def test_bounds_sums_and_counts_hold(config: Settings, records: list[Record]) -> None:
    for record in records:
        record.timestamp = NOW
    result = run(config, records)
    gains: dict[bytes | None, float] = defaultdict(float)
    injected: dict[bytes | None, int] = {}
    for produced in result.out.actions:
        action = produced.json()
        if "error" in action:
            continue
        factor = action["current_factor"]
        assert 0.0 <= factor <= 1.0
        assert (action["mode"] == "exploring") == ("entropy_factor" in action)
        if action["mode"] == "exploring":
            assert 0.1 <= action["entropy_factor"] <= 0.9
            injected[produced.key] = 0 if "just_started" in action else injected[produced.key] + 1
        else:
            assert factor == 0.0
        ended = action.get("completed_injection")
        if ended is not None:
            assert ended["steps_executed"] == injected[produced.key] + 1
            assert (ended["end_reason"] == "duration_reached") == (
                ended["status"] == "completed" and ended["steps_executed"] == ended["duration_steps"]
            )
            if ended["status"] == "completed":
                gains[produced.key] += ended["creative_gain"]
    sequences: dict[bytes | None, int] = defaultdict(int)
    for produced in result.out.metrics:
        metric = produced.json()
        assert metric["stream_sequence"] == sequences[produced.key]
        sequences[produced.key] += 1
    for session in result.fold.sessions.values():
        assert session.cumulative_gain == gains[session.key]


@slow
@given(configurations, streams())
def test_an_emergency_takes_effect_within_its_own_event(config: Settings, records: list[Record]) -> None:
    result = run(config, records)
    actions = {produced.header("source.offset"): produced.json() for produced in result.out.actions}
    for record in records:
        state = json.loads(record.value or b"")["state"]
        action = actions.get(b"%d" % record.offset)
        if isinstance(state, dict) and state.get("emergency_override") is True and action is not None:
            assert (action["action"], action["reason"]) == ("emergency_halt", "emergency_override")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["novelty", "s", "\x00", "\U0001f600"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    [
        *("novelty", "novelty_score", "aesthetic_score", "volatility", "lambda_max", "coherence", "user_id"),
        *("emergency_override", "force_inject", "conversation_stalled", "temperature", "user_comfort", "x"),
    ]
)
odd_states = st.dictionaries(fields, anything | scores, max_size=8) | anything
odd_events = st.fixed_dictionaries(
    {"state": odd_states},
    optional={
        "session_id": st.sampled_from(["s", "t"]) | anything,
        "sequence": st.integers(0, 9) | anything,
        "timestamp": st.text(max_size=8) | anything,
        "other": anything,
    },
)
curious = settings_from(
    {
        "loop": {"debug": True, "max_exploration_steps": 10, "stable_patience_steps": 1},
        "profiles": {"hints": True, "params_mode": "adaptive"},
        "experiment": {"mode": "rollout", "enhancement_percentage": 0.5},
        "streaming": {"interval_steps": 1, "include_history": True},
    }
)


@slow
@given(
    st.sampled_from([Settings(), curious]),
    st.lists(odd_events | anything | st.binary(max_size=20), min_size=1, max_size=20),
    st.booleans(),
)
def test_no_input_stops_the_fold_and_each_has_one_answer(config: Settings, values: list[Any], msgpack: bool) -> None:
    header = [("content-type", b"application/msgpack")] if msgpack else []
    records = []
    for offset, value in enumerate(values):
        if isinstance(value, bytes):
            encoded = value
        else:
            encoded = msgspec.msgpack.encode(value) if msgpack else json.dumps(value).encode()
        records.append(Record(encoded, offset, NOW, b"s" if offset % 2 else None, header))
    result = run(config, records, range(1, len(records)), restart_at_cuts=True)
    answered = {produced.header("source.offset") for produced in result.out.actions}
    refused = {
        produced.header("source.offset")
        for produced in result.out.dead_letters
        if produced.header("error.code") != b"state_invalid"
    }
    assert not answered & refused
    assert len(answered) + len(refused) + result.tally.get("duplicates", 0) == len(records)
    for produced in (*result.out.actions, *result.out.metrics):
        assert produced.value is not None
        (msgspec.msgpack if msgpack else msgspec.json).decode(produced.value)


def state_bytes(result: Run) -> int:
    return sum(len(key) + len(value) for key, value in result.changelog.items())


def test_state_is_bounded_whatever_the_length_of_the_session() -> None:
    config = settings_from(
        {
            "loop": {"max_exploration_steps": 10, "recovery_steps": 0, "stable_patience_steps": 1},
            "quality": {"max_history": 40},
        }
    )
    value = json.dumps({"session_id": "s", "state": {"novelty": 0.9, "aesthetic_score": 0.5}}).encode()
    sizes = []
    for count in (3_000, 12_000):
        result = run(config, [Record(value, offset) for offset in range(count)], range(50, count, 50))
        sizes.append((len(result.changelog), state_bytes(result)))
        session = result.fold.sessions["s"]
        assert len(session.points) == 2 * result.fold.rules.point_capacity
        assert session.model is not None
        assert len(session.model.samples) == 7 * result.fold.rules.model.capacity
    assert sizes[0][0] == sizes[1][0]
    assert sizes[1][1] < sizes[0][1] + 256  # open blocks and varints differ, nothing else
