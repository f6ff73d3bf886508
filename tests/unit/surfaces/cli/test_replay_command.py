"""``creative-feedback replay``: the vectors, the summary, and every way to get it wrong."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.surfaces.cli.commands import run_command

VECTORS = Path(__file__).parents[3] / "vectors"
EVENT = '{"session_id": "s", "timestamp": "t", "state": {"novelty": 0.5, "aesthetic_score": 0.5}}\n'


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def alike(found: Any, wanted: Any) -> bool:
    """Equal, floats to 1e-9, the text of an error free."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return found.keys() == wanted.keys() and all(key == "error" or alike(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(alike, found, wanted))
    if isinstance(wanted, float) and isinstance(found, float | int) and not isinstance(found, bool):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9)
    return bool(found == wanted)


@pytest.mark.parametrize("name", ["default", "short", "edges", "learn", "fixed"])
def test_vectors_come_out_line_by_line(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    actions, metrics = tmp_path / "actions", tmp_path / "metrics"
    pretrain = VECTORS / f"{name}.pretrain.json"
    options = ["--pretrain", str(pretrain)] if pretrain.exists() else []
    ended = run_command(
        capfd, "replay", str(VECTORS / f"{name}.events.jsonl"),
        "--config", str(VECTORS / f"{name}.config.toml"),
        "--actions", str(actions), "--metrics", str(metrics), *options,
    )  # fmt: skip
    assert ended.code == 0
    for path, kind in ((actions, "actions"), (metrics, "metrics")):
        found, wanted = lines_of(path), lines_of(VECTORS / f"{name}.{kind}.jsonl")
        assert len(found) == len(wanted)
        assert [i for i, (one, other) in enumerate(zip(found, wanted, strict=True)) if not alike(one, other)] == []


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text(EVENT * 3 + "nonsense\n")
    return path


def test_summary_goes_to_stderr_and_stdout_stays_empty(events: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "replay", str(events))
    assert (ended.code, ended.out) == (0, "")
    assert "4 events" in ended.err
    assert "not_decodable 1" in ended.err


def test_json_summary_is_one_object_on_stdout(events: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "replay", str(events), "--json")
    summary = json.loads(ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert (summary["events"], summary["actions"], summary["dead_letters"]) == (4, 3, {"not_decodable": 1})


def test_dash_reads_stdin_and_writes_stdout(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(EVENT.encode())

    monkeypatch.setattr(sys, "stdin", Stdin)
    ended = run_command(capfd, "replay", "-", "--actions", "-")
    assert json.loads(ended.out)["session_id"] == "s"


def test_settings_reach_the_fold(events: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "replay", str(events), "--actions", "-", "--set", "loop.stable_patience_steps=2")
    actions = [json.loads(line)["action"] for line in ended.out.splitlines()]
    assert actions == ["maintain", "inject_entropy", "continue_exploration"]


def test_flag_wins_over_environment_and_environment_over_file(
    events: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("[loop]\nstable_patience_steps = 1\n")

    def injected_at(*options: str) -> int:
        ended = run_command(capfd, "replay", str(events), "--actions", "-", "--config", str(config), *options)
        return [json.loads(line)["action"] for line in ended.out.splitlines()].index("inject_entropy")

    assert injected_at() == 0
    monkeypatch.setenv("CREATIVE_FEEDBACK__LOOP__STABLE_PATIENCE_STEPS", "2")
    assert injected_at() == 1
    assert injected_at("--set", "loop.stable_patience_steps=3") == 2


def test_own_profiles_and_selectors_are_found_in_the_current_folder(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "half_profile_here.py").write_text(
        "def half(base_factor, step, total_steps, params):\n"
        "    return base_factor * params['share']\n"
        "def always_half(state):\n"
        "    return 'half'\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    ended = run_command(
        capfd, "replay", str(events), "--actions", "-",
        "--set", 'profiles.custom={"half": "half_profile_here:half"}',
        "--set", 'profiles.params={"half": {"share": 0.5}}',
        "--set", "profiles.selector=half_profile_here:always_half",
        "--set", "loop.stable_patience_steps=1",
    )  # fmt: skip
    first = json.loads(ended.out.splitlines()[0])
    assert (first["profile"], first["profile_params"]) == ("half", {"share": 0.5})
    assert first["current_factor"] == first["entropy_factor"] * 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay"], "Missing argument 'EVENTS'"),
        (["replay", "{missing}"], "missing: No such file or directory: name a readable file"),
        (["replay", "{events}", "--actions", "{events}"], "named twice"),
        (["replay", "{events}", "--actions", "{new}", "--metrics", "{new}"], "named twice"),
        (["replay", "{events}", "--actions", "-", "--metrics", "-"], "two outputs go to stdout"),
        (["replay", "{events}", "--actions", "-", "--json"], "give the output a file"),
        (["replay", "{events}", "--actions", "{folder}"], "Is a directory: name a file that can be written"),
        (["replay", "{events}", "--config", "{missing}"], "check the path"),
        (["replay", "{events}", "--pretrain", "{missing}"], "quality.pretrain_file: cannot read"),
        (["replay", "{events}", "--set", "loop.recovery_steps"], "write it as SECTION.KEY=VALUE"),
        (["replay", "{events}", "--set", "loop.recovery_step=1"], "did you mean loop.recovery_steps?"),
        (["replay", "{events}", "--set", "loop.recovery_steps=many"], "loop.recovery_steps"),
        (["replay", "{events}", "--set", "profiles.selection=spiral"], "spiral"),
        (["replay", "{events}", "--no-such-option"], "No such option: --no-such-option"),
        (["rewind"], "No such command 'rewind'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, events: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = events.read_bytes()
    names = {"events": events, "missing": tmp_path / "missing", "new": tmp_path / "new", "folder": tmp_path}
    ended = run_command(capfd, *(argument.format(**names) for argument in arguments))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("creative-feedback: ")
    assert ended.err.count("\n") == 1
    assert message in ended.err
    assert events.read_bytes() == before
