"""``/health/*`` and ``/metrics``: for machines that ask again and again."""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web

from processor.surfaces.health import Verdict
from processor.surfaces.http.answers import answer
from processor.surfaces.http.glance import Glance
from processor.surfaces.http.pace import Pace
from processor.surfaces.http.ports import Render, SessionSource
from processor.surfaces.watch.creativity import creativity_of
from processor.surfaces.watch.picture import MAX_STORY, Picture


class Probes:
    """Live, ready, the seeds' health check, and the metrics."""

    def __init__(self, picture: Picture, glance: Glance, source: SessionSource, render: Render) -> None:
        self._picture = picture
        self._glance = glance
        self._source = source
        self._render = render
        self._pace = Pace()

    async def live(self, request: web.Request) -> web.StreamResponse:
        """200, or 503 where a new start is needed."""
        return self._told(self._glance.health().live)

    async def ready(self, request: web.Request) -> web.StreamResponse:
        """200, or 503 where not everything assigned is at work."""
        return self._told(self._glance.health().ready)

    def _told(self, verdict: Verdict) -> web.Response:
        body = {"status": verdict.status, "reasons": verdict.reasons, "instances": len(self._picture.instances)}
        return answer(body, 200 if verdict.ok else 503)

    async def creativity(self, request: web.Request) -> web.StreamResponse:
        """The seeds' payload, for all sessions or for ``?session=ID``; always 200."""
        session_id = request.query.get("session")
        if session_id is None:
            return answer(self._picture.creativity())
        found = await self._source.look_up(session_id)
        if found.session is not None:
            return answer(creativity_of(found.session, self._picture.happened(session_id, MAX_STORY)))
        if found.elsewhere:
            return answer(_unknown(f"partition {found.partition} is another instance's: ask there"))
        return answer(_unknown(found.unavailable or "no such session"))

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The exposition in the format that ``Accept`` asks for."""
        accept = request.headers.get(hdrs.ACCEPT, "")
        body, content_type = await self._pace.made(lambda: self._render(accept))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _unknown(reason: str) -> dict[str, Any]:
    """The payload's shape for a session that cannot be judged."""
    return {
        "status": "unknown",
        "mode": None,
        "cumulative_gain": 0.0,
        "exploration_count": 0,
        "quality_model_trained": False,
        "last_exploration": None,
        "reason": reason,
    }
