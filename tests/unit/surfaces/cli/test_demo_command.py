"""The settings of a demo, and that a wrong one is told before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from processor.config import load_settings
from processor.surfaces.cli.demo import DEMO_SETTINGS, demo_flags, worker_options
from processor.surfaces.cli.options import flags_of
from tests.unit.surfaces.cli.commands import run_command


def test_own_settings_give_way_to_environment_file_and_flags(tmp_path: Path) -> None:
    environ = {"CREATIVE_FEEDBACK__LOOP__RECOVERY_STEPS": "99"}
    assert load_settings(None, {}, demo_flags(None, {}, {})).loop.recovery_steps == 15
    assert load_settings(None, environ, demo_flags(None, environ, {})).loop.recovery_steps == 99
    flags = demo_flags(None, environ, {"loop.recovery_steps": "7"})
    assert load_settings(None, environ, flags).loop.recovery_steps == 7
    file = tmp_path / "settings.toml"
    file.write_text("[topics]\nstate = 'mine'\n")
    settings = load_settings(file, {}, demo_flags(file, {}, {}))
    assert (settings.loop.recovery_steps, settings.topics.state) == (30, "mine")


def test_workers_get_the_same_settings() -> None:
    flags = demo_flags(None, {}, {"quality.min_samples": "5", "loop.performance_weights": "[0.2, 0.8, 0.0]"})
    options = worker_options(None, flags)
    assert options[::2] == ["--set"] * len(flags)
    assert load_settings(None, {}, flags_of(options[1::2])) == load_settings(None, {}, flags)


def test_help_names_every_own_setting(capfd: pytest.CaptureFixture[str]) -> None:
    text = " ".join(run_command(capfd, "demo", "--help").out.split())
    assert all(f"{name} {value}" in text for name, value in DEMO_SETTINGS.items())


def test_wrong_setting_starts_no_broker(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "demo", "--set", "loop.recovery_step=1")
    assert (ended.code, ended.out) == (2, "")
    assert "did you mean loop.recovery_steps?" in ended.err
