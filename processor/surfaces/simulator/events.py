"""A simulated session's events as JSON lines, with a chosen share of imperfections.

An imperfection never changes the dynamics: it is an extra record (a repeat, a broken line, a refused
value), a flag in the event (an emergency, a forced injection) or a field left out.  Which step has which
is drawn like everything else from the hash of seed, session and step.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from processor.surfaces.simulator.sessions import SimulatedSession, State, session_key, uniforms

FIRST_TIMESTAMP = datetime(2026, 1, 1, tzinfo=UTC)
STEP_INTERVAL = timedelta(milliseconds=100)
"""Of the sessions' own time; the pace of sending is the sender's affair."""

Record = tuple[bytes | None, bytes]
"""Key and value of one event."""

IMPERFECTIONS: Final = (
    "duplicate",
    "broken",
    "refused",
    "clamped",
    "missing",
    "emergency",
    "lambda_spike",
    "forced",
)
"""Kinds, equally likely: sent twice; not decodable; a value that is no number; out of range; a field
left out; an emergency override; lambda_max beyond its limit; an injection forced from outside."""

_REFUSED_VALUES: Final = ('"high"', "true", "[0.4]", "NaN", "1e999")
_FLAW_LANE = 2


class Numbered(NamedTuple):
    """A session's place in the population and the name it goes by."""

    number: int
    session_id: str


@lru_cache(maxsize=4096)
def _timestamp(step: int) -> str:
    moment = FIRST_TIMESTAMP + step * STEP_INTERVAL
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SessionEvents:
    """The events of one session: `following(entropy)` gives the records of its next step, in order.

    ``imperfections`` is the share of steps with one, 0 to 1.
    """

    __slots__ = ("_imperfections", "_key", "_next_sequence", "dynamics", "record_key", "session_id")

    def __init__(self, seed: int, who: Numbered, dynamics: SimulatedSession, imperfections: float) -> None:
        self.session_id = who.session_id
        self.record_key = who.session_id.encode()
        self.dynamics = dynamics
        self._key = session_key(seed, who.number)
        self._imperfections = imperfections
        self._next_sequence = 0

    def following(self, entropy: float) -> Sequence[Record]:
        """Move the session once; usually one record, two or three where the step is imperfect."""
        state = self.dynamics.step(entropy)
        sequence = self._next_sequence
        self._next_sequence += 1
        if self._imperfections:
            u = uniforms(self._key, sequence, _FLAW_LANE)
            if u[0] < self._imperfections:
                kind = IMPERFECTIONS[int(u[1] * len(IMPERFECTIONS))]
                return [(self.record_key, value) for value in self._imperfect(kind, sequence, state, u[2])]
        return ((self.record_key, self._event(sequence, _fields(state))),)

    def _event(self, sequence: int, fields: str) -> bytes:
        return (
            f'{{"session_id": "{self.session_id}", "sequence": {sequence}, '
            f'"timestamp": "{_timestamp(sequence)}", "state": {{{fields}}}}}'
        ).encode()

    def _imperfect(self, kind: str, sequence: int, state: State, u: float) -> Sequence[bytes]:
        fields = _fields(state)
        event = self._event(sequence, fields)
        match kind:
            case "duplicate":
                return event, event
            case "broken":
                return event[: 1 + int(u * (len(event) - 1))], event
            case "refused":
                value = _REFUSED_VALUES[int(u * len(_REFUSED_VALUES))]
                return self._event(sequence, f'"novelty": {value}, "aesthetic_score": 0.5'), event
            case "clamped":
                return (self._event(sequence, _fields(state._replace(novelty=1.0 + u))),)
            case "missing":
                return (self._event(sequence, fields.split(", ", 1)[1]),)
            case "emergency":
                return (self._event(sequence, f'{fields}, "emergency_override": true'),)
            case "lambda_spike":
                return (self._event(sequence, _fields(state._replace(lambda_max=0.1 + 0.1 * u))),)
            case _:
                return (self._event(sequence, f'{fields}, "force_inject": true'),)


def _fields(state: State) -> str:
    return (
        f'"novelty": {state.novelty:.4f}, "aesthetic_score": {state.aesthetic_score:.4f}, '
        f'"volatility": {state.volatility:.4f}, "lambda_max": {state.lambda_max:.4f}'
    )
