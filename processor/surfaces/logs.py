"""Structured logs: JSON for machines, console lines for people.

Whatever is logged is one line (JSON), or one line and an indented traceback (console): see `log_values` for what
becomes of values, `log_throttle` for what becomes of repetition, `log_lines` for where nobody reads.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

from processor.config import LogsConfig
from processor.surfaces.log_lines import Lines
from processor.surfaces.log_throttle import Throttle
from processor.surfaces.log_values import exception_text, hidden, plain, quoted, visible

_FIRST: Final = ("timestamp", "level", "logger", "event")
_COLORS: Final = {"debug": 90, "warning": 33, "error": 31, "critical": 31}


def begin_logging(logs: LogsConfig, instance: str | None = None, *, debug: bool = False) -> None:
    """Log to standard error as the settings say; with ``debug`` everything.

    Every line names the ``instance``, since several may share one standard error.
    """
    level = logging.DEBUG if debug else logging.getLevelNamesMapping()[logs.level.upper()]
    named = {} if instance is None else {"instance": instance}
    configure_logging(level, json_lines=None if logs.format == "auto" else logs.format == "json", named=named)


def configure_logging(
    level: int = logging.INFO,
    *,
    json_lines: bool | None = None,
    stream: TextIO | None = None,
    named: Mapping[str, Any] | None = None,
) -> None:
    """Log from `level` on to `stream` (standard error by default), as JSON where it is no terminal.

    Applies to structlog and to the standard library's root logger alike; calling it again replaces what it
    set before. Every line has ``timestamp`` (RFC 3339, UTC), ``level``, ``logger`` and ``event``; one that stands for
    others too has their number as ``left_out``. The fields in ``named`` are in every line.
    """
    everywhere = dict(named or {})
    target = sys.stderr if stream is None else stream
    as_json = not target.isatty() if json_lines is None else json_lines
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]

    def harmless(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return _harmless(event, everywhere)

    handler = Lines(target)
    handler.addFilter(Throttle())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                _count_left_out,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                harmless,
                _json_line if as_json else _colored_line if target.isatty() else _console_line,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _count_left_out(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    left_out = getattr(event["_record"], "left_out", 0)
    if left_out:
        event["left_out"] = left_out
    return event


def _harmless(event: MutableMapping[str, Any], everywhere: Mapping[str, Any]) -> MutableMapping[str, Any]:
    """Plain data in the order in which people read it."""
    tidy: dict[str, Any] = {key: plain(event.pop(key)) for key in _FIRST if key in event}
    tidy |= everywhere
    exception = event.pop("exception", None)
    tidy |= {str(key): hidden(str(key), plain(value)) for key, value in event.items()}
    if exception is not None:
        tidy["exception"] = exception_text(str(exception))
    return tidy


def _json_line(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    # ASCII alone: what is not, bidi marks among it, is escaped, and a parser gives it back as it was.
    return json.dumps(event).replace("\x7f", "\\u007f")


def _console_line(logger: Any, name: str, event: MutableMapping[str, Any], *, color: str = "", end: str = "") -> str:
    level, exception = str(event.pop("level", "")), event.pop("exception", None)
    line = (
        f"{visible(str(event.pop('timestamp', '')))} {color}{visible(level):<8}{end} "
        f"{visible(str(event.pop('event', '')))}"
    )
    source = event.pop("logger", None)
    pairs = [f"{quoted(key)}={quoted(value)}" for key, value in event.items()]
    if source is not None:
        pairs.append(f"[{visible(str(source))}]")
    if pairs:
        line += "  " + " ".join(pairs)
    if exception is not None:
        # Indented, so that no line in it can be taken for one of the log.
        line += "".join(f"\n    | {visible(part)}" for part in str(exception).split("\n"))
    return line


def _colored_line(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    return _console_line(logger, name, event, color=f"\x1b[{_COLORS.get(str(event.get('level')), 32)}m", end="\x1b[0m")
