"""One session in full: from its worker, or named (and on request fetched) from the instance that has it."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

import structlog
from aiohttp import hdrs, web

from processor.errors import ProcessorError
from processor.surfaces.http.answers import answer, error, json_answer, unavailable
from processor.surfaces.http.forwarding import FORWARDED, OWNER, Forwarder, OwnerSilent
from processor.surfaces.http.ports import Owner, OwnerDirectory, SessionSource
from processor.surfaces.watch.beat import SessionAnswer
from processor.surfaces.watch.picture import MAX_STORY, Picture
from schemas.events import MAX_SESSION_ID_CHARACTERS

PREFIX = "/api/sessions/"
AT_A_TIME = 32  # looked up by the workers, whose event loop has other work
OWNER_S = 3.5  # for finding out who has a partition

_log = structlog.get_logger(__name__)


class InTurn:
    """A session source that is asked for `AT_A_TIME` sessions, whatever number of clients ask for some."""

    def __init__(self, source: SessionSource) -> None:
        self._source = source
        self._turns = asyncio.Semaphore(AT_A_TIME)

    async def look_up(self, session_id: str) -> SessionAnswer:
        async with self._turns:
            return await self._source.look_up(session_id)


class Sessions:
    """Answers ``/api/sessions/{id}``."""

    def __init__(self, picture: Picture, source: SessionSource, owners: OwnerDirectory, forwarder: Forwarder) -> None:
        self._picture = picture
        self._source = source
        self._owners = owners
        self._forwarder = forwarder

    async def one(self, request: web.Request) -> web.StreamResponse:
        """200 with the session, 404, 421 with its owner, or 503."""
        try:
            session_id = unquote(request.rel_url.raw_path.removeprefix(PREFIX), errors="strict")
        except UnicodeDecodeError:
            return error(400, "bad_request", "the session id is not UTF-8")
        if len(session_id) > MAX_SESSION_ID_CHARACTERS:
            return _nothing()
        found = await self._source.look_up(session_id)
        if found.session is not None:
            story = [happening.flat() for happening in self._picture.happened(session_id, MAX_STORY)]
            return answer({**found.session, "happened": story})
        if found.unavailable is not None:
            return unavailable(found.unavailable)
        if found.elsewhere:
            return await self._elsewhere(request, session_id, found.partition)
        return _nothing()

    async def _elsewhere(self, request: web.Request, session_id: str, partition: int) -> web.Response:
        owner = await self._owner(partition)
        wanted = request.query.get("forward") == "1" and FORWARDED not in request.headers
        if wanted and owner is not None and owner.url is not None:
            authorization = request.headers.get(hdrs.AUTHORIZATION)
            try:
                status, body = await self._forwarder.fetch(owner.url, session_id, authorization)
            except OwnerSilent as silent:
                return unavailable(f"{owner.instance} has this session, but {silent}")
            return json_answer(body, status, {OWNER: owner.instance})
        named = "no instance has its partition now" if owner is None else f"{owner.instance} has it"
        return error(
            421,
            "owned_elsewhere",
            f"this session is in partition {partition}, which is not here: {named}",
            partition=partition,
            owner=owner,
        )

    async def _owner(self, partition: int) -> Owner | None:
        try:
            async with asyncio.timeout(OWNER_S):
                return await self._owners.owner(partition)
        except (TimeoutError, ProcessorError) as problem:
            _log.warning("http_owner_unknown", partition=partition, reason=str(problem) or "no answer in time")
            return None


def _nothing() -> web.Response:
    return error(404, "no_session", "no such session: it has not been seen, or was idle for longer than its life")
