"""Logs: one line per event, JSON or console, nothing forged."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from creative_feedback import configure_logging


@pytest.fixture(autouse=True)
def _logging_left_as_found() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_json_lines_carry_event_level_time_and_fields() -> None:
    stream = io.StringIO()
    configure_logging(logging.INFO, stream=stream)
    structlog.get_logger("x").info("creative_mode_transition", from_mode="stable", to_mode="exploring")
    logging.getLogger("y").warning("plain %s", "words")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "creative_mode_transition",
        "level": "info",
        "from_mode": "stable",
        "to_mode": "exploring",
    }
    assert (second["event"], second["level"]) == ("plain words", "warning")


@pytest.mark.parametrize("json_lines", [True, False])
def test_level_holds_for_both_loggers(json_lines: bool) -> None:
    stream = io.StringIO()
    configure_logging(logging.WARNING, json_lines=json_lines, stream=stream)
    structlog.get_logger().info("quiet")
    logging.getLogger("y").info("quiet")
    assert stream.getvalue() == ""
    structlog.get_logger().warning("heard")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("json_lines", [True, False])
def test_control_characters_cannot_forge_a_line(json_lines: bool) -> None:
    stream = io.StringIO()
    configure_logging(logging.INFO, json_lines=json_lines, stream=stream)
    structlog.get_logger().info("seen", session="s\n2026-01-01 [error] forged\x1b[31m")
    logging.getLogger("y").info("plain %s", "s\nforged\x1b[31m")
    written = stream.getvalue()
    assert len(written.splitlines()) == 2
    assert "\x1b" not in written


def test_configuring_again_replaces_what_was_set() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging(stream=first)
    configure_logging(stream=second)
    structlog.get_logger().info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1
