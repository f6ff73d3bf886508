"""The loop closed inside this process: a population's events through a fold, whose actions it hears."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from processor.engine.ports import Fold, Header
from processor.surfaces.replay import Line
from processor.surfaces.simulator.population import Population


class HeardAction(Struct):
    """What a simulated session hears of an action; the answer to a refused event carries no entropy."""

    session_id: str
    current_factor: float | None = None


_decoder = msgspec.json.Decoder(HeardAction)


def hear(population: Population, action: bytes) -> None:
    """Pass one action on to the session it is for."""
    heard = _decoder.decode(action)
    if heard.current_factor is not None:
        population.hear(heard.session_id, heard.current_factor)


class _Answers:
    """An outbox that passes the actions on; the rest falls on deaf ears."""

    def __init__(self, population: Population) -> None:
        self._population = population

    def action(self, key: bytes | None, value: bytes, headers: list[Header]) -> None:
        hear(self._population, value)

    def metric(self, key: bytes | None, value: bytes, headers: list[Header]) -> None: ...

    def dead_letter(self, key: bytes | None, value: bytes | None, headers: list[Header]) -> None: ...


def closed_loop_values(population: Population, fold: Fold) -> Iterator[bytes]:
    """Endless event values: each session's next step knows the action that its last one was answered with.

    Replaying the values under the fold's settings gives exactly the actions that were heard.
    """
    answers = _Answers(population)
    offset = 0
    while True:
        for _, value in population.turn():
            fold.process((Line(offset, value),), answers)
            offset += 1
            yield value
            if offset % 1024 == 0:
                fold.changes()  # nobody stores them here: taken, so that they do not pile up
