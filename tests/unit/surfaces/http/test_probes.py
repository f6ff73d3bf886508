"""Health and metrics, as machines ask for them."""

from __future__ import annotations

from pathlib import Path

from processor.surfaces.watch.beat import SessionAnswer
from tests.unit.surfaces.http.rig import KnownSessions, window, working


async def test_who_works_is_live_and_ready(folder: Path) -> None:
    async with window(folder=folder) as seen:
        for probe in ("/health/live", "/health/ready"):
            answer = await seen.get(probe)
            assert (answer.status, answer.json) == (200, {"status": "ok", "reasons": [], "instances": 1})


async def test_live_and_ready_mean_different_things(folder: Path) -> None:
    async with window(folder=folder) as seen:
        beat = working()
        beat.partitions[0].phase = "restoring"
        seen.picture.hear(beat)
        live, ready = await seen.get("/health/live"), await seen.get("/health/ready")
        assert (live.status, live.json["status"]) == (200, "degraded")
        assert (ready.status, ready.json["status"]) == (503, "failing")
        assert [reason["what"] for reason in ready.json["reasons"]] == ["restoring"]
        assert set(ready.json["reasons"][0]) == {"what", "where", "message", "since_s"}
        beat.stalled_s = 60.0
        seen.picture.hear(beat)
        assert (await seen.get("/health/live")).status == 503


async def test_the_seeds_health_check_is_always_answered_with_200(folder: Path) -> None:
    view = {
        "mode": "exploring",
        "cumulative_gain": 0.05,
        "counts": {"completed": 11},
        "exploration": {"creative_gain": 0.01, "profile": "pulse", "duration": 40},
        "model": {"trained": True},
    }
    sessions = KnownSessions(
        a=SessionAnswer(session=view),
        b=SessionAnswer(elsewhere=True, partition=3),
        c=SessionAnswer(unavailable="partition 0 is restoring"),
    )
    async with window(folder=folder, sessions=sessions) as seen:
        overall = await seen.get("/health/creativity")
        assert (overall.status, overall.json["status"]) == (200, "healthy")
        known = await seen.get("/health/creativity?session=a")
        assert (known.status, known.json) == (
            200,
            {
                "status": "degraded",
                "mode": "exploring",
                "cumulative_gain": 0.05,
                "exploration_count": 11,
                "quality_model_trained": True,
                "last_exploration": {"profile": "pulse", "gain": 0.01, "duration": 40},
                "reason": "Low cumulative gain despite multiple explorations",
            },
        )
        view["exploration"] = {"creative_gain": None, "profile": "constant", "duration": 9}
        beat = working()
        beat.happened = [
            (
                "creative_exploration_completed",
                {"session": "a", "profile": "pulse", "actual_gain": 0.01, "duration": 40, "steps_executed": 40},
            )
        ]
        seen.picture.hear(beat)
        exploring_again = await seen.get("/health/creativity?session=a")
        assert exploring_again.json == known.json
        for session, why in (("b", "partition 3"), ("c", "restoring"), ("nobody", "no such session")):
            unknown = await seen.get(f"/health/creativity?session={session}")
            assert (unknown.status, unknown.json["status"]) == (200, "unknown")
            assert why in unknown.json["reason"]
            assert {**unknown.json, "reason": ""}.keys() == known.json.keys()


async def test_metrics_come_in_the_format_that_is_asked_for(folder: Path) -> None:
    asked: list[str] = []

    def render(accept: str) -> tuple[bytes, str]:
        asked.append(accept)
        return b"up 1\n# EOF\n", "application/openmetrics-text; version=1.0.0; charset=utf-8"

    async with window(folder=folder, render=render) as seen:
        answer = await seen.get("/metrics", Accept="application/openmetrics-text")
        assert (answer.status, answer.body) == (200, b"up 1\n# EOF\n")
        assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        await seen.get("/metrics")
        assert asked == ["application/openmetrics-text", ""]
