"""The progress of a download, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from processor.surfaces.ports import FetchProgress


@contextmanager
def fetch_progress() -> Iterator[FetchProgress]:
    """A bar on stderr while there is something to fetch; without a terminal a line per quarter."""
    console = Console(stderr=True)
    bar = Progress(
        "fetching Apache Kafka", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    )  # fmt: skip
    task = bar.add_task("fetch", total=None)
    told_quarters = -1

    def show(present_bytes: int, total_bytes: int) -> None:
        nonlocal told_quarters
        if console.is_terminal:
            bar.start()
            bar.update(task, completed=present_bytes, total=total_bytes)
            if present_bytes >= total_bytes:
                bar.stop()
        elif (quarters := 4 * present_bytes // total_bytes) > told_quarters:
            told_quarters = quarters
            console.print(f"fetching Apache Kafka: {present_bytes >> 20} of {total_bytes >> 20} MB")

    try:
        yield show
    finally:
        if bar.live.is_started:  # stopping it unstarted would print an empty line
            bar.stop()
