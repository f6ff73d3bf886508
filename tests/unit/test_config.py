"""Configuration: every source, every range, one line per error."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests
from processor.config import (
    ENVIRONMENT_PREFIX,
    EngineConfig,
    LoopConfig,
    Settings,
    TopicsConfig,
    all_keys,
    behaviour_fingerprint,
    behaviour_settings,
    behaviour_text,
    check_settings,
    declared_topology,
    load_settings,
    parse_duration_ms,
    settings_from,
    settings_markdown,
    settings_text,
)
from processor.config.consistency import BUILT_IN_PROFILES
from processor.errors import ConfigError
from processor.loop.profiles import PROFILE_DEFAULTS

VECTORS = Path(tests.__file__).parent / "vectors"


def toml(folder: Path, text: str | bytes) -> Path:
    path = folder / "settings.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ or {}, flags or {})
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_any_source_everything_has_its_default() -> None:
    assert load_settings(None, {}, {}) == Settings()


def test_flags_win_over_environment_over_toml_over_default(tmp_path: Path) -> None:
    path = toml(tmp_path, "[loop]\nrecovery_steps = 1\nnovelty_low = 0.1\nstability_threshold = 0.5\n")
    environ = {"CREATIVE_FEEDBACK__LOOP__RECOVERY_STEPS": "2", "CREATIVE_FEEDBACK__LOOP__NOVELTY_LOW": "0.15"}
    loop = load_settings(path, environ, {"loop.recovery_steps": 3}).loop
    assert (loop.recovery_steps, loop.novelty_low, loop.stability_threshold) == (3, 0.15, 0.5)
    assert loop.novelty_high == 0.7


def test_lists_and_tables_in_the_environment_are_json() -> None:
    settings = load_settings(
        None,
        {
            "CREATIVE_FEEDBACK__LOOP__PERFORMANCE_WEIGHTS": "[1, 0, 0.5]",
            "CREATIVE_FEEDBACK__PROFILES__PARAMS": '{"pulse": {"frequency": 4}}',
            "CREATIVE_FEEDBACK__QUALITY__FEATURE_WEIGHTS": "[1, 2, 3, 4, 5, 6]",
            "CREATIVE_FEEDBACK__LOOP__DEBUG": "true",
        },
        {},
    )
    assert settings.loop.performance_weights == (1.0, 0.0, 0.5)
    assert settings.profiles.params == {"pulse": {"frequency": 4.0}}
    assert settings.quality.feature_weights == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert settings.loop.debug is True


def test_text_in_the_environment_may_be_bare_or_json() -> None:
    for text in ("my.topic", '"my.topic"'):
        assert load_settings(None, {"CREATIVE_FEEDBACK__TOPICS__STATE": text}).topics.state == "my.topic"
    assert load_settings(None, {"CREATIVE_FEEDBACK__EXPERIMENT__MODE": "ab"}).experiment.mode == "ab"
    assert load_settings(None, {"CREATIVE_FEEDBACK__ENGINE__INSTANCE_ID": "7"}).engine.instance_id == "7"


def test_null_takes_an_optional_setting_back(tmp_path: Path) -> None:
    path = toml(tmp_path, '[quality]\npretrain_file = "x.json"\nfeature_weights = [1, 2, 3, 4, 5, 6]\n')
    quality = load_settings(path, {}, {"quality.pretrain_file": "null", "quality.feature_weights": "null"}).quality
    assert quality.pretrain_file is None
    assert quality.feature_weights is None


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    environ = {"CREATIVE_FEEDBACK__ENGINE__INSTANCE_ID": "a"}
    assert load_settings(None, environ, {"engine.instance_id": None}).engine.instance_id == "a"


def test_other_variables_are_none_of_our_business() -> None:
    assert load_settings(None, {"CREATIVE_FEEDBACK_CACHE": "/x", "HOME": "/y", "PATH": ""}, {}) == Settings()


def test_every_key_can_be_set_in_every_way(tmp_path: Path) -> None:
    for name, key in all_keys().items():
        if key.default is None:
            continue
        section, _, field = name.partition(".")
        value = msgspec.to_builtins(key.default)
        expected = key.default
        assert load_settings(None, {key.environment: json.dumps(value)}) == Settings(), name
        assert load_settings(None, {}, {name: value}) == Settings(), name
        assert getattr(getattr(settings_from({section: {field: value}}), section), field) == expected, name


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[loop]\nrecovry_steps = 1", "loop.recovry_steps"),
        ("[lop]\nrecovery_steps = 1", "lop"),
        ("recovery_steps = 1", "recovery_steps"),
        ("[loop.recovery_steps.x]", "loop.recovery_steps"),
    ],
)
def test_unknown_names_in_a_file_are_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    path = toml(tmp_path, text)
    message = refusal(path)
    assert message.startswith(f"{named} ")
    assert str(path) in message


def test_the_nearest_valid_name_is_proposed(tmp_path: Path) -> None:
    assert "did you mean loop.recovery_steps?" in refusal(toml(tmp_path, "[loop]\nrecovry_steps = 1"))
    assert "did you mean loop?" in refusal(toml(tmp_path, "[lop]\n"))
    assert "did you mean engine.session_ttl?" in refusal(flags={"engine.sesion_ttl": "1d"})
    variable = "CREATIVE_FEEDBACK__LOOP__RECOVRY_STEPS"
    message = refusal(environ={variable: "1"})
    assert message.startswith(variable)
    assert "did you mean CREATIVE_FEEDBACK__LOOP__RECOVERY_STEPS?" in message


@pytest.mark.parametrize(
    "variable", ["CREATIVE_FEEDBACK__LOOP", "CREATIVE_FEEDBACK__", "CREATIVE_FEEDBACK__loop__debug"]
)
def test_every_variable_of_ours_must_be_a_setting(variable: str) -> None:
    assert variable in refusal(environ={variable: "1"})


RANGES: list[tuple[str, list[Any], list[Any]]] = [
    ("loop.stability_threshold", [0, 1, 0.3], [-0.01, 1.01]),
    ("loop.max_exploration_steps", [10, 10**9], [-1, 9, 10.0, 10**9 + 1]),
    ("loop.min_exploration_steps", [1, 200], [0, 201]),
    ("loop.recovery_steps", [0, 10**9], [-1, 1.5]),
    ("loop.novelty_high", [0, 1], [-0.1, 1.1]),
    ("loop.novelty_low", [0, 1], [-0.1, 1.1]),
    ("loop.stable_patience_steps", [0], [-1]),
    ("loop.prune_patience_steps", [1], [0]),
    ("loop.emergency_lambda_max", [0, 0.5, 3], [-0.1]),
    ("loop.emergency_exit_ratio", [0, 1], [-0.1, 1.1]),
    ("loop.performance_weights", [[0, 0, 0], [-1, 2.5, 3]], [[], [1, 2], [1, 2, 3, 4], ["1", 2, 3], 1]),
    ("loop.debug", [True, False], [0, 1, "yes"]),
    ("profiles.selection", ["auto", "sinusoidal"], ["", "none", "Auto"]),
    ("profiles.params_mode", ["static", "adaptive"], ["dynamic"]),
    ("profiles.hints", [True], [1]),
    ("profiles.selector", ["a:f", "a.b:f_1"], ["a.f", "a:", ":f", "a b:f", "1a:f"]),
    ("profiles.custom", [{"mine": "a:f"}], [{"mine": "af"}, {"auto": "a:f"}, {"mine": 1}, ["a:f"]]),
    (
        "profiles.params",
        [{"pulse": {"frequency": -2}}, {"constant": {}}],
        [{"pulse": 1}, {"pulsar": {}}, {"pulse": {"amplitude": 1}}, {"pulse": {"frequency": True}}],
    ),
    ("quality.scope", ["session", "shared"], ["global"]),
    ("quality.min_samples", [1, 500], [0, 501]),
    ("quality.max_history", [20, 10**6], [0, 19, 10**6 + 1]),
    ("quality.regularization", [1e-300, 5], [0, -1]),
    ("quality.retrain_interval", [1], [0]),
    ("quality.feature_weights", [[0, 0, 0, 0, 0, 0]], [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5, True], 3]),
    ("quality.pretrain_file", ["x"], [3]),
    ("quality.low_gain", [-1, 2], ["x"]),
    ("quality.high_gain", [-1, 2], ["x"]),
    ("quality.low_gain_multiplier", [0.5], ["x"]),
    ("quality.high_gain_multiplier", [1.5], ["x"]),
    ("experiment.mode", ["off", "ab", "rollout"], ["on"]),
    ("experiment.salt", ["", "x"], [1]),
    ("experiment.treatment_share", [0, 1], [-0.1, 1.1]),
    ("experiment.enhancement_percentage", [0, 1], [-0.1, 10]),
    ("streaming.interval_steps", [0], [-1]),
    ("streaming.include_history", [True], [1]),
    ("streaming.include_predictions", [False], [0]),
    ("streaming.trend_window", [2, 1000], [1, 1001]),
    ("topics.state", ["a", "A._-9", "x" * 249], ["", ".", "..", "a b", "x" * 250, "tori.actions"]),
    ("topics.actions", ["a"], ["é", "tori_metrics"]),
    ("topics.metrics", ["a"], ["a/b"]),
    ("topics.dead_letters", ["a"], ["tori.state"]),
    ("topics.changelog", ["a"], ["a:b"]),
    ("topics.partitions", [1, 10_000], [0, 10_001]),
    ("topics.replication_factor", [1], [0]),
    ("kafka.bootstrap_servers", ["h:1", "a:1, b:65535", "[::1]:9092"], ["", "h", "h:0", "h:65536", "h:1,", ":1"]),
    ("kafka.request_timeout_ms", [100], [99]),
    ("kafka.connect_timeout_ms", [100], [99]),
    ("kafka.require_verification", [False], [0]),
    ("kafka.security_protocol", ["PLAINTEXT", "SSL"], ["TLS", "ssl", "SASL_SSL", "SASL_PLAINTEXT"]),
    ("kafka.ssl_ca_file", ["ca.pem"], ["", 1]),
    ("kafka.ssl_cert_file", ["own.pem"], ["", 1]),
    ("kafka.ssl_key_file", ["own.key"], ["", 1]),
    ("kafka.ssl_key_password_file", ["password"], ["", 1]),
    ("kafka.ssl_check_hostname", [True, False], [0, "no"]),
    ("kafka.sasl_mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], ["GSSAPI", "scram-sha-512", "OAUTHBEARER"]),
    ("kafka.sasl_username", ["worker", "CN=a, O=b"], ["", 1]),
    ("kafka.sasl_password_file", ["password"], ["", 1]),
    ("kafka.sasl_oauthbearer_token_file", ["token"], ["", 1]),
    (
        "kafka.sasl_oauthbearer_token_endpoint_url",
        ["https://login.example/token", "http://h:1", "https://h"],
        ["login.example", "file:///etc/passwd", "https://user:secret@h/", "https://h/a b", "https://", 1],
    ),
    ("kafka.sasl_oauthbearer_client_id", ["worker"], ["", 1]),
    ("kafka.sasl_oauthbearer_client_secret_file", ["secret"], ["", 1]),
    ("kafka.sasl_oauthbearer_scope", ["kafka"], ["", 1]),
    ("kafka.sasl_oauthbearer_ca_file", ["ca.pem"], ["", 1]),
    ("engine.application_id", ["a"], ["", "a b"]),
    ("engine.instance_id", ["host-1.example"], ["", "a/b"]),
    ("engine.static_membership", [True], [1]),
    ("engine.leave_on_stop", [True], [1]),
    ("engine.session_timeout_ms", [100, 1_800_000], [99, 1_800_001]),
    ("engine.transaction_timeout_ms", [100, 10_000], [99, 10_001]),
    ("engine.rebalance_timeout_ms", [100], [99]),
    ("engine.stuck_timeout_ms", [1000], [999]),
    ("engine.commit_interval_ms", [0, 200], [-1, 10_001]),
    ("engine.max_commit_interval_ms", [20, 10_000], [19, 10_001]),
    ("engine.max_batch_records", [1], [0]),
    ("engine.max_batch_bytes", [1024], [1023]),
    ("engine.session_ttl", ["7d", "90m", "1", 30], ["", "0", "x", "-1d", "1w", "1.5h", "9999999d", True, 0]),
    ("engine.max_event_bytes", [1], [0]),
    ("engine.max_event_depth", [2, 128], [1, 129]),
    ("engine.shutdown_timeout_ms", [100], [99]),
    ("http.host", ["0.0.0.0", "::", "node-1.example"], ["", "a b", "http://h", "h:80"]),
    ("http.port", [0, 65_535], [-1, 65_536]),
    (
        "http.advertised_url",
        ["http://10.0.0.1:8080", "https://ops.example", "http://[::1]:1"],
        ["", "ops.example", "https://ops.example/path", "https://u:p@h", "ftp://h", 1],
    ),
    ("http.token_file", ["token"], ["", 1]),
    ("http.allowed_origins", [[], ["https://a.example", "http://b:81"]], ["https://a", ["*"], ["null"], [1]]),
    ("http.max_connections", [1], [0]),
    ("http.max_subscribers", [0], [-1]),
    ("http.request_timeout_ms", [100], [99]),
    ("http.stuck_after_ms", [100], [99]),
    ("logs.level", ["debug", "info", "warning", "error"], ["INFO", "", "none", 1]),
    ("logs.format", ["auto", "json", "console"], ["xml", "", 1]),
    ("logs.session_lines_per_s", [0, 10_000], [-1, 10_001, 0.5]),
    ("tracing.session_ids", [True, False], ["yes", 1]),
    ("tracing.max_spans_per_s", [1, 100_000], [0, 100_001]),
]

SCRAM = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "worker",
    "sasl_password_file": "password",
}
TOKEN_FILE = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauthbearer_token_file": "token",
}
TOKEN_ENDPOINT = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauthbearer_token_endpoint_url": "https://login.example/token",
    "sasl_oauthbearer_client_id": "worker",
    "sasl_oauthbearer_client_secret_file": "secret",
}
# What else must be set for a key to have an effect at all.
COMPANIONS: dict[str, dict[str, str]] = {
    **{
        f"kafka.ssl_{name}": {"security_protocol": "SSL", "ssl_cert_file": "own.pem"}
        for name in ("ca_file", "cert_file", "key_file", "key_password_file", "check_hostname")
    },
    **{f"kafka.sasl_{name}": SCRAM for name in ("mechanism", "username", "password_file")},
    "kafka.sasl_oauthbearer_token_file": TOKEN_FILE,
    **{
        f"kafka.sasl_oauthbearer_{name}": TOKEN_ENDPOINT
        for name in ("token_endpoint_url", "client_id", "client_secret_file", "scope", "ca_file")
    },
}


def test_every_key_has_its_range_tested() -> None:
    assert {name for name, _, _ in RANGES} == set(all_keys())


@pytest.mark.parametrize(("name", "good", "bad"), RANGES, ids=[name for name, _, _ in RANGES])
def test_values_in_range_are_taken_and_others_refused_by_name(name: str, good: list[Any], bad: list[Any]) -> None:
    section, _, field = name.partition(".")
    others = COMPANIONS.get(name, {})
    for value in good:
        settings_from({section: {**others, field: value}})
    for value in bad:
        with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
            settings_from({section: {**others, field: value}})


def numbers_of(name: str) -> list[Any]:
    """Values that hide a number that is not finite, one per place a number can stand."""
    default = all_keys()[name].default
    if isinstance(default, float):
        return [math.nan, math.inf, -math.inf, 10**400, True]
    if name == "quality.feature_weights":
        return [[0, 0, 0, 0, 0, broken] for broken in (math.nan, math.inf)]
    if name == "loop.performance_weights":
        return [[broken, 0, 0] for broken in (math.nan, -math.inf)]
    if name == "profiles.params":
        return [{"pulse": {"frequency": broken}} for broken in (math.nan, math.inf)]
    return [math.nan, True] if isinstance(default, int) and not isinstance(default, bool) else []


@pytest.mark.parametrize("name", [name for name in all_keys() if numbers_of(name)])
def test_all_numbers_are_finite_and_no_booleans(name: str) -> None:
    section, _, field = name.partition(".")
    for value in numbers_of(name):
        with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
            settings_from({section: {field: value}})


def test_a_refusal_names_key_value_source_and_range(tmp_path: Path) -> None:
    path = toml(tmp_path, "[loop]\nrecovery_steps = -1")
    assert refusal(path) == f"loop.recovery_steps = -1 ({path}): expected a whole number ≥ 0"
    message = refusal(environ={"CREATIVE_FEEDBACK__LOOP__NOVELTY_HIGH": "2"})
    assert "loop.novelty_high = 2" in message
    assert "CREATIVE_FEEDBACK__LOOP__NOVELTY_HIGH" in message
    assert "≥ 0 and ≤ 1" in message
    assert "written as JSON" in refusal(flags={"loop.recovery_steps": "many"})


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "{", "nul"])
def test_hostile_text_is_one_line(text: str) -> None:
    assert len(refusal(environ={"CREATIVE_FEEDBACK__LOOP__RECOVERY_STEPS": text})) < 300


@pytest.mark.parametrize(
    "text",
    [
        '"a\\nb" = 1',
        '["a\\nb"]',
        '[loop]\n"a\\nb" = 1',
        '[profiles.params."a\\nb"]',
        '[profiles.params.pulse]\n"a\\nb" = 1',
    ],
)
def test_hostile_names_are_one_line(tmp_path: Path, text: str) -> None:
    assert r"a\nb" in refusal(toml(tmp_path, text))
    assert len(refusal(toml(tmp_path, text.replace("a", "a" * 5000)))) < 400


def test_bounds_that_cross_name_both_keys(tmp_path: Path) -> None:
    message = refusal(toml(tmp_path, "[loop]\nmax_exploration_steps = 5"))
    assert "loop.min_exploration_steps = 10" in message
    assert "loop.max_exploration_steps = 5" in message
    message = refusal(flags={"quality.max_history": 10})
    assert "quality.min_samples = 20" in message
    assert "quality.max_history = 10" in message


def test_weights_that_would_make_gains_infinite_are_refused() -> None:
    message = refusal(flags={"loop.performance_weights": [1e306, -1e306, 0]})
    assert message.startswith("loop.performance_weights = [1e+306, -1e+306, 0.0]")


def test_a_transaction_never_outlives_the_session() -> None:
    message = refusal(flags={"engine.transaction_timeout_ms": 10_000, "engine.session_timeout_ms": 6000})
    assert "engine.transaction_timeout_ms = 10000" in message
    assert "engine.session_timeout_ms = 6000" in message


def test_shorter_sessions_alone_mean_shorter_transactions() -> None:
    engine = load_settings(None, {}, {"engine.session_timeout_ms": 1500}).engine
    assert engine.transaction_timeout_ms == 1500
    longer = load_settings(None, {}, {"engine.session_timeout_ms": 60_000}).engine
    assert longer.transaction_timeout_ms == EngineConfig().transaction_timeout_ms


def test_a_long_commit_interval_alone_is_not_cut() -> None:
    engine = load_settings(None, {}, {"engine.commit_interval_ms": 200}).engine
    assert engine.max_commit_interval_ms == 200
    message = refusal(flags={"engine.commit_interval_ms": 200, "engine.max_commit_interval_ms": 100})
    assert "engine.commit_interval_ms = 200" in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[loop\n", "not valid TOML"),
        (b"[loop]\nrecovery_steps = 1\nrecovery_steps = 2\n", "not valid TOML"),
        (b"\xff\xfe[loop]", "not UTF-8"),
        (b"loop = 3", "expected a table [loop]"),
        (b"loop = [1]", "expected a table [loop]"),
        (b"x = " + b"[" * 50_000, "not valid TOML"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes, told: str) -> None:
    path = toml(tmp_path, content)
    message = refusal(path)
    assert told in message
    assert str(path) in message


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert refusal(missing) == f"configuration file {missing}: No such file or directory; check the path"
    assert str(tmp_path) in refusal(tmp_path)


@pytest.mark.parametrize("stream", ["default", "short", "edges", "learn", "fixed"])
def test_the_vectors_configurations_are_valid(stream: str) -> None:
    path = VECTORS / f"{stream}.config.toml"
    settings = load_settings(path, {}, {})
    for section, table in tomllib.loads(path.read_text()).items():
        for field, value in table.items():
            given_value = msgspec.to_builtins(getattr(getattr(settings, section), field))
            assert list(given_value) == value if isinstance(value, list) else given_value == value


def test_an_unknown_profile_names_the_known_ones() -> None:
    message = refusal(flags={"profiles.selection": "puls"})
    assert "did you mean pulse?" in message
    assert "known: auto, constant, cosine_ramp" in message
    custom = settings_from({"profiles": {"selection": "mine", "custom": {"mine": "a:f"}, "params": {"mine": {"q": 1}}}})
    assert custom.profiles.selection == "mine"


def test_the_known_profiles_are_the_loops_own() -> None:
    assert {name: set(known) for name, known in BUILT_IN_PROFILES.items()} == {
        name: set(defaults) for name, defaults in PROFILE_DEFAULTS.items()
    }


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [("7d", 604_800_000), ("12h", 43_200_000), ("90m", 5_400_000), ("5", 5000), ("5s", 5000), ("500ms", 500)],
)
def test_durations_have_units(text: str, duration_ms: int) -> None:
    assert parse_duration_ms("engine.session_ttl", text) == duration_ms
    assert settings_from({"engine": {"session_ttl": text}}).engine.session_ttl_ms == duration_ms


def test_a_bare_number_is_seconds(tmp_path: Path) -> None:
    assert load_settings(toml(tmp_path, "[engine]\nsession_ttl = 90")).engine.session_ttl_ms == 90_000


def test_settings_made_in_code_are_checked_too() -> None:
    assert check_settings(Settings()) == Settings()
    made = Settings(loop=LoopConfig(recovery_steps=3), engine=EngineConfig(session_timeout_ms=2000))
    assert check_settings(made).loop.recovery_steps == 3
    with pytest.raises(ConfigError, match=r"loop\.recovery_steps"):
        check_settings(Settings(loop=LoopConfig(recovery_steps=-3)))


def test_the_declared_topology_has_the_configured_names() -> None:
    settings = Settings(topics=TopicsConfig(state="my.state", partitions=3, replication_factor=1))
    topology = declared_topology(settings)
    assert topology.input.name == "my.state"
    assert {topic.partitions for topic in topology.topics} == {3}
    with pytest.raises(ConfigError, match="topics"):
        declared_topology(Settings(topics=TopicsConfig(state="tori.actions")))


BEHAVIOUR: list[tuple[str, Any]] = [
    ("loop.recovery_steps", 31),
    ("profiles.params", {"pulse": {"frequency": 4.0}}),
    ("quality.scope", "shared"),
    ("experiment.mode", "ab"),
    ("streaming.interval_steps", 9),
    ("engine.session_ttl", "6d"),
    ("engine.max_event_bytes", 1000),
    ("engine.max_event_depth", 31),
]
WORK = [
    ("topics.state", "x"),
    ("topics.partitions", 9),
    ("kafka.bootstrap_servers", "h:1"),
    ("engine.instance_id", "i"),
    ("engine.commit_interval_ms", 21),
    ("http.port", 1),
]


def one(name: str, value: Any) -> Settings:
    section, _, field = name.partition(".")
    return settings_from({section: {field: value}})


def test_the_fingerprint_tells_every_changed_behaviour() -> None:
    prints = [behaviour_fingerprint(Settings()), *(behaviour_fingerprint(one(*change)) for change in BEHAVIOUR)]
    assert len(set(prints)) == len(prints)
    assert all(len(found) == 32 for found in prints)


@pytest.mark.parametrize(("name", "value"), WORK)
def test_the_fingerprint_does_not_see_how_the_work_is_done(name: str, value: Any) -> None:
    assert behaviour_fingerprint(one(name, value)) == behaviour_fingerprint(Settings())


def test_the_fingerprint_sees_meaning_and_not_spelling() -> None:
    assert behaviour_fingerprint(one("engine.session_ttl", "168h")) == behaviour_fingerprint(Settings())
    assert behaviour_fingerprint(one("loop.novelty_high", 1)) == behaviour_fingerprint(one("loop.novelty_high", 1.0))
    there = one("profiles.params", {"pulse": {"frequency": 1}, "constant": {}})
    back = one("profiles.params", {"constant": {}, "pulse": {"frequency": 1.0}})
    assert behaviour_fingerprint(there) == behaviour_fingerprint(back)


@pytest.mark.parametrize(("name", "value"), [*BEHAVIOUR, ("engine.session_ttl", "36500d"), ("engine.session_ttl", 1)])
def test_a_recorded_behaviour_is_read_back(name: str, value: Any) -> None:
    told = behaviour_text(one(name, value))
    again = behaviour_settings(told)
    assert behaviour_text(again) == told
    section, _, field = name.partition(".")
    assert getattr(getattr(again, section), field) == getattr(getattr(one(name, value), section), field) or (
        name == "engine.session_ttl" and again.engine.session_ttl_ms == one(name, value).engine.session_ttl_ms
    )


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"engine.session_ttl_ms": "x"}', '{"loop.later":1}', '{"loop.recovery_steps": 31.5}', '{"x":1}'],
)
def test_a_behaviour_that_this_version_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        behaviour_settings(text)


def test_the_fingerprint_of_the_defaults_is_the_same_in_every_version() -> None:
    assert behaviour_fingerprint(Settings()) == "1262324692c20e619642e8c0b3334f1e"


def test_the_reference_tells_every_key_with_default_range_and_meaning() -> None:
    text, table = settings_text(), settings_markdown()
    for name, key in all_keys().items():
        assert key.meaning, name
        assert f"{name} = {key.default_text}\n" in text
        assert f"{key.meaning} Expected: {key.expected}." in text
        assert f"| `{name}` | " in table
    assert max(line.count("|") for line in table.splitlines()) == 5


def test_environment_names_follow_the_keys() -> None:
    assert all_keys()["loop.recovery_steps"].environment == "CREATIVE_FEEDBACK__LOOP__RECOVERY_STEPS"
    assert ENVIRONMENT_PREFIX == "CREATIVE_FEEDBACK__"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(list(all_keys())), json_values)
def test_any_value_is_taken_or_refused_in_one_line_with_the_key(name: str, value: Any) -> None:
    section, _, field = name.partition(".")
    try:
        settings = settings_from({section: {field: value}})
    except ConfigError as error:
        message = str(error)
        assert name in message
        assert "\n" not in message
    else:
        assert check_settings(settings) == settings


@given(st.sampled_from(list(all_keys())), st.text(max_size=20))
def test_any_text_of_the_environment_is_taken_or_refused(name: str, text: str) -> None:
    variable = all_keys()[name].environment
    try:
        load_settings(None, {variable: text})
        message = name
    except ConfigError as error:
        message = str(error)
    assert name in message
    assert "\n" not in message
