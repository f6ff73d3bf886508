"""The beats of all workers put together: what the dashboard, the metrics and the health checks read.

Lives in one thread; every method is synchronous and short.  What grows with the input is bounded: sessions that were
heard of longest ago are forgotten first.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct

from processor.config import APPLICATION_VERSION, Settings
from processor.loop.session import EXPLORING, MODES
from processor.surfaces.watch.beat import NEVER_HEARD, Beat, PartitionBeat
from processor.surfaces.watch.creativity import creativity_health
from processor.surfaces.watch.curves import default_curves
from processor.surfaces.watch.instances import Instance, figures_of, partitions_of
from processor.surfaces.watch.lines import instance_view, session_line
from processor.surfaces.watch.overview import (
    CreativityHealth,
    Exploring,
    LastExploration,
    Overview,
    ProfileView,
    SessionList,
    Trend,
)
from processor.surfaces.watch.recent import Recent, Sampled
from processor.surfaces.watch.seen import Happening, Listener, SeenMetric, rfc3339, seen_metric, session_of
from processor.surfaces.watch.watch import add
from schemas.metrics import Metric
from topology import partition_of_session

MAX_SESSIONS = 20_000  # remembered with their last metric
MAX_EXPLORING = 2_000
MAX_HAPPENED = 500
MAX_STORY = 30  # of one session
MAX_TOLD = 30_000  # happenings in all stories: some 30 MB
MAX_SEEN = 100  # metrics of one beat: a thousand a second are more than anybody follows
MAX_HEARD = 100  # happenings of one beat
SHOWN_EXPLORING = 60
SHOWN_HAPPENED = 50
RATE_S = 5.0
LATENCY_S = 60.0
TREND_S = 2.0
TREND_POINTS = 300

Order = Literal["recent", "gain", "name"]


class Card(Struct):
    """What is remembered of one session."""

    metric: Metric | None = None
    at: float = 0.0  # wall clock, of the last metric
    heard: float = 0.0  # of anything
    story: deque[Happening] = msgspec.field(default_factory=lambda: deque(maxlen=MAX_STORY))


class Picture:
    """All workers of this process, or of the supervisor's."""

    def __init__(
        self,
        settings: Settings,
        application: str = "creative-feedback",
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.application = application
        self.instances: dict[str, Instance] = {}
        self.totals: dict[str, float] = {}
        self.listeners: list[Listener] = []
        self.metrics_left_out = 0
        self.happened_left_out = 0
        self.wanted: Collection[str] = ()  # sessions whose every metric somebody wants
        self.began = clock()
        self._clock = clock
        self._monotonic = monotonic
        self._cards: OrderedDict[str, Card] = OrderedDict()
        self._exploring: dict[str, Exploring] = {}
        self._happened: deque[Happening] = deque(maxlen=MAX_HAPPENED)
        self._told: deque[Happening] = deque()  # all stories, oldest first
        self._number = 0
        self._assigned: frozenset[int] = frozenset()
        self._last_exploration: LastExploration | None = None
        self._commits = Recent(LATENCY_S)
        self._latencies = Recent(LATENCY_S)
        self._rates = Sampled(RATE_S)
        self._trend: deque[tuple[float, ...]] = deque(maxlen=TREND_POINTS)
        self._trend_at = monotonic()
        self._curves = default_curves(settings)

    # Hearing ------------------------------------------------------------------------------------------------------

    def expect(self, instance: str) -> None:
        """A worker is about to be started: until its first beat it is one that starts, and is not connected."""
        wall = self._clock()
        known = self.instances[instance] = Instance(
            Beat(instance, NEVER_HEARD, wall, wall, "starting"), self._monotonic()
        )
        known.connected = False

    def hear(self, beat: Beat) -> None:
        """Take in one worker's beat."""
        now, wall = self._monotonic(), self._clock()
        known = self.instances.get(beat.instance)
        if known is None:
            known = self.instances[beat.instance] = Instance(beat, now)
        else:
            known.restarts += known.beat.sequence != NEVER_HEARD and beat.began != known.beat.began
            known.beat, known.heard_at, known.connected, known.why = beat, now, True, None
        add(self.totals, beat.tally)
        self.metrics_left_out += beat.metrics_left_out
        self.happened_left_out += beat.happened_left_out
        self._commits.add(now, beat.commits_s)
        self._latencies.add(now, beat.latencies_s)
        self._rates.add(now, beat.tally)
        at = rfc3339(wall)
        metrics = self._sampled(beat)
        for seen in metrics:
            self._see(seen, wall, at)
        # Later, for it says more: what began or ended is in no metric of a moment before.
        happened = self._happen_all(beat.happened, at)
        self._forget_what_moved()
        self._draw_trend(now, wall)
        for listener in self.listeners:
            listener.heard(beat, metrics, happened)

    def lost(self, instance: str, why: str | None) -> None:
        """A worker's connection has ended."""
        if (known := self.instances.get(instance)) is not None:
            known.connected, known.why = False, why
            known.beat = msgspec.structs.replace(known.beat, partitions={})
            self._forget_what_moved()

    def _sampled(self, beat: Beat) -> list[SeenMetric]:
        """Of very many metrics some, spread over all, and those that somebody wants by their session."""
        values = beat.metrics
        picked = _spread(len(values), MAX_SEEN)
        if len(picked) < len(values) and self.wanted:  # in order: a session's metrics are numbered
            wanted = self.wanted
            chosen = [value for n, value in enumerate(values) if n in picked or session_of(value) in wanted]
        else:
            chosen = [values[n] for n in picked]
        self.metrics_left_out += len(values) - len(chosen)
        return [seen for value in chosen if (seen := seen_metric(value)) is not None]

    def _happen_all(self, happened: Sequence[tuple[str, dict[str, Any]]], at: str) -> list[Happening]:
        """Of very much some; of the others only that an exploration is over."""
        picked = _spread(len(happened), MAX_HEARD)
        told = []
        for number, (kind, fields) in enumerate(happened):
            if number in picked:
                told.append(self._happen(kind, fields, at))
            elif kind == "creative_mode_transition" and fields["from_mode"] == EXPLORING:
                self._exploring.pop(fields["session"], None)
        self.happened_left_out += len(happened) - len(told)
        return told

    def _happen(self, kind: str, fields: dict[str, Any], at: str) -> Happening:
        session = str(fields.get("session", ""))
        own = {name: value for name, value in fields.items() if name != "session"}
        happening = Happening(self._number, at, kind, session, own)
        self._number += 1
        self._happened.append(happening)
        self._card(session).story.append(happening)
        self._told.append(happening)
        if len(self._told) > MAX_TOLD:
            self._forget_oldest_told()
        if kind == "creative_exploration_started":
            begun = Exploring(
                session,
                own["profile"],
                own["entropy_factor"],
                at,
                own["injection_id"],
                own.get("reason"),
                predicted_gain=own["predicted_gain"],
                duration=own["duration"],
            )
            known = self._exploring.get(session)
            if known is not None and known.injection_id is None:  # by a metric of the same beat: the first of its steps
                begun.current_factor, begun.progress = known.current_factor, known.progress
            self._explore(session, begun)
        elif kind == "creative_mode_transition" and own["from_mode"] == EXPLORING:
            self._exploring.pop(session, None)
        elif kind == "creative_exploration_completed" and own["actual_gain"] is not None:
            self._last_exploration = LastExploration(own["profile"], own["actual_gain"], own["duration"])
        return happening

    def _see(self, seen: SeenMetric, wall: float, at: str) -> None:
        metric = seen.metric
        card = self._card(seen.session_id)
        card.metric, card.at = metric, wall
        injection = metric.current_injection
        if injection is UNSET:
            self._exploring.pop(seen.session_id, None)
            return
        exploring = self._exploring.get(seen.session_id)
        if exploring is None:
            exploring = Exploring(seen.session_id, injection.profile, injection.entropy_factor, at)
            self._explore(seen.session_id, exploring)
        exploring.current_factor = injection.current_factor
        exploring.progress = injection.progress
        if metric.predicted_gain is not UNSET:
            exploring.predicted_gain = metric.predicted_gain

    def _explore(self, session: str, exploring: Exploring) -> None:
        self._exploring[session] = exploring
        if len(self._exploring) > MAX_EXPLORING:
            del self._exploring[next(iter(self._exploring))]

    def _forget_oldest_told(self) -> None:
        oldest = self._told.popleft()
        card = self._cards.get(oldest.session)
        if card is not None and card.story and card.story[0] is oldest:
            card.story.popleft()

    def _card(self, session: str) -> Card:
        card = self._cards.get(session)
        if card is None:
            card = self._cards[session] = Card()
            if len(self._cards) > MAX_SESSIONS:
                self._cards.popitem(last=False)
        else:
            self._cards.move_to_end(session)
        card.heard = self._clock()
        return card

    def _forget_what_moved(self) -> None:
        """Explorations in a partition that no worker of ours has are somebody else's to show."""
        assigned = frozenset(p for known in self.instances.values() for p in known.beat.partitions)
        if self._assigned - assigned:
            count = self.settings.topics.partitions
            self._exploring = {
                session: exploring
                for session, exploring in self._exploring.items()
                if partition_of_session(session, count) in assigned
            }
        self._assigned = assigned

    def _forget_expired(self, wall: float) -> None:
        """A session that ends by its silence says nothing: what it was exploring is over with it."""
        oldest = wall - self.settings.engine.session_ttl_ms / 1000
        for session in list(self._exploring):
            card = self._cards.get(session)
            if card is None or card.heard < oldest:
                del self._exploring[session]

    def _draw_trend(self, now: float, wall: float) -> None:
        if now - self._trend_at < TREND_S:
            return
        self._trend_at = now
        self._forget_expired(wall)
        figures = self.figures()
        self._trend.append(
            (
                round(wall, 1),
                self._rates.per_s(now, "events"),
                figures.get("gain", 0.0),
                figures.get(f"sessions.{EXPLORING}", 0.0),
                float(sum(beat.lag for beat in self._partitions())),
            )
        )

    # Looking ------------------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, float]:
        """The figures of all partitions together."""
        return figures_of(self._partitions())

    def _partitions(self) -> Collection[PartitionBeat]:
        return partitions_of(self.instances.values()).values()

    def happened(self, session: str | None = None, limit: int = SHOWN_HAPPENED) -> list[Happening]:
        """The newest first, of one session or of all."""
        if session is not None:
            card = self._cards.get(session)
            return [] if card is None else list(reversed(card.story))[:limit]
        return list(reversed(self._happened))[:limit]

    def exploring(self, session: str) -> Exploring | None:
        """What is known of the session's exploration in progress."""
        return self._exploring.get(session)

    def overview(self) -> Overview:
        """Everything at a glance; without the health, which is judged elsewhere."""
        now, wall = self._monotonic(), self._clock()
        totals, figures = self.totals, self.figures()
        commits, latencies = self._commits.percentiles(now), self._latencies.percentiles(now)
        partitions = self._partitions()
        return Overview(
            application=self.application,
            version=APPLICATION_VERSION,
            now=rfc3339(wall),
            began=rfc3339(self.began),
            sessions=int(sum(figures[f"sessions.{mode}"] for mode in MODES)),
            modes={mode: int(figures[f"sessions.{mode}"]) for mode in MODES},
            cumulative_gain=figures["gain"],
            models_trained=int(figures["models.trained"]),
            explorations={name: self._profile(name) for name in self._curves},
            aborted=int(totals.get("aborted", 0)),
            successes=int(totals.get("successes", 0)),
            emergencies=int(totals.get("transitions.emergency", 0)),
            totals={
                **{name: int(totals.get(name, 0)) for name in ("events", "actions", "metrics", "duplicates")},
                "dead_letters": int(sum(self._by("dead_letters").values())),
            },
            dead_letters={code: int(count) for code, count in self._by("dead_letters").items()},
            rates={f"{name}_per_s": self._rates.per_s(now, name) for name in ("events", "actions", "metrics")},
            latency={
                "commit_p50_ms": commits[0],
                "commit_p99_ms": commits[1],
                "end_to_end_p50_ms": latencies[0],
                "end_to_end_p99_ms": latencies[1],
            },
            lag={
                "records": sum(beat.lag for beat in partitions),
                "seconds": max((beat.lag_s for beat in partitions), default=0.0),
            },
            instances=[instance_view(known, now) for known in self.instances.values()],
            exploring=list(self._exploring.values())[:SHOWN_EXPLORING],
            exploring_total=int(figures[f"sessions.{EXPLORING}"]),
            happened=[happening.flat() for happening in self.happened()],
            curves=self._curves,
            trend=Trend(TREND_S, [list(point) for point in self._trend]),
            metrics_left_out=self.metrics_left_out,
        )

    def sessions(self, *, mode: str | None, query: str | None, order: Order, limit: int) -> SessionList:
        """Sessions heard of since the picture began."""
        known: Iterable[tuple[str, Card]] = reversed(self._cards.items())
        cards = [(name, card.metric, card.at) for name, card in known if card.metric is not None]
        total = len(cards)
        if mode is not None:
            cards = [row for row in cards if row[1].mode == mode]
        if query:
            cards = [row for row in cards if query.casefold() in row[0].casefold()]
        if order == "gain":
            cards.sort(key=lambda row: row[1].cumulative_gain, reverse=True)
        elif order == "name":
            cards.sort(key=lambda row: row[0])
        lines = [session_line(metric, at) for _, metric, at in cards[:limit]]
        return SessionList(lines, total, len(cards))

    def creativity(self) -> CreativityHealth:
        """The seeds' health payload over all sessions; the mode is the most frequent one."""
        figures = self.figures()
        mode = max(MODES, key=lambda mode: figures[f"sessions.{mode}"])
        return creativity_health(
            mode,
            figures["gain"],
            int(figures["explorations"]),
            figures["models.trained"] > 0,
            self._last_exploration,
        )

    def _profile(self, name: str) -> ProfileView:
        totals = self.totals
        return ProfileView(
            int(totals.get(f"explorations.{name}", 0)),
            totals.get(f"gains.{name}", 0.0),
            int(totals.get(f"exploration_steps.{name}", 0)),
        )

    def _by(self, prefix: str) -> dict[str, float]:
        """The counts of one kind, by what follows its dot."""
        start = f"{prefix}."
        return {name.removeprefix(start): n for name, n in self.totals.items() if name.startswith(start)}


def _spread(count: int, most: int) -> dict[int, None]:
    """At most so many of the numbers below ``count``, evenly spread and in order."""
    return dict.fromkeys(range(count) if count <= most else (n * count // most for n in range(most)))
