"""How far work on partitions is, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from processor.surfaces.audit import Told


class _Rate(ProgressColumn):
    """Input records per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


@contextmanager
def partition_bars() -> Iterator[Told]:
    """A bar per partition on stderr, with rate and time left, where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _partition, _done, _total: None
        return
    bars: dict[int, int] = {}
    columns = "partition {task.description}", BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:

        def show(partition: int, done: int, total: int) -> None:
            if partition not in bars:
                bars[partition] = progress.add_task(str(partition))
            progress.update(bars[partition], completed=done, total=total)  # type: ignore[arg-type]

        yield show
