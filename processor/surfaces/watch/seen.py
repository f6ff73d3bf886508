"""What comes with a beat, as those see it who listen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from processor.surfaces.watch.beat import Beat
from schemas.codec import encode_json
from schemas.metrics import Metric


class _Name(Struct):
    session_id: str


_json_name = msgspec.json.Decoder(_Name)
_msgpack_name = msgspec.msgpack.Decoder(_Name)
_json = msgspec.json.Decoder(Metric)
_msgpack = msgspec.msgpack.Decoder(Metric)


class SeenMetric(NamedTuple):
    """A committed metric; ``json`` is its text as it is on the topic."""

    session_id: str
    metric: Metric
    json: bytes


class Happening(Struct):
    """Something that happened to a session, with the diary's name and fields; ``at`` is when it was heard of."""

    number: int
    at: str
    kind: str
    session: str
    fields: dict[str, Any]

    def flat(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            **self.fields,
            "number": self.number,
            "at": self.at,
            "kind": self.kind,
            "session": self.session,
        }


class Listener(Protocol):
    """Hears every beat after the picture has taken it in."""

    def heard(self, beat: Beat, metrics: Sequence[SeenMetric], happened: Sequence[Happening]) -> None: ...


def rfc3339(wall: float) -> str:
    """Seconds since the epoch as RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seen_metric(value: bytes) -> SeenMetric | None:
    """None where the bytes are no metric, which the processor never writes."""
    try:
        if value[:1] == b"{":
            metric = _json.decode(value)
            return SeenMetric(metric.session_id, metric, value)
        metric = _msgpack.decode(value)
    except msgspec.DecodeError:
        return None
    return SeenMetric(metric.session_id, metric, encode_json(metric))


def session_of(value: bytes) -> str | None:
    """Whose metric it is, without the rest."""
    try:
        return (_json_name if value[:1] == b"{" else _msgpack_name).decode(value).session_id
    except msgspec.DecodeError:
        return None
