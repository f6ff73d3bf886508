"""The command line as a whole: version, help, exit codes, tracebacks."""

from __future__ import annotations

from importlib.metadata import version

import pytest
import typer

from processor.config import all_keys
from processor.errors import ConfigError, Fenced, ProcessorError, Refused, Unreachable
from processor.surfaces.cli import cli
from processor.surfaces.cli.exits import DEBUG_VARIABLE, Difference, ExitCode, exit_code, one_line
from tests.unit.surfaces.cli.commands import run_command

COMMANDS = [
    [], ["run"], ["demo"], ["simulate"], ["replay"], ["settings"],
    ["topics"], ["topics", "plan"], ["topics", "apply"], ["topics", "check"], ["broker"], ["broker", "start"],
]  # fmt: skip


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd, "--version")
    assert (ended.code, ended.out) == (0, f"creative-feedback {version('creative-feedback')}\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_a_terminal_of_80_columns_without_escapes(
    command: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = run_command(capfd, *command, "--help")
    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "\x1b" not in ended.out


def test_help_names_every_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    text = run_command(capfd, "--help").out
    assert all(str(int(code)) in text for code in ExitCode)


def test_every_option_and_command_says_what_it_does() -> None:
    def check(command: object, name: str) -> None:
        for parameter in command.params:  # type: ignore[attr-defined]
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"
        for child_name, child in getattr(command, "commands", {}).items():
            assert child.help, child_name
            check(child, f"{name} {child_name}")

    check(typer.main.get_command(cli), "creative-feedback")


def test_settings_lists_every_key(capfd: pytest.CaptureFixture[str]) -> None:
    text = run_command(capfd, "settings").out
    assert [key for key in all_keys() if f"{key} = " not in text] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), ExitCode.USAGE),
        (typer.BadParameter("x"), ExitCode.USAGE),
        (Unreachable("x"), ExitCode.CLUSTER),
        (Refused("x"), ExitCode.CLUSTER),
        (Difference("x"), ExitCode.FAILED),
        (Fenced("x"), ExitCode.FAILED),
        (ProcessorError("x"), ExitCode.FAILED),
        (RuntimeError("x"), ExitCode.FAILED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
)
def test_exit_code_of_each_error(error: BaseException, code: ExitCode) -> None:
    assert exit_code(error) == code


def test_message_is_one_line_whatever_the_error_says() -> None:
    assert one_line(Refused("first\n  second")) == "first second"
    assert "--debug" in one_line(RuntimeError("surprise"))
    assert one_line(FileNotFoundError(2, "No such file", "there")) == "there: No such file"


class Breaking:
    """A cluster whose use is a bug."""

    def topics(self, settings: object) -> object:
        raise RuntimeError("surprise")


def test_bug_is_told_in_one_line_without_traceback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    ended = run_command(capfd, "topics", "plan", kafka=Breaking())
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "creative-feedback: internal error: RuntimeError: surprise (--debug shows where)\n"


def test_debug_lets_the_traceback_through(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    with pytest.raises(RuntimeError, match="surprise"):
        run_command(capfd, "topics", "plan", kafka=Breaking())


def test_no_arguments_show_the_help_and_are_wrong_usage(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_command(capfd)
    assert ended.code == 2
    assert "replay" in ended.out + ended.err
