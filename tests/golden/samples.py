"""One record of every wire type and every shape it takes, all fields of it in use."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import msgspec

from schemas.actions import Action, CompletedInjection, DebugRecord, Experiment
from schemas.codec import encode
from schemas.dead_letters import dead_letter_headers
from schemas.errors import InvalidRecord
from schemas.events import StateFields
from schemas.metrics import CurrentInjection, HistoryPoint, Metric, PerformanceTrend
from schemas.progress import Progress, Reset, encode_progress, encode_reset
from schemas.state_records import (
    BlockRecord,
    EraRecord,
    ExplorationRecord,
    LedgerRecord,
    ModelRecord,
    SessionRecord,
    encode_state,
    pack_floats,
)

COMPLETED = CompletedInjection(
    injection_id="s1:0",
    entropy_profile="cosine_ramp",
    profile_params={"ramp_fraction": 0.2},
    base_factor=0.525,
    entropy_factor=0.63,
    duration_steps=200,
    steps_executed=200,
    performance_before=0.5,
    performance_after=0.6125,
    creative_gain=0.1125,
    predicted_gain=0.55,
    model_version=3,
    features=[0.5, 0.5, 0.25, 0.63, 1.0, 0.04],
    end_reason="duration_reached",
    status="completed",
)
ABORTED = CompletedInjection(
    injection_id="s1:1",
    entropy_profile="constant",
    profile_params={},
    base_factor=0.5,
    entropy_factor=0.5,
    duration_steps=120,
    steps_executed=7,
    performance_before=0.5,
    performance_after=None,
    creative_gain=None,
    predicted_gain=None,
    model_version=0,
    features=[0.5, 0.5, 0.0, 0.5, 0.6, 0.0],
    end_reason="emergency",
    status="aborted",
)
RECORDS: Mapping[str, Action | Metric] = {
    "action-inject": Action(
        session_id="s1",
        action="inject_entropy",
        mode="exploring",
        steps_in_mode=0,
        step=51,
        sequence=42,
        timestamp="2026-01-01T00:00:00Z",
        reason="high_novelty",
        current_factor=0.0,
        lambda_multiplier=1.0,
        injection_id="s1:0",
        profile="cosine_ramp",
        profile_params={"ramp_fraction": 0.2},
        entropy_factor=0.63,
        progress=0.0,
        duration=200,
        base_factor=0.525,
        lambda_factor=0.945,
        predicted_gain=0.55,
        just_started=True,
        mode_changed=True,
        previous_mode="stable",
        warnings=["novelty_clamped"],
        experiment=Experiment(mode="ab", group="treatment"),
        debug=DebugRecord(
            state={"novelty": 1.5, "coherence": "local"},
            triggers={"high_novelty": 0.7},
            profile_rule="mid_novelty",
            features=[0.5, 0.5, 0.25, 0.525, 1.0, 0.04],
            base_factor=0.525,
            final_factor=0.63,
            raw_prediction=0.55,
        ),
    ),
    "action-without-model": Action(
        session_id="s1",
        action="inject_entropy",
        mode="exploring",
        steps_in_mode=0,
        step=1,
        predicted_gain=None,
    ),
    "action-completed": Action(
        session_id="s1",
        action="end_exploration",
        mode="recovering",
        steps_in_mode=0,
        step=251,
        reason="duration_reached",
        current_factor=0.0,
        lambda_multiplier=0.9,
        mode_changed=True,
        previous_mode="exploring",
        completed_injection=COMPLETED,
    ),
    "action-aborted": Action(
        session_id="s1",
        action="emergency_halt",
        mode="emergency",
        steps_in_mode=0,
        step=400,
        reason="emergency_override",
        current_factor=0.0,
        lambda_multiplier=0.5,
        mode_changed=True,
        previous_mode="exploring",
        completed_injection=ABORTED,
    ),
    "action-refused": Action(
        session_id="sé\x00",
        action="maintain",
        mode="stable",
        steps_in_mode=3,
        step=3,
        error="novelty is not a finite number",
    ),
    "metric-started": Metric(
        session_id="s1",
        mode="exploring",
        steps_in_mode=0,
        cumulative_gain=-0.25,
        performance_trend=PerformanceTrend(novelty=0.03, aesthetic=-0.01),
        stream_sequence=123,
        timestamp="2026-01-01T00:00:00Z",
        current_injection=CurrentInjection(
            entropy_factor=0.63,
            current_factor=0.0,
            profile="cosine_ramp",
            entropy_profile="cosine_ramp",
            progress=0.0,
        ),
        predicted_gain=0.55,
        performance_history=[
            HistoryPoint(novelty=0.4, aesthetic_score=0.5, timestamp="2026-01-01T00:00:00Z"),
            HistoryPoint(novelty=0.5, aesthetic_score=0.5),
        ],
        mode_changed=True,
        previous_mode="stable",
        just_started=True,
    ),
    "metric-aborted": Metric(
        session_id="s1",
        mode="emergency",
        steps_in_mode=0,
        cumulative_gain=0.0,
        performance_trend=PerformanceTrend(novelty=0.0, aesthetic=0.0),
        stream_sequence=0,
        completed_injection=ABORTED,
    ),
}
EXPLORATION = ExplorationRecord(
    injection_id="s1:0",
    profile="pulse",
    params={"frequency": 3.0},
    base_factor=0.525,
    entropy_factor=0.63,
    duration_steps=200,
    features=(0.5, 0.5, 0.25, 0.525, 1.0, 0.04),
    performance_before=0.5,
    predicted_gain=0.55,
    model_version=3,
    steps_executed=17,
    creative_gain=0.125,
)
STATE_RECORDS: Mapping[str, SessionRecord | LedgerRecord | ModelRecord | BlockRecord | EraRecord] = {
    "state-session": SessionRecord(
        format=1,
        mode=1,
        steps_in_mode=17,
        step=68,
        last_sequence=42,
        last_time_ms=1_767_225_600_000,
        last_offset=9,
        baseline=0.75,
        streak=1,
        stream_sequence=6,
        group=-1,
        point_capacity=112,
        points_from=64,
        open_points=pack_floats(array("d", [0.4, 0.5, 0.25, 0.75])),
        open_stamps=["2026-01-01T00:00:00Z", None],
    ),
    "state-ledger": LedgerRecord(
        format=1,
        total_injections=3,
        completed=1,
        aborted=1,
        successful=1,
        emergency_stops=1,
        cumulative_gain=0.125,
        recent_gains=(0.125,),
        exploration=EXPLORATION,
    ),
    "state-model": ModelRecord(
        format=1,
        count=41,
        retained_from=0,
        since_fit=1,
        version=3,
        weights=(0.1, 0.2, -0.3, 0.4, 0.0, 5e-324),
        capacity=512,
        open_samples=pack_floats(array("d", [0.5, 0.5, 0.25, 0.63, 1.0, 0.04, 0.1125])),
    ),
    "state-block": BlockRecord(
        format=1, number=4, values=pack_floats(array("d", [0.5, -0.5])), stamps=["2026-01-01T00:00:00Z", None]
    ),
    "state-era": EraRecord(
        format=1,
        first_offset=10,
        application_version="0.2.0",
        fingerprint=b"\x00\x01\x02\x03",
        settings='{"engine.session_ttl_ms":604800000,"loop.recovery_steps":5}',
        pretrain_digest=b"\x04\x05",
        initial=True,
    ),
}
PROGRESS = Progress(
    format=2,
    application_version="0.2.0",
    partition_count=8,
    next_offset=10,
    anchor_offset=9,
    anchor_hash=b"\x00\x01\x02\x03",
    marks=b"marks",
    application_id="creative-feedback",
)
RESET = Reset(format=2, application_version="0.2.0", previous_offset=10, next_offset=25)
STATE_EVENT = {
    "session_id": "s1",
    "sequence": 42,
    "timestamp": "2026-01-01T00:00:00Z",
    "state": dict(
        zip(
            StateFields.__struct_fields__,
            [0.4, 0.3, 0.5, 0.1, 0.02, False, True, False, 0.7, 0.9, "u1", "local", 0.5],
            strict=True,
        )
    ),
}


def golden_files() -> dict[str, bytes]:
    """Every golden file of the current version, by name."""
    files = {
        "state-event.json": msgspec.json.encode(STATE_EVENT),
        "state-event.msgpack": msgspec.msgpack.encode(STATE_EVENT),
        "dead-letter-headers.json": msgspec.json.encode(_dead_letter()),
    }
    files["progress.msgpack"] = encode_progress(PROGRESS)
    files["reset.msgpack"] = encode_reset(RESET)
    for name, state in STATE_RECORDS.items():
        files[f"{name}.msgpack"] = encode_state(state)
    for name, record in RECORDS.items():
        files[f"{name}.json"] = encode(record)
        files[f"{name}.msgpack"] = encode(record, msgpack=True)
    return files


def _dead_letter() -> list[tuple[str, str]]:
    headers: list[tuple[str, Any]] = dead_letter_headers(
        InvalidRecord("not_decodable", "value is empty"),
        [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")],
        topic="tori.state",
        partition=3,
        offset=9,
        timestamp_ms=1_767_225_600_000,
    )
    return [(name, value.decode()) for name, value in headers]
