"""The live view of a terminal: the story of the sessions, and the processor's own numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, field
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from processor.surfaces.story import Exploration, Story

MODE_STYLES: Final = {"stable": "cyan", "exploring": "magenta", "recovering": "yellow", "emergency": "red"}
LEVELS: Final = " ▁▂▃▄▅▆▇█"
CURVE_WIDTH: Final = 30
SHOWN_EXPLORATIONS: Final = 8
BAR_WIDTH: Final = 24


class Pulse(Struct):
    """The processor's numbers at one moment; counts since the start, rates per second of late."""

    title: str = ""
    dashboard: str | None = None  # its address
    elapsed_s: float = 0.0
    sent: int = 0
    processed: int = 0
    actions: int = 0
    metrics: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    events_per_s: float = 0.0
    lag: int = 0
    commit_p50_ms: float = 0.0
    commit_p99_ms: float = 0.0
    workers: dict[str, str] = field(default_factory=dict)
    audit: str = ""
    audit_equal: bool = True


def sparkline(values: Sequence[float], width: int) -> str:
    """Values in [0, 1] as a curve of ``width`` characters, the last ones if there are more."""
    top = len(LEVELS) - 1
    return "".join(LEVELS[round(min(max(value, 0.0), 1.0) * top)] for value in values[-width:])


def curve(exploration: Exploration, width: int = CURVE_WIDTH) -> str:
    """The factors so far, drawn over the part of the line that is done; dots for what is to come."""
    done = max(1, min(width, round(exploration.progress * width)))
    factors = list(exploration.curve)
    sampled = [factors[min(len(factors) - 1, i * len(factors) // done)] for i in range(done)]
    return sparkline(sampled, done) + "·" * (width - done)


def view(story: Story, pulse: Pulse) -> RenderableType:
    """Everything on one screen of 80 columns."""
    return Group(
        Text(pulse.title, style="bold", overflow="ellipsis", no_wrap=True),
        _numbers(pulse),
        Panel(_modes(story), title=f"{story.sessions:,} sessions by mode", title_align="left"),
        Panel(
            _explorations(story.explorations.values()),
            title=f"{len(story.explorations):,} explorations in progress",
            title_align="left",
        ),
        Panel(_outcomes(story), title=f"gained {story.gain:+.2f}", title_align="left"),
        Text.assemble(
            ("Ctrl-C ends with a summary", "dim"),
            *(() if pulse.dashboard is None else (("; dashboard at ", "dim"), (pulse.dashboard, "bold"))),
        ),
    )


def _numbers(pulse: Pulse) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_row(
        f"{pulse.elapsed_s:6.1f} s",
        f"{pulse.processed:,} events",
        f"{pulse.events_per_s:,.0f}/s",
        f"lag {pulse.lag:,}",
        f"commit p50 {pulse.commit_p50_ms:.0f} / p99 {pulse.commit_p99_ms:.0f} ms",
    )
    quality = Text(
        f"{pulse.actions:,} actions  {pulse.metrics:,} metrics  {pulse.dead_letters:,} dead letters  "
        f"{pulse.duplicates:,} duplicates"
    )
    audit = Text(f"audit: {pulse.audit}", style="green" if pulse.audit_equal else "bold red")
    workers = Text("  ".join(f"{name}: {what}" for name, what in sorted(pulse.workers.items())), style="dim")
    return Group(table, quality, audit, workers)


def _modes(story: Story) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    total = max(1, story.sessions)
    for mode, style in MODE_STYLES.items():
        count = story.modes[mode]
        table.add_row(mode, f"{count:>6,}", Text("█" * round(BAR_WIDTH * count / total), style=style))
    return table


def _explorations(explorations: Iterable[Exploration]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for exploration, _ in zip(explorations, range(SHOWN_EXPLORATIONS), strict=False):
        factor = exploration.curve[-1] if exploration.curve else 0.0
        table.add_row(
            exploration.session_id[:16],
            exploration.profile,
            Text(curve(exploration), style="magenta"),
            f"{exploration.progress:4.0%}",
            f"{factor:.2f}",
        )
    for _ in range(SHOWN_EXPLORATIONS - table.row_count):
        table.add_row("")  # a height that does not jump
    return table


def _outcomes(story: Story) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for profile, outcome in sorted(story.outcomes.items()):
        mean = outcome.gain / outcome.completed if outcome.completed else 0.0
        table.add_row(
            profile,
            f"{outcome.completed:,} completed",
            f"{outcome.aborted:,} aborted",
            f"mean gain {mean:+.3f}",
        )
    if not story.outcomes:
        table.add_row("no exploration has ended yet")
    return table


def line(story: Story, pulse: Pulse) -> str:
    """The same in one line, where there is no terminal."""
    modes = " ".join(f"{mode} {story.modes[mode]}" for mode in MODE_STYLES if story.modes[mode])
    return (
        f"{pulse.elapsed_s:.0f} s: {pulse.processed:,} events ({pulse.events_per_s:,.0f}/s, lag {pulse.lag:,}), "
        f"{modes or 'no sessions yet'}; gain {story.gain:+.2f}; audit: {pulse.audit}"
    )
