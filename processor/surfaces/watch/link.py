"""Beats of worker processes, to the supervisor that shows them all; and its questions back.

A UNIX socket in a folder that only this user can enter.  Frames are MessagePack behind four bytes of length, big
endian: a worker sends beats and answers, the supervisor sends questions.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from processor.config import Settings
from processor.surfaces.watch.beat import Beat, SessionAnswer
from processor.surfaces.watch.picture import Picture
from processor.surfaces.watch.watch import Watch
from topology import partition_of_session

BEAT_S = 0.1
ANSWER_S = 2.5
MAX_FRAME_BYTES = 64 * 1024 * 1024
AGAIN_S = 0.5

log = logging.getLogger(__name__)

Ask = Callable[[str], Awaitable[SessionAnswer]]


class Question(Struct, tag="question"):
    """Which session; ``number`` tells the answers apart."""

    number: int
    session_id: str


class Told(Struct, tag="beat"):
    """A worker's beat."""

    beat: Beat


class Answered(Struct, tag="answer"):
    """What a worker knows."""

    number: int
    answer: SessionAnswer


_told = msgspec.msgpack.Decoder(Told | Answered)
_asked = msgspec.msgpack.Decoder(Question)


async def send_beats(watch: Watch, path: Path, ask: Ask, stop: asyncio.Event) -> None:
    """In a worker, until told to stop, which sends a last beat.

    A supervisor that has gone takes its worker along, so nothing is told of it.
    """
    stopping = asyncio.ensure_future(stop.wait())
    while not stop.is_set():
        with suppress(OSError, IncompleteReadError):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                async with asyncio.TaskGroup() as group:
                    answers = group.create_task(_answer(reader, writer, ask))
                    while not answers.done():
                        last = stop.is_set()
                        await _send_beat(writer, watch.take())
                        if last:
                            answers.cancel()
                            break
                        await asyncio.wait({answers, stopping}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            except* OSError:
                pass
            finally:
                writer.close()
        await asyncio.wait({stopping}, timeout=AGAIN_S)


async def _answer(reader: StreamReader, writer: StreamWriter, ask: Ask) -> None:
    """Side by side: a session that waits for a slow commit holds no other one up."""
    asked: set[asyncio.Task[None]] = set()
    try:
        with suppress(IncompleteReadError, OSError):
            while True:
                question = _asked.decode(await _receive(reader))
                answering = asyncio.create_task(_answer_one(writer, question, ask))
                asked.add(answering)
                answering.add_done_callback(asked.discard)
    finally:
        for answering in asked:
            answering.cancel()


async def _answer_one(writer: StreamWriter, question: Question, ask: Ask) -> None:
    try:
        answer = await ask(question.session_id)
    except Exception as error:
        log.exception("a session could not be looked up")
        answer = SessionAnswer(unavailable=f"this session cannot be shown ({type(error).__name__}): the log says why")
    with suppress(OSError):
        await _send(writer, Answered(question.number, answer))


async def _send(writer: StreamWriter, message: Struct) -> None:
    data = msgspec.msgpack.encode(message)
    writer.write(len(data).to_bytes(4, "big") + data)
    await writer.drain()


async def _send_beat(writer: StreamWriter, beat: Beat) -> None:
    try:
        await _send(writer, Told(beat))
    except OverflowError:
        # With loop.debug a producer's own fields are in it, and JSON has integers that MessagePack has not.
        left_out = beat.happened_left_out + len(beat.happened)
        await _send(writer, Told(msgspec.structs.replace(beat, happened=[], happened_left_out=left_out)))


async def _receive(reader: StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > MAX_FRAME_BYTES:
        raise OSError(f"a frame of {size} bytes")
    return await reader.readexactly(size)


class Workers:
    """In the supervisor: hears all workers and asks them. A `SessionSource`."""

    def __init__(self, settings: Settings, picture: Picture) -> None:
        self._settings = settings
        self._picture = picture
        self._writers: dict[str, StreamWriter] = {}
        self._waiting: dict[int, asyncio.Future[SessionAnswer]] = {}
        self._number = 0

    async def serve(self, path: Path) -> asyncio.AbstractServer:
        """Listen for workers; whoever calls this closes the server."""
        return await asyncio.start_unix_server(self._hear, path)

    async def _hear(self, reader: StreamReader, writer: StreamWriter) -> None:
        instance: str | None = None
        why = "its connection ended"
        try:
            while True:
                message = _told.decode(await _receive(reader))
                if isinstance(message, Told):
                    instance = message.beat.instance
                    self._writers[instance] = writer
                    self._picture.hear(message.beat)
                elif (waiting := self._waiting.get(message.number)) is not None and not waiting.done():
                    waiting.set_result(message.answer)
        except IncompleteReadError:
            pass  # as every connection ends
        except (OSError, msgspec.DecodeError) as error:
            why = f"its connection ended: {error}"
        finally:
            writer.close()
            if instance is not None and self._writers.get(instance) is writer:
                del self._writers[instance]
                self._picture.lost(instance, why)

    async def look_up(self, session_id: str) -> SessionAnswer:
        """From the worker whose partition it should be in, else from whichever has it."""
        partition = partition_of_session(session_id, self._settings.topics.partitions)
        likely = [
            name
            for name, known in self._picture.instances.items()
            if known.connected and partition in known.beat.partitions
        ]
        others = [name for name in self._writers if name not in likely]
        first = SessionAnswer(elsewhere=True, partition=partition)
        for name in likely:
            first = await self._ask(name, session_id)
            if first.session is not None or first.unavailable is not None:
                return first
        for answer in await asyncio.gather(*(self._ask(name, session_id) for name in others)):
            if answer.session is not None:
                return answer
        return first

    async def _ask(self, instance: str, session_id: str) -> SessionAnswer:
        writer = self._writers.get(instance)
        if writer is None:
            return SessionAnswer(unavailable=f"{instance} is not connected")
        self._number += 1
        number = self._number
        waiting: asyncio.Future[SessionAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            async with asyncio.timeout(ANSWER_S):
                await _send(writer, Question(number, session_id))
                return await waiting
        except (TimeoutError, OSError):
            return SessionAnswer(unavailable=f"{instance} does not answer")
        finally:
            del self._waiting[number]
