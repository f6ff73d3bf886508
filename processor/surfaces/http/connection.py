"""One connection: the deadline and the limits that aiohttp does not have.

aiohttp bounds what a handler does, if asked, but neither how long the head of a request may trickle in, nor how long
its answer may wait for a reader. So its protocol is extended here, by names that are not documented: the version is
pinned, and ``tests/unit/surfaces/http/test_abuse.py`` holds a real server to every promise below.

- From a request's first byte on there are ``timeout_s`` for reading and handling it: 408 where its head is not
  complete by then, 503 where its handler is not done. The answer has `GRACE_S` more to be taken, then the connection
  is aborted. A WebSocket is under no deadline once it is one.
- A connection that asks nothing is closed after ``timeout_s`` at first, after `IDLE_S` later.
- A head beyond the limits is answered by 414 or 431 as JSON, and the connection is closed once the sender had the
  chance to read that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

from processor.surfaces.http.answers import closing, error, last_words, protect, translated, unavailable
from processor.surfaces.http.door import Door

LINE_BYTES = 8190  # a request line; together with the next, which limit was passed tells which error it is
FIELD_BYTES = 8191  # a header's name and value
HEADERS = 64
GRACE_S = 1.0
IDLE_S = 20.0
LINGER_S = 0.5  # for a body that nobody asked for
_FOREVER_S = 1e9

BUSY = last_words(503, "busy", "too many connections: ask again in a moment")
_LATE = last_words(408, "timeout", "the request did not arrive in time")

_log = structlog.get_logger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(RequestHandler):
    """One connection of a `Door`, from the first byte to the last."""

    __slots__ = ("_arriving", "_door", "_due", "_gone", "_limit", "_malformed", "_streaming", "_timeout_s", "_wire")

    def __init__(self, manager: web.Server, *, loop: asyncio.AbstractEventLoop, door: Door, timeout_s: float) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=_FOREVER_S,  # `_overdue` does that
            access_log=None,  # type: ignore[arg-type]  # none is what its documentation says
            max_line_size=LINE_BYTES,
            max_field_size=FIELD_BYTES,
            max_headers=HEADERS,
            lingering_time=LINGER_S,
            auto_decompress=False,
        )
        self._door = door
        self._timeout_s = timeout_s
        self._due: asyncio.TimerHandle | None = None
        self._limit: asyncio.Timeout | None = None
        self._arriving = False  # some of a request is here, and not all of its answer there
        self._malformed = False
        self._streaming = False
        self._wire: asyncio.Transport | None = None  # unlike ``transport`` it stays until the connection is lost
        self._gone: asyncio.Future[None] = loop.create_future()

    # What the door asks ---------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """It has asked nothing that is not answered."""
        return not self._request_in_progress and not self._messages

    def turn_away(self) -> None:
        """Say that there are too many, and close."""
        self._close_with(BUSY)

    def admitted(self) -> bool:
        """Whether it may ask for anything, or only for probes."""
        return self._door.admits(self)

    def abort(self) -> None:
        """Close at once, whatever was not sent."""
        if self._wire is not None:
            self._wire.abort()

    # What asyncio and aiohttp tell ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = self.transport
        self._allow(self._timeout_s)
        self._door.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._door.leave(self)
        self._allow(None)
        self._wire = None
        if not self._gone.done():
            self._gone.set_result(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if data and not self._arriving and not self._streaming:
            self._arriving = True
            self._allow(self._timeout_s)
        super().data_received(data)

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """The request has become a WebSocket."""
        self._streaming = True
        self._allow(None)
        if self._limit is not None:
            self._limit.reschedule(None)
        self._door.leave(self)  # subscribers have a limit of their own
        super().set_parser(parser, data_received_cb)

    async def _handle_request(
        self, request: web.BaseRequest, start_time: float | None, request_handler: Handler
    ) -> tuple[web.StreamResponse, bool]:
        due = self._loop.time() + self._timeout_s if self._due is None else self._due.when()
        self._arriving = True
        self._allow(due + GRACE_S - self._loop.time())
        try:
            return await super()._handle_request(request, start_time, partial(self._in_time, request_handler, due))
        finally:
            self._arriving = bool(self._messages)
            if self._wire is not None:
                self._allow(self._timeout_s if self._arriving else IDLE_S)

    async def _in_time(self, handler: Handler, due: float, request: web.BaseRequest) -> web.StreamResponse:
        limit = self._limit = asyncio.timeout_at(due)
        try:
            async with limit:
                return await handler(request)
        except TimeoutError as problem:
            if not limit.expired():  # but one of the handler's own
                return self.handle_error(request, 500, problem)
            return closing(unavailable("this took too long: ask again in a moment"))
        finally:
            self._limit = None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.Response:
        """What could not be read, or what a handler raised; always the connection's last answer."""
        if request.writer.output_size > 0 or self.transport is None:
            raise ConnectionError("an answer is on its way already, or nobody there to take one") from exc
        if isinstance(exc, HttpProcessingError):
            self._malformed = True
            return closing(_refusal(exc))
        _log.error("http_answer_failed", path=request.path, exc_info=exc)
        return closing(error(500, "internal", "this answer failed; the log says why"))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            resp = translated(resp)
        if not resp.prepared:
            protect(resp.headers)
        finished = await super().finish_response(request, resp, start_time)
        if self._malformed:
            await self._let_it_be_read()
        return finished

    async def _let_it_be_read(self) -> None:
        """Closing while the sender still sends would reset the connection, and the answer be lost with it."""
        self._close = True  # what comes now is dropped unread
        if self._wire is not None and self._wire.can_write_eof():
            self._wire.write_eof()
        await asyncio.wait((self._gone,), timeout=GRACE_S)

    # Deadlines --------------------------------------------------------------------------------------------------------

    def _allow(self, seconds: float | None) -> None:
        """So long until `_overdue`; None: without end."""
        if self._due is not None:
            self._due.cancel()
        self._due = None if seconds is None else self._loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        self._due = None
        if self._arriving and not self._request_in_progress and self.transport is not None:
            self._close_with(_LATE)
        elif self._request_in_progress or self.transport is None:
            self.abort()
        else:
            self._close_with(b"")

    def _close_with(self, words: bytes) -> None:
        if self.transport is not None and words:
            self.transport.write(words)
        self.force_close()
        if self._wire is not None:
            self._allow(GRACE_S)  # for the last words to be taken


def _refusal(problem: HttpProcessingError) -> web.Response:
    if isinstance(problem, LineTooLong):
        if problem.args[1] == LINE_BYTES:
            return error(414, "too_large", f"the path and query are longer than {LINE_BYTES} bytes")
        return error(431, "too_large", f"a header is longer than {FIELD_BYTES} bytes")
    if "Too many headers" in problem.message:
        return error(431, "too_large", f"there are more than {HEADERS} headers")
    return error(400, "bad_request", "this is no HTTP request")
