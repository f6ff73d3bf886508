"""``/api/overview`` and ``/api/sessions``: what the picture has, as JSON."""

from __future__ import annotations

from typing import get_args

from aiohttp import web

from processor.loop.session import MODES
from processor.surfaces.http.answers import answer, error, json_answer
from processor.surfaces.http.glance import Glance
from processor.surfaces.http.pace import Pace
from processor.surfaces.watch.picture import Order, Picture

MAX_LISTED = 500
DEFAULT_LISTED = 100
MAX_QUERY_CHARACTERS = 256
ORDERS: tuple[Order, ...] = get_args(Order)


class Api:
    """Answers from the picture."""

    def __init__(self, picture: Picture, glance: Glance) -> None:
        self._picture = picture
        self._glance = glance
        self._pace = Pace()

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """Everything at a glance."""
        return json_answer(self._glance.overview())

    async def sessions(self, request: web.Request) -> web.StreamResponse:
        """``?mode=&q=&order=recent|gain|name&limit=1..500``; 400 names the one that cannot be."""
        query = request.query
        mode = query.get("mode") or None
        if mode is not None and mode not in MODES:
            return _bad("mode", f"one of {', '.join(MODES)}")
        wanted = query.get("order") or "recent"
        order = next((order for order in ORDERS if order == wanted), None)
        if order is None:
            return _bad("order", f"one of {', '.join(ORDERS)}")
        text = query.get("limit") or str(DEFAULT_LISTED)
        if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_LISTED):
            return _bad("limit", f"a whole number from 1 to {MAX_LISTED}")
        search = query.get("q") or None
        if search is not None and len(search) > MAX_QUERY_CHARACTERS:
            return _bad("q", f"at most {MAX_QUERY_CHARACTERS} characters")
        picture = self._picture
        return await self._pace.made(
            lambda: answer(picture.sessions(mode=mode, query=search, order=order, limit=int(text)))
        )


def _bad(name: str, expected: str) -> web.Response:
    return error(400, "bad_request", f"{name}: expected {expected}")
