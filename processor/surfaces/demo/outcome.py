"""What a demo ends with, for people and for scripts."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from processor.surfaces.audit import Auditor, Output

EXPLORATION = "explorations."
DEAD_LETTER = "dead_letters."


class Durations:
    """Durations in milliseconds as a histogram of tenths: any number of them in bounded memory."""

    def __init__(self) -> None:
        self._tenths: Counter[int] = Counter()

    def add(self, duration_ms: float) -> None:
        self._tenths[round(duration_ms * 10)] += 1

    @property
    def count(self) -> int:
        return self._tenths.total()

    def percentile(self, share: float) -> float:
        """The duration that ``share`` of all do not exceed; 0 without any."""
        rank = share * self._tenths.total()
        seen = 0
        for tenth in sorted(self._tenths):
            seen += self._tenths[tenth]
            if seen >= rank:
                return tenth / 10
        return 0.0


class Latency(Struct):
    """Percentiles in milliseconds."""

    p50: float
    p99: float


class Outcome(Struct):
    """The summary. Counts are of committed records, read back read_committed; rates are over the time of
    sending."""

    broker: str
    why_fallback: str | None
    workers: int
    sessions: int
    seconds: float
    events: int
    actions: int
    metrics: int
    dead_letters: int
    dead_letters_by_code: dict[str, int]
    duplicates: int
    events_per_s: float
    explorations: dict[str, int]
    cumulative_gain: float
    commits: int
    commit_latency_ms: Latency
    equal_to_replay: bool
    interrupted: bool  # stopped while output was still missing: nothing differs, but not all is compared
    verdict: str

    @property
    def different(self) -> bool:
        """Committed output is not what the replay gives."""
        return not self.equal_to_replay and not self.interrupted


def named(prefix: str, tally: dict[str, float]) -> dict[str, int]:
    """The counters whose names begin with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): int(tally[name]) for name in sorted(tally) if name.startswith(prefix)}


def outcome_of(
    auditor: Auditor,
    commits: Durations,
    *,
    sent: int,
    broker: str,
    why_fallback: str | None,
    workers: int,
    sessions: int,
    seconds: float,
    stopped: bool,
) -> Outcome:
    """Summarize what was read; ``sent`` events in ``seconds`` are this demo's own, a kept folder holds
    earlier ones."""
    tally = auditor.tally
    return Outcome(
        broker=broker,
        why_fallback=why_fallback,
        workers=workers,
        sessions=sessions,
        seconds=round(seconds, 2),
        events=auditor.inputs,
        actions=auditor.committed[Output.ACTIONS],
        metrics=auditor.committed[Output.METRICS],
        dead_letters=auditor.committed[Output.DEAD_LETTERS],
        dead_letters_by_code=named(DEAD_LETTER, tally),
        duplicates=int(tally.get("duplicates", 0)),
        events_per_s=round(sent / seconds, 1) if seconds > 0 else 0.0,
        explorations=named(EXPLORATION, tally),
        cumulative_gain=round(tally.get("gain", 0.0), 6),
        commits=commits.count,
        commit_latency_ms=Latency(commits.percentile(0.5), commits.percentile(0.99)),
        equal_to_replay=auditor.equal and auditor.inputs > 0,
        interrupted=stopped and auditor.difference is None and not (auditor.settled and auditor.inputs),
        verdict=auditor.verdict(),
    )


_VERDICTS = {(True, False): "", (False, False): "NOT EQUAL: ", (False, True): "INCOMPLETE: "}


def told(outcome: Outcome) -> str:
    """The summary in lines."""
    explorations = ", ".join(f"{name} {count:,}" for name, count in outcome.explorations.items()) or "none ended"
    codes = ", ".join(f"{code} {count:,}" for code, count in outcome.dead_letters_by_code.items())
    latency = outcome.commit_latency_ms
    return "\n".join(
        (
            f"broker        {outcome.broker}" + (f" ({outcome.why_fallback})" if outcome.why_fallback else ""),
            f"events        {outcome.events:,} in {outcome.seconds:.1f} s, {outcome.events_per_s:,.0f}/s, "
            f"{outcome.sessions:,} sessions, {outcome.workers} workers",
            f"actions       {outcome.actions:,}",
            f"metrics       {outcome.metrics:,}",
            f"dead letters  {outcome.dead_letters:,}" + (f" ({codes})" if codes else ""),
            f"duplicates    {outcome.duplicates:,} counted, without any other effect",
            f"explorations  {explorations}",
            f"gain          {outcome.cumulative_gain:+.3f}",
            f"commits       {outcome.commits:,}, p50 {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms",
            f"verdict       {_VERDICTS[outcome.equal_to_replay, outcome.interrupted]}{outcome.verdict}",
        )
    )
