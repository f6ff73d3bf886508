"""A picture with an exposition, and what a scrape of it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from processor.config import Settings, settings_from
from processor.surfaces.prometheus import Exposition
from processor.surfaces.stream_counts import StreamCounts
from processor.surfaces.watch.beat import Beat
from processor.surfaces.watch.picture import Picture

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

Sample = tuple[str, tuple[tuple[str, str], ...]]


def sample(name: str, **labels: str) -> Sample:
    return name, tuple(sorted(labels.items()))


class Scraped:
    """One process: beats go in, samples come out; time stands still unless it is moved."""

    def __init__(self, stream: StreamCounts | None = None, **sections: Any) -> None:
        self.settings: Settings = settings_from(sections)
        self.now = 1_000.0
        self.picture = Picture(self.settings, monotonic=lambda: self.now)
        self.exposition = Exposition(
            self.settings, self.picture.instances, stream or StreamCounts(), monotonic=lambda: self.now
        )
        self.picture.listeners.append(self.exposition)
        self._sequence = 0

    def hear(self, instance: str = "w-0", began: float = 500.0, **told: Any) -> None:
        """A beat that tells this."""
        self._sequence += 1
        told.setdefault("phase", "working")
        self.picture.hear(Beat(instance, self._sequence, 2_000.0, began, **told))

    def text(self) -> str:
        return self.exposition.render("")[0].decode()

    def samples(self) -> dict[Sample, float]:
        """Every sample of a scrape, as an OpenMetrics parser reads it; the plain format holds the same."""
        body, _ = self.exposition.render(OPENMETRICS)
        read = _samples(families_of(body.decode()))
        plain = _samples(plain_families(self.text()))
        own = {name for name in read if not name[0].startswith("process_")}
        assert own == {name for name in plain if not name[0].startswith("process_")}
        return read

    def __getitem__(self, name: Sample) -> float:
        return self.samples()[name]

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """Label values, in the order of the labels' names, and the value of every series of a name."""
        found = {labels: value for (known, labels), value in self.samples().items() if known == name}
        return {tuple(value for _, value in labels): number for labels, number in found.items()}


def families_of(text: str) -> list[Metric]:
    """What an OpenMetrics parser reads; raises `ValueError` where the text is none."""
    return list(openmetrics_families(text))  # type: ignore[no-untyped-call]


def _samples(families: Iterable[Metric]) -> dict[Sample, float]:
    found: dict[Sample, float] = {}
    for family in families:
        for each in family.samples:
            name = sample(each.name, **each.labels)
            assert name not in found, f"{name} twice"
            found[name] = each.value
    return found
