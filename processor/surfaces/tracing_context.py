"""The trace context a producer sent along, as W3C writes it into headers; strangers write there too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from schemas.headers import TRACEPARENT, TRACESTATE

MAX_TRACEPARENT_BYTES: Final = 512  # later versions may be longer than the 55 of version 00
MAX_TRACESTATE_BYTES: Final = 512  # what W3C asks to carry at least; more is carried on, but not into spans

_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_USUAL_BYTES: Final = 55
_SAMPLED: Final = b"13579bdf"  # the last digit of the flags with the lowest bit set
_VERSION_00: Final = b"00"
_NO_VERSION: Final = b"ff"
_MEMBERS: Final = 32
_MEMBER: Final = re.compile(
    r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})="
    r"[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)


def sampled_context(headers: Iterable[tuple[str, bytes | None]]) -> SpanContext | None:
    """The producer's span where it is sampled; None where there is none, or none that W3C would accept.

    Of several headers with one name the last counts, as Kafka's own clients read them.
    """
    parent = state = None
    for name, value in headers:
        if name == TRACEPARENT:
            parent = value
        elif name == TRACESTATE:
            state = value
    if parent is None or len(parent) > MAX_TRACEPARENT_BYTES:
        return None
    if len(parent) == _USUAL_BYTES and parent[-1] not in _SAMPLED:
        return None  # nearly all of them: not worth a closer look
    found = _TRACEPARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == _NO_VERSION or (version == _VERSION_00 and rest is not None):
        return None
    traced = TraceFlags(int(flags, 16))
    if not traced.sampled:
        return None
    context = SpanContext(int(trace_id, 16), int(span_id, 16), True, traced, _state(state))
    return context if context.is_valid else None


def _state(value: bytes | None) -> TraceState | None:
    """The vendors' entries; a list with one that is wrong is none, and says nothing about the parent."""
    if not value or len(value) > MAX_TRACESTATE_BYTES or not value.isascii():
        return None
    members = [member for part in value.decode("ascii").split(",") if (member := part.strip(" \t"))]
    if len(members) > _MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        return None
    entries = [(name, text) for name, _, text in (member.partition("=") for member in members)]
    return TraceState(entries) if len(dict(entries)) == len(entries) else None
