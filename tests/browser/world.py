"""Sessions that explore, rest and halt, told in the JSON of the API: what the stand-in server shows the dashboard."""

from __future__ import annotations

import math
import random
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from processor.loop.profiles import BUILT_IN, PROFILE_DEFAULTS

Json = dict[str, Any]

DURATIONS = (100, 140, 200)
RECOVERY_STEPS = 30
PROFILES = {"low_novelty": "pulse", "high_novelty": "exponential_decay", "stable_patience": "cosine_ramp"}
POINTS = 300


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def curves() -> dict[str, list[float]]:
    """m(t) of every built-in profile at 65 places."""
    return {name: [f(1.0, step, 64, PROFILE_DEFAULTS[name]) for step in range(65)] for name, f in BUILT_IN.items()}


class FakeSession:
    """One session's course; ``step()`` moves it on and returns what happened."""

    def __init__(self, name: str, dice: random.Random) -> None:
        self.name, self._dice = name, dice
        self.mode, self.steps_in_mode, self.step_number, self.gain = "stable", dice.randrange(20), 0, 0.0
        self.metrics_sent = 0
        self._ahead = dice.uniform(0, 7)
        self.patience = dice.randrange(20, 50)
        self.novelty, self.aesthetic = dice.uniform(0.2, 0.8), dice.uniform(0.4, 0.7)
        self.exploration: Json | None = None
        self.gains: list[float] = []
        self.counts = {"injections": 0, "completed": 0, "aborted": 0, "successful": 0, "emergency_stops": 0}
        self.points: deque[list[float]] = deque(maxlen=POINTS)
        self.story: deque[Json] = deque(maxlen=50)

    def step(self) -> list[Json]:
        self.step_number += 1
        self.steps_in_mode += 1
        phase = self.step_number / 40 + self._ahead
        self.novelty = min(1.0, max(0.0, 0.5 + 0.35 * math.sin(phase) + self._dice.uniform(-0.05, 0.05)))
        self.aesthetic = min(1.0, max(0.0, 0.58 + 0.12 * math.sin(phase / 3) + self._dice.uniform(-0.03, 0.03)))
        self.points.append([self.step_number, round(self.novelty, 4), round(self.aesthetic, 4)])
        if self.mode == "stable" and self.steps_in_mode > self.patience:
            return self._start()
        if self.mode == "exploring":
            assert self.exploration is not None
            if self._dice.random() < 0.0006:
                return [*self._end("emergency"), *self._turn("emergency", "lambda_max")]
            if self.steps_in_mode >= self.exploration["duration"]:
                return self._end("duration_reached")
            if self._dice.random() < 0.001:
                return self._end("aesthetic_below_baseline")
        if self.mode == "emergency" and self.steps_in_mode > 60:
            return self._turn("recovering", "emergency_cleared")
        if self.mode == "recovering" and self.steps_in_mode > RECOVERY_STEPS:
            return self._turn("stable", "recovery_complete")
        return []

    def _turn(self, mode: str, reason: str) -> list[Json]:
        before, self.mode, self.steps_in_mode = self.mode, mode, 0
        self.counts["emergency_stops"] += mode == "emergency"
        fields = {"from_mode": before, "to_mode": mode, "cumulative_gain": self.gain, "reason": reason}
        return [{"kind": "creative_mode_transition", "session": self.name, "step": self.step_number, **fields}]

    def _start(self) -> list[Json]:
        reason = "low_novelty" if self.novelty < 0.35 else "high_novelty" if self.novelty > 0.65 else "stable_patience"
        profile = PROFILES[reason] if self._dice.random() < 0.8 else "constant"
        happened = self._turn("exploring", reason)
        base = self._dice.uniform(0.25, 0.7)
        self.exploration = {
            "injection_id": f"{self.name}:{self.counts['injections']}", "profile": profile, "reason": reason,
            "base_factor": base, "entropy_factor": base * self._dice.choice((0.7, 1.0, 1.2)),
            "duration": self._dice.choice(DURATIONS), "since": rfc3339(time.time()),
            "predicted_gain": self._dice.uniform(0.0, 0.4) if self.counts["completed"] else None,
        }  # fmt: skip
        self.counts["injections"] += 1
        told = ("injection_id", "profile", "reason", "entropy_factor", "duration", "predicted_gain")
        started = {"kind": "creative_exploration_started", "session": self.name, "step": self.step_number}
        return [*happened, started | {name: self.exploration[name] for name in told}]

    def _end(self, reason: str) -> list[Json]:
        assert self.exploration is not None
        aborted = reason == "emergency"
        gain = None if aborted else self._dice.gauss(0.12, 0.12)
        ended = {
            "kind": "creative_exploration_completed", "session": self.name, "step": self.step_number,
            "actual_gain": gain, "end_reason": reason, "steps_executed": self.steps_in_mode,
            **{name: self.exploration[name] for name in ("injection_id", "profile", "predicted_gain", "duration")},
        }  # fmt: skip
        self.exploration |= {"creative_gain": gain, "steps_executed": self.steps_in_mode}
        if gain is None:
            self.counts["aborted"] += 1
            return [ended]
        self.gain += gain
        self.gains = [*self.gains, gain][-10:]
        self.counts["completed"] += 1
        self.counts["successful"] += gain > 0.1
        return [*self._turn("recovering", reason), ended]

    def progress(self) -> float:
        assert self.exploration is not None
        duration: int = self.exploration["duration"]
        return min(1.0, self.steps_in_mode / duration)

    def multiplier(self, progress: float) -> float:
        assert self.exploration is not None
        name: str = self.exploration["profile"]
        return BUILT_IN[name](1.0, int(progress * 1000), 1000, PROFILE_DEFAULTS[name])

    def injection(self) -> Json | None:
        if self.mode != "exploring" or self.exploration is None:
            return None
        progress, factor, profile = self.progress(), self.exploration["entropy_factor"], self.exploration["profile"]
        current = factor * self.multiplier(progress)
        return {"entropy_factor": factor, "current_factor": current, "profile": profile, "entropy_profile": profile,
                "progress": progress}  # fmt: skip

    def trend(self) -> Json:
        if len(self.points) < 2:
            return {"novelty": 0.0, "aesthetic": 0.0}
        first, last, count = self.points[0], self.points[-1], len(self.points) - 1
        return {"novelty": (last[1] - first[1]) / count, "aesthetic": (last[2] - first[2]) / count}

    def metric(self) -> Json:
        self.metrics_sent += 1
        injection = self.injection()
        return {
            "session_id": self.name, "mode": self.mode, "steps_in_mode": self.steps_in_mode,
            "cumulative_gain": self.gain, "performance_trend": self.trend(), "timestamp": rfc3339(time.time()),
            "stream_sequence": self.metrics_sent - 1, **({"current_injection": injection} if injection else {}),
        }  # fmt: skip

    def listed(self) -> Json:
        metric = self.metric()
        at = metric.pop("timestamp")
        del metric["stream_sequence"]
        return {"current_injection": None, "predicted_gain": None, **metric, "at": at}

    def full(self) -> Json:
        exploration = None
        if self.exploration is not None:
            running = self.mode == "exploring"
            steps = self.steps_in_mode if running else self.exploration["steps_executed"]
            factor = self.exploration["entropy_factor"]
            told = ("injection_id", "profile", "base_factor", "entropy_factor", "duration", "predicted_gain")
            exploration = {
                **{name: self.exploration[name] for name in told}, "running": running,
                "params": PROFILE_DEFAULTS[self.exploration["profile"]],
                "steps_executed": steps, "progress": min(1.0, steps / self.exploration["duration"]),
                "creative_gain": None if running else self.exploration["creative_gain"],
                "performance_before": 0.52, "curve": [factor * self.multiplier(step / 100) for step in range(101)],
            }  # fmt: skip
        trained = self.counts["completed"] > 2
        return {
            "session_id": self.name, "instance": "worker-0", "partition": 1, "offset": self.step_number,
            "mode": self.mode, "step": self.step_number, "steps_in_mode": self.steps_in_mode,
            "cumulative_gain": self.gain, "baseline": 0.56, "performance_trend": self.trend(), "counts": self.counts,
            "recent_gains": self.gains, "exploration": exploration, "points": list(self.points),
            "model": {
                "samples": self.counts["completed"], "version": int(trained), "trained": trained, "shared": False,
                "weights": [0.21, 0.34, -0.18, 0.12, -0.04, 0.02] if trained else None,
            },
            "happened": list(self.story),
        }  # fmt: skip


