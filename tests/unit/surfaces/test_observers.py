"""Several observers as one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from processor.engine.observer import Observer
from processor.surfaces.observers import Observers

WORDS = [name for name, _ in inspect.getmembers(Observer, inspect.isfunction)]


class Listening(Observer):
    """Notes every word that the engine says."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name in WORDS:
            return lambda *told: self.heard.append((name, told))
        return super().__getattribute__(name)


class Broken(Observer):
    """Fails whatever it is told."""

    def __getattribute__(self, name: str) -> Any:
        if name in WORDS:
            return lambda *told: 1 / 0
        return super().__getattribute__(name)


@pytest.mark.parametrize("word", WORDS)
def test_a_defect_of_one_reaches_neither_the_others_nor_the_engine(word: str, caplog: pytest.LogCaptureFixture) -> None:
    listening = Listening()
    told = tuple(range(len(inspect.signature(getattr(Observer, word)).parameters) - 1))
    getattr(Observers([Broken(), listening]), word)(*told)
    assert listening.heard == [(word, told)]
    assert f"Broken: {word} could not be told" in caplog.text


def test_want_of_memory_is_no_defect_of_an_observers() -> None:
    class Full(Observer):
        def settled(self) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        Observers([Full()]).settled()
