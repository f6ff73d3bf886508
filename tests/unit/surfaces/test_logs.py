"""Logs: one line per event, JSON or console, nothing forged, nothing secret, nothing again and again."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TextIO

import pytest
import structlog

from creative_feedback import configure_logging
from processor.config import LogsConfig
from processor.surfaces.log_lines import LOST_EVENT
from processor.surfaces.log_throttle import DISTINCT_LINES, REMEMBERED, Throttle
from processor.surfaces.log_values import (
    MAX_EXCEPTION_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    exception_text,
    plain,
    visible,
    without_secrets,
)
from processor.surfaces.logs import begin_logging

# A new line, colours, a bell, C1 controls, bidi overrides, an invisible space, a line separator, half a character.
HOSTILE = "s\n2026-01-01T00:00:00Z error    forged\r\x1b[31m\x07\x7f\x9b2J\u202egnp\u2066\u200b\u2028\ud800"
FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028\u202e\u2066\ud800]")


@pytest.fixture(autouse=True)
def _logging_left_as_found() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_carry_event_level_time_logger_and_fields(stream: io.StringIO) -> None:
    configure_logging(logging.INFO, stream=stream)
    structlog.stdlib.get_logger("x").info("creative_mode_transition", from_mode="stable", to_mode="exploring")
    logging.getLogger("y").warning("plain %s", "words")
    first, second = parsed(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first.pop("timestamp"))
    assert first == {
        "level": "info",
        "logger": "x",
        "event": "creative_mode_transition",
        "from_mode": "stable",
        "to_mode": "exploring",
    }
    assert (second["event"], second["level"], second["logger"]) == ("plain words", "warning", "y")


def test_console_lines_show_the_same(stream: io.StringIO) -> None:
    configure_logging(logging.INFO, json_lines=False, stream=stream)
    structlog.stdlib.get_logger("x").info("creative_mode_transition", session="the first", gain=0.5, why=None)
    assert re.fullmatch(
        r'\S+Z info     creative_mode_transition  session="the first" gain=0\.5 why=None \[x\]\n', stream.getvalue()
    )


def test_only_a_terminal_gets_colours() -> None:
    terminal, file = Terminal(), io.StringIO()
    configure_logging(stream=terminal)
    logging.getLogger("y").error("words")
    configure_logging(stream=file, json_lines=False)
    logging.getLogger("y").error("words")
    assert "\x1b[31merror" in terminal.getvalue()
    assert "\x1b" not in file.getvalue()


@pytest.mark.parametrize("json_lines", [True, False])
def test_level_holds_for_both_loggers(json_lines: bool, stream: io.StringIO) -> None:
    configure_logging(logging.WARNING, json_lines=json_lines, stream=stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("y").info("quiet")
    assert stream.getvalue() == ""
    structlog.get_logger().warning("heard")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("logs", "debug", "heard"),
    [
        (LogsConfig(), False, ["info", "error"]),
        (LogsConfig(level="error"), False, ["error"]),
        (LogsConfig(level="error"), True, ["debug", "info", "error"]),
    ],
)
def test_settings_and_the_debug_flag_choose_the_level(
    logs: LogsConfig, debug: bool, heard: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    begin_logging(logs, debug=debug)
    for level in ("debug", "info", "error"):
        getattr(logging.getLogger("y"), level)("words of %s", level)
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == heard


@pytest.mark.parametrize(("chosen", "as_json"), [("auto", True), ("json", True), ("console", False)])
def test_settings_choose_the_format(chosen: Any, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging(LogsConfig(format=chosen))
    logging.getLogger("y").info("words")
    assert capsys.readouterr().err.startswith("{") is as_json


def test_lines_of_several_instances_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging(LogsConfig(), "w-0")
    structlog.get_logger().info("words", instance="of another")
    logging.getLogger("y").info("words")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["instance"] for line in lines] == ["of another", "w-0"]


@pytest.mark.parametrize("json_lines", [True, False])
@pytest.mark.parametrize("place", ["value", "nested", "key", "event", "message", "logger", "exception", "object"])
def test_nothing_that_is_logged_can_forge_or_hide_a_line(json_lines: bool, place: str, stream: io.StringIO) -> None:
    configure_logging(logging.INFO, json_lines=json_lines, stream=stream)
    log = structlog.stdlib.get_logger("x")
    match place:
        case "value":
            log.info("seen", session=HOSTILE)
        case "nested":
            log.info("seen", sessions=[{HOSTILE: HOSTILE}])
        case "key":
            log.info("seen", **{HOSTILE: 1})
        case "event":
            log.info(HOSTILE)
        case "message":
            logging.getLogger("y").info("plain %s", HOSTILE)
        case "logger":
            logging.getLogger(HOSTILE).info("words")
        case "object":
            log.info("seen", error=ValueError(HOSTILE), key=HOSTILE.encode("utf-8", "replace"))
        case "exception":
            try:
                raise ValueError(HOSTILE)
            except ValueError:
                log.exception("failed")
    written = stream.getvalue()
    assert not FORBIDDEN.search(written)
    lines = written.splitlines()
    assert sum(not line.startswith("    | ") for line in lines) == 1
    assert place == "exception" or len(lines) == 1
    if json_lines:
        assert repr(HOSTILE)[1:-1] in str(json.loads(written)) or place in ("exception", "object")


def test_json_gives_names_back_as_they_were(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    structlog.get_logger().info("seen", session=HOSTILE, other="日本 \U0001f3b7")
    assert parsed(stream)[0]["session"] == HOSTILE
    assert parsed(stream)[0]["other"] == "日本 \U0001f3b7"


def test_console_shows_letters_of_every_script() -> None:
    assert visible("日本 \U0001f3b7 sürprise") == "日本 \U0001f3b7 sürprise"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sasl_plain_password='hunter 2', x=1", "sasl_plain_password=***, x=1"),
        ('{"password": "hunter2", "a": 1}', '{"password": ***, "a": 1}'),
        (
            "SaslAuthenticateRequest_v1(sasl_auth_bytes=b'\\x00user\\x00hunter2')",
            "SaslAuthenticateRequest_v1(sasl_auth_bytes=***)",
        ),
        ("client_secret=hunter2&scope=x", "client_secret=***&scope=x"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("got bearer eyJhbGciOiJIUzI1NiJ9.e30", "got bearer ***"),
        ("https://user:hunter2@collector:4318/v1", "https://***@collector:4318/v1"),
        ("https://collector:4318/v1", "https://collector:4318/v1"),
        ("the token endpoint refused the secret: 401", "the token endpoint refused the secret: 401"),
        ("kafka.sasl_password_file: no such file", "kafka.sasl_password_file: no such file"),
        ("generation 3: partitions [1, 2]", "generation 3: partitions [1, 2]"),
    ],
)
def test_secrets_are_starred_and_other_words_left(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize("json_lines", [True, False])
def test_no_secret_reaches_a_line(json_lines: bool, stream: io.StringIO) -> None:
    configure_logging(json_lines=json_lines, stream=stream)
    log = structlog.get_logger()
    log.info(
        "seen",
        token=True,
        secret=None,
        password="hunter2",
        nested={"Authorization": "hunter2", "kept": "kept"},
        password_file="a.txt",
    )
    logging.getLogger("y").info("settings %s", {"client_secret": "hunter2"})
    try:
        raise ValueError("token=hunter2")
    except ValueError:
        log.exception("failed")
    assert "hunter2" not in stream.getvalue()
    assert "kept" in stream.getvalue()
    assert re.search(r"token\W+true\W+secret\W+(null|None)", stream.getvalue(), re.IGNORECASE)
    assert "a.txt" in stream.getvalue()


def test_values_are_plain_and_bounded() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert plain(float("nan")) == "nan"
    assert plain(Broken()) == "<Broken: RuntimeError>"
    assert len(plain("x" * 100_000)) < MAX_TEXT_CHARACTERS + 50
    assert len(plain(list(range(1_000)))) == 50
    deep: Any = "bottom"
    for _ in range(100):
        deep = [deep]
    assert len(json.dumps(plain(deep))) < MAX_TEXT_CHARACTERS
    shortened = exception_text("first\n" + "x" * 100_000 + "\nlast")
    assert len(shortened) < MAX_EXCEPTION_CHARACTERS + 50
    assert shortened.startswith("first")
    assert shortened.endswith("last")


def test_configuring_again_replaces_what_was_set() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(stream=first)
    configure_logging(stream=second)
    structlog.get_logger().info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_a_record_that_cannot_be_rendered_is_named_without_its_arguments(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    logging.getLogger("y").warning("%d apples", "hunter2")
    [line] = parsed(stream)
    assert (line["event"], line["logger"], line["error"]) == ("log_line_failed", "y", "TypeError")
    assert "hunter2" not in stream.getvalue()


def test_a_closed_stream_harms_nobody(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    stream.close()
    structlog.get_logger().info("nobody reads this")


# Nobody reads


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        yield reading, stream
        logging.getLogger().handlers = []
    with suppress(OSError):
        os.close(reading)


def test_a_full_pipe_holds_nothing_up_and_the_lost_lines_are_told(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    configure_logging(stream=stream)
    log = structlog.stdlib.get_logger("x")
    for number in range(2_000):  # about 400 KiB into a pipe of 64: a blocking write would not return
        log.info("words", number=number, filling="x" * 100)
    received = os.read(reading, 1 << 20)
    log.info("words", number=-1)
    while b'"number": -1' not in received:
        received += os.read(reading, 1 << 20)
        logging.getLogger().handlers[0].flush()
    lines = [json.loads(line) for line in received.splitlines()]
    numbers = [line["number"] for line in lines if line["event"] == "words"]
    told = [line for line in lines if line["event"].startswith(LOST_EVENT)]
    assert numbers == [*range(len(numbers) - 1), -1]
    assert [line["event"] for line in told] == [f"{LOST_EVENT}: {2_000 - (len(numbers) - 1)}"]


def test_long_lines_arrive_whole_and_in_order(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    configure_logging(stream=stream)
    for number in range(5):
        structlog.get_logger().info("words", number=number, long={str(key): "x" * 500 for key in range(10)})
    print("printed", file=stream)
    logging.getLogger("y").info("last")
    lines = os.read(reading, 1 << 20).splitlines()
    assert [json.loads(line)["number"] for line in lines[:5]] == list(range(5))
    assert lines[5] == b"printed"
    assert json.loads(lines[6])["event"] == "last"


def test_a_reader_that_has_gone_harms_nobody(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    configure_logging(stream=stream)
    os.close(reading)
    logging.getLogger("y").warning("nobody reads this")
    logging.getLogger().handlers[0].flush()


def test_an_end_waits_a_moment_for_a_slow_reader(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    configure_logging(stream=stream)
    for number in range(600):
        structlog.get_logger().info("words", number=number, filling="x" * 50)
    received: list[bytes] = []
    slow = threading.Thread(target=lambda: received.extend(iter(lambda: os.read(reading, 1 << 16), b"")))
    slow.start()
    logging.getLogger().handlers[0].flush()
    stream.close()
    slow.join()
    assert [json.loads(line)["number"] for line in b"".join(received).splitlines()] == list(range(600))


# Repetition


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def record(message: str, *arguments: object, level: int = logging.INFO, name: str = "y") -> logging.LogRecord:
    return logging.LogRecord(name, level, "f", 1, message, arguments, None)


def passed(throttle: Throttle, *records: logging.LogRecord) -> list[tuple[str, int]]:
    return [(entry.getMessage(), getattr(entry, "left_out", 0)) for entry in records if throttle.filter(entry)]


def test_a_message_is_told_first_and_then_every_interval_with_the_number_left_out() -> None:
    clock = Clock()
    throttle = Throttle(5.0, clock=clock)
    told = []
    for _ in range(16 * 12):  # twelve seconds
        told += [(clock.now - 100, *line) for line in passed(throttle, record("node %s: refused", 1))]
        clock.now += 1 / 16
    assert told == [(0, "node 1: refused", 0), (5, "node 1: refused", 79), (10, "node 1: refused", 79)]


def test_partitions_nodes_loggers_and_levels_are_told_apart() -> None:
    throttle = Throttle(clock=Clock())
    different = [
        *(record("%s-%d ends", "tori.state", partition) for partition in range(4)),
        record("%s-%d ends", "tori.state", 0, level=logging.WARNING),
        record("%s-%d ends", "tori.state", 0, name="z"),
    ]
    assert len(passed(throttle, *different)) == 6
    assert passed(throttle, *different) == []


def test_one_template_with_ever_new_values_is_bounded_too() -> None:
    clock = Clock()
    throttle = Throttle(5.0, clock=clock)
    assert len(passed(throttle, *(record("request %d failed", number) for number in range(1_000)))) == DISTINCT_LINES
    clock.now += 5.0
    assert passed(throttle, record("request %d failed", 1_000)) == [("request 1000 failed", 990)]


def test_what_was_asked_for_or_is_bounded_elsewhere_is_not_throttled() -> None:
    throttle = Throttle(clock=Clock())
    assert len(passed(throttle, *[record("words", level=logging.DEBUG)] * 20)) == 20
    happened = logging.LogRecord("y", logging.INFO, "f", 1, {"event": "creative_mode_transition"}, (), None)
    assert [throttle.filter(happened) for _ in range(20)] == [True] * 20
    dropped = logging.LogRecord("y", logging.WARNING, "f", 1, {"event": "creative_metric_dropped"}, (), None)
    assert [throttle.filter(dropped) for _ in range(3)] == [True, False, False]


def test_what_is_remembered_is_bounded() -> None:
    throttle = Throttle(clock=Clock())
    for number in range(3 * REMEMBERED):
        throttle.filter(record(f"template {number}"))
    assert len(throttle._messages) <= REMEMBERED
    assert len(throttle._templates) <= REMEMBERED


def test_lines_say_how_many_they_stand_for(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("processor.surfaces.logs.Throttle", partial(Throttle, clock=clock))
    configure_logging(stream=stream)
    for _ in range(3):
        logging.getLogger("y").warning("again")
    clock.now += 5.0
    logging.getLogger("y").warning("again")
    assert [(line["event"], line.get("left_out")) for line in parsed(stream)] == [("again", None), ("again", 2)]