class World:
    """All sessions of the stand-in, what is known of them, and knobs for what a test wants to see."""

    def __init__(self, names: list[str], seed: int = 1, workers: int = 2) -> None:
        dice = random.Random(seed)
        self.sessions = {name: FakeSession(name, dice) for name in names}
        self.workers = workers
        self.began = time.time()
        self.health: Json = {"live": True, "ready": True, "reasons": []}
        self.happened: deque[Json] = deque(maxlen=50)
        self.trend: deque[list[float]] = deque(maxlen=300)
        self.explorations: dict[str, Json] = {}
        self.events = 0
        self._number = 0
        self._curves = curves()

    def keep_happened(self, count: int) -> None:
        """Of what happened, in all and to each, only the last ones are told from now on."""
        self.happened = deque(list(self.happened)[:count], maxlen=count)
        for session in self.sessions.values():
            session.story = deque(list(session.story)[:count], maxlen=count)

    def live(self, steps: int) -> list[Json]:
        """Moves every session on by some steps; what happened, in order."""
        news: list[Json] = []
        for _ in range(steps):
            for session in self.sessions.values():
                news += [self._tell(session, one) for one in session.step()]
            self.events += len(self.sessions)
        return news

    def _tell(self, session: FakeSession, one: Json) -> Json:
        self._number += 1
        told = {"number": self._number, "at": rfc3339(time.time()), **one}
        self.happened.appendleft(told)
        session.story.appendleft(told)
        if one["kind"] == "creative_exploration_completed" and one["actual_gain"] is not None:
            sums = self.explorations.setdefault(one["profile"], {"completed": 0, "gain": 0.0, "steps": 0})
            sums["completed"] += 1
            sums["gain"] += one["actual_gain"]
            sums["steps"] += one["steps_executed"]
        return told

    def modes(self) -> dict[str, int]:
        counts = dict.fromkeys(("stable", "exploring", "recovering", "emergency"), 0)
        for session in self.sessions.values():
            counts[session.mode] += 1
        return counts

    def note_trend(self, at: float, rate: float) -> None:
        gain = sum(session.gain for session in self.sessions.values())
        self.trend.append([at, rate, gain, self.modes()["exploring"], 40 + 30 * math.sin(at / 9)])

    def overview(self) -> Json:
        sessions = self.sessions.values()
        total = {name: sum(session.counts[name] for session in sessions) for name in next(iter(sessions)).counts}
        exploring = [session for session in sessions if session.mode == "exploring"]
        return {
            "application": "creative-feedback", "version": "0.2.0", "now": rfc3339(time.time()),
            "began": rfc3339(self.began), "health": self.health, "sessions": len(self.sessions), "modes": self.modes(),
            "cumulative_gain": sum(session.gain for session in sessions), "models_trained": 7,
            "explorations": self.explorations, "aborted": total["aborted"], "successes": total["successful"],
            "emergencies": total["emergency_stops"],
            "totals": {"events": self.events, "actions": self.events, "metrics": self.events // 8, "dead_letters": 3,
                       "duplicates": 11},
            "dead_letters": {"not_decodable": 3},
            "rates": {"events_per_s": self.trend[-1][1] if self.trend else 0.0, "actions_per_s": 0, "metrics_per_s": 0},
            "latency": {"commit_p50_ms": 14.2, "commit_p99_ms": 41.0, "end_to_end_p50_ms": 62.0,
                        "end_to_end_p99_ms": 171.0},
            "lag": {"records": 58, "seconds": 0.1}, "instances": [self._instance(n) for n in range(self.workers)],
            "exploring": [self._exploring(session) for session in exploring[:60]], "exploring_total": len(exploring),
            "happened": list(self.happened), "curves": self._curves, "metrics_left_out": 0,
            "trend": {"interval_s": 2, "points": list(self.trend)},
        }  # fmt: skip

    def _instance(self, number: int) -> Json:
        partitions = [
            {"partition": partition, "phase": "running", "position": 184_220 + 37 * partition, "lag": 12 + partition,
             "lag_s": 0.1, "standing_s": 0.0, "cause": None, "waiting": None}
            for partition in range(2 * number, 2 * number + 2)
        ]  # fmt: skip
        return {"instance": f"worker-{number}", "phase": "working", "connected": True, "heard_s": 0.1, "restarts": 0,
                "doubt": None, "stalled_s": 0.0, "partitions": partitions}  # fmt: skip

    @staticmethod
    def _exploring(session: FakeSession) -> Json:
        assert session.exploration is not None
        injection = session.injection()
        assert injection is not None
        del injection["entropy_profile"]
        names = ("injection_id", "reason", "predicted_gain", "duration", "since")
        return {"session_id": session.name, **injection, **{name: session.exploration[name] for name in names}}

    def listing(self, mode: str, query: str, order: str, limit: int) -> Json:
        found = [one for one in self.sessions.values() if mode in ("", one.mode) and query in one.name]
        if order == "gain":
            found.sort(key=lambda session: -session.gain)
        elif order == "name":
            found.sort(key=lambda session: session.name)
        return {"sessions": [one.listed() for one in found[:limit]], "total": len(self.sessions),
                "matching": len(found)}  # fmt: skip
