"""What `run` shows of itself: by a worker alone, or by the supervisor of several."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from processor.config import Settings
from processor.errors import Refused
from processor.surfaces.ports import Kafka
from processor.surfaces.thread import beside
from processor.surfaces.watch.beat import SessionAnswer
from processor.surfaces.watch.link import ANSWER_S, BEAT_S, Workers, send_beats
from processor.surfaces.watch.picture import Picture
from processor.surfaces.watch.session_view import look_up
from processor.surfaces.watch.watch import Watch
from topology import partition_of_session

THREAD = "window"
LISTENING_S = 30.0  # to import a web server and to listen, on a busy machine
LOOK_S = 1.0
GRACE_S = 3.0  # for the last requests


class OwnSessions:
    """A `SessionSource` in another thread: the sessions of the worker in this process."""

    def __init__(self, settings: Settings, watch: Watch, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._watch = watch
        self._loop = loop

    async def look_up(self, session_id: str) -> SessionAnswer:
        """In the engine's event loop, which may be busy or gone."""
        partition = partition_of_session(session_id, self._settings.topics.partitions)
        looking = look_up(self._watch, session_id, partition)
        try:
            answer = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(looking, self._loop))
        except RuntimeError:
            looking.close()
            return SessionAnswer(unavailable="the processor has ended")
        try:
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            return SessionAnswer(unavailable="the processor's event loop does not turn")


@asynccontextmanager
async def shown_alone(settings: Settings, watch: Watch, kafka: Kafka) -> AsyncIterator[str]:
    """This process's worker, over HTTP, while the context lasts; the value is the address to tell people.

    Raises `Refused` where it cannot be listened on.
    """
    async with shown_soon(settings, watch, kafka) as listening:
        async with asyncio.timeout(LISTENING_S):
            url = await listening
        yield url


@asynccontextmanager
async def shown_soon(settings: Settings, watch: Watch, kafka: Kafka) -> AsyncIterator[asyncio.Future[str]]:
    """As `shown_alone`, without waiting for it: the value will have the address, or why there is none."""
    loop = asyncio.get_running_loop()
    listening: asyncio.Future[str] = loop.create_future()
    sessions = OwnSessions(settings, watch, loop)

    def told(url: str | None, error: Exception | None) -> None:
        if listening.done():
            return
        if error is None:
            assert url is not None
            listening.set_result(url)
        else:
            listening.set_exception(error)

    async def show(stop: asyncio.Event) -> None:
        try:
            from processor.surfaces.serving import served  # half a second of imports, here beside the engine's own

            picture = Picture(settings)
            picture.hear(watch.take())
            async with served(settings, picture, sessions, kafka) as url:
                loop.call_soon_threadsafe(told, url, None)
                await _hear(picture, watch, stop)
        except Exception as error:
            loop.call_soon_threadsafe(told, None, error)  # whoever waits for the address need not wait in vain
            if not isinstance(error, Refused):
                raise

    async with beside(THREAD, show, GRACE_S):
        yield listening


async def _hear(picture: Picture, watch: Watch, stop: asyncio.Event) -> None:
    stopping = asyncio.ensure_future(stop.wait())
    while not stop.is_set():
        picture.hear(watch.take())
        await asyncio.wait({stopping}, timeout=BEAT_S)
    picture.hear(watch.take())


@asynccontextmanager
async def shown_by_supervisor(settings: Settings, watch: Watch, path: Path) -> AsyncIterator[None]:
    """This worker's beats go to its supervisor while the context lasts."""
    sessions = OwnSessions(settings, watch, asyncio.get_running_loop())

    def send(stop: asyncio.Event) -> Awaitable[None]:
        return send_beats(watch, path, sessions.look_up, stop)

    async with beside(THREAD, send, GRACE_S):
        yield


class Shown(NamedTuple):
    """The address to tell people, the socket for the workers' beats, and what is seen of them."""

    url: str
    socket: Path
    picture: Picture


async def end_frozen(picture: Picture, limit_s: float, end: Callable[[str, str], None]) -> None:
    """Call ``end`` with every worker that is silent or whose event loop stands for so long, and why; until cancelled.

    Its partitions went elsewhere long ago, and only a new process can have some again.  It must be so in two looks:
    whoever was frozen together with this process speaks again at once.
    """
    suspects: frozenset[str] = frozenset()
    while True:
        now = time.monotonic()
        frozen = {}
        for name, known in picture.instances.items():
            silent_s, stalled_s = now - known.heard_at, known.beat.stalled_s
            if known.connected and max(silent_s, stalled_s) > limit_s:
                frozen[name] = (
                    f"silent for {silent_s:.0f} s" if silent_s > stalled_s else f"stalled for {stalled_s:.0f} s"
                )
        for name in suspects & frozen.keys():
            end(name, frozen.pop(name))
        suspects = frozenset(frozen)
        await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def workers_shown(settings: Settings, names: Iterable[str], kafka: Kafka) -> AsyncIterator[Shown]:
    """In the supervisor: all its workers, over HTTP."""
    from processor.surfaces.serving import served

    picture = Picture(settings)
    for name in names:
        picture.expect(name)
    workers = Workers(settings, picture)
    with tempfile.TemporaryDirectory(prefix="creative-feedback-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "beats"
        server = await workers.serve(path)
        try:
            async with served(settings, picture, workers, kafka) as url:
                yield Shown(url, path, picture)
        finally:
            server.close()
            with suppress(OSError):
                path.unlink()
