"""Beats and questions between workers and their supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from processor.config import Settings
from processor.engine.observer import Committed
from processor.surfaces.watch.beat import SessionAnswer
from processor.surfaces.watch.link import Ask, Workers, send_beats
from processor.surfaces.watch.picture import Picture
from processor.surfaces.watch.watch import Watch
from topology import partition_of_session

SETTINGS = Settings()


def home_of(session_id: str) -> int:
    return partition_of_session(session_id, SETTINGS.topics.partitions)


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  # what is awaited tells nobody
        await asyncio.sleep(0.01)


def having(*sessions: str) -> Ask:
    async def ask(session_id: str) -> SessionAnswer:
        return SessionAnswer({"session_id": session_id} if session_id in sessions else None)

    return ask


@asynccontextmanager
async def connected(path: Path, workers: dict[Watch, Ask]) -> AsyncIterator[tuple[Picture, Workers]]:
    picture = Picture(SETTINGS)
    source = Workers(SETTINGS, picture)
    server = await source.serve(path)
    stop = asyncio.Event()
    sending = [asyncio.create_task(send_beats(watch, path, ask, stop)) for watch, ask in workers.items()]
    try:
        await until(lambda: len(picture.instances) == len(workers))
        yield picture, source
    finally:
        stop.set()
        await asyncio.gather(*sending)
        server.close()


def watch(name: str, *partitions: int) -> Watch:
    made = Watch(name)
    made.assigned(frozenset(partitions), 1)
    return made


async def test_the_supervisor_hears_every_worker_and_when_one_goes(tmp_path: Path) -> None:
    path = tmp_path / "s"
    picture = Picture(SETTINGS)
    server = await Workers(SETTINGS, picture).serve(path)
    stops = [asyncio.Event(), asyncio.Event()]
    watches = [watch("a"), watch("b")]
    tasks = [asyncio.create_task(send_beats(watches[n], path, having(), stops[n])) for n in range(2)]
    await until(lambda: set(picture.instances) == {"a", "b"})
    watches[0].ended("it was over")
    stops[0].set()
    await until(lambda: not picture.instances["a"].connected)
    assert picture.instances["b"].connected
    assert "connection ended" in (picture.instances["a"].why or "")
    assert picture.instances["a"].beat.error == "it was over"
    stops[1].set()
    await asyncio.gather(*tasks)
    server.close()


async def test_a_session_is_asked_for_where_its_partition_is_else_everywhere(tmp_path: Path) -> None:
    home = home_of("s")
    asked: list[str] = []

    async def owner(session_id: str) -> SessionAnswer:
        asked.append("owner")
        return SessionAnswer({"session_id": session_id} if session_id == "s" else None)

    async def other(session_id: str) -> SessionAnswer:
        asked.append("other")
        return SessionAnswer({"session_id": session_id} if session_id == "odd" else None)

    async with connected(tmp_path / "s", {watch("a", home): owner, watch("b", home + 1): other}) as (_, source):
        assert (await source.look_up("s")).session == {"session_id": "s"}
        assert asked == ["owner"]
        assert (await source.look_up("odd")).session == {"session_id": "odd"}


async def test_a_session_that_nobody_has_is_nobodys_where_its_partition_is_here_else_elsewhere(tmp_path: Path) -> None:
    home = home_of("s")
    async with connected(tmp_path / "s", {watch("a", home): having()}) as (_, source):
        assert await source.look_up("s") == SessionAnswer()
        away = next(name for name in "tuvwxyz" if home_of(name) != home)
        assert await source.look_up(away) == SessionAnswer(elsewhere=True, partition=home_of(away))


async def test_a_worker_that_does_not_answer_makes_the_session_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.surfaces.watch.link.ANSWER_S", 0.1)

    async def never(_: str) -> SessionAnswer:
        await asyncio.Event().wait()
        raise AssertionError

    home = home_of("s")
    async with connected(tmp_path / "s", {watch("a", home): never}) as (_, source):
        assert (await source.look_up("s")).unavailable == "a does not answer"


async def test_a_frame_that_makes_no_sense_ends_its_connection_only(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with connected(path, {watch("a", 0): having()}) as (picture, _):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write((5).to_bytes(4, "big") + b"hello")
        assert await reader.read() == b""
        writer.close()
        before = picture.instances["a"].beat.sequence
        await until(lambda: picture.instances["a"].beat.sequence > before)


async def test_a_session_that_cannot_be_looked_up_is_unavailable_and_the_worker_is_heard_on(tmp_path: Path) -> None:
    async def broken(_: str) -> SessionAnswer:
        raise ValueError("of somebody's code")

    async with connected(tmp_path / "s", {watch("a", home_of("s")): broken}) as (picture, source):
        assert "ValueError" in ((await source.look_up("s")).unavailable or "")
        before = picture.instances["a"].beat.sequence
        await until(lambda: picture.instances["a"].beat.sequence > before)
        assert picture.instances["a"].connected


async def test_a_session_that_waits_for_its_commit_holds_no_other_one_up(tmp_path: Path) -> None:
    committed = asyncio.Event()

    async def ask(session_id: str) -> SessionAnswer:
        if session_id == "slow":
            await committed.wait()
        return SessionAnswer({"session_id": session_id})

    everywhere = range(SETTINGS.topics.partitions)
    async with connected(tmp_path / "s", {watch("a", *everywhere): ask}) as (_, source):
        slow = asyncio.create_task(source.look_up("slow"))
        await asyncio.sleep(0)  # it is asked first
        assert (await source.look_up("quick")).session == {"session_id": "quick"}
        assert not slow.done()
        committed.set()
        assert (await slow).session == {"session_id": "slow"}


async def test_an_integer_that_a_frame_cannot_hold_costs_the_happenings_alone(tmp_path: Path) -> None:
    told = watch("a", 0)
    async with connected(tmp_path / "s", {told: having()}) as (picture, _):
        told.committed(
            Committed(
                0.01,
                1,
                {0: 1},
                {0: {"events": 3}},
                {0: [("creative_injection_debug", {"session": "s", "state": {"own": 10**30}})]},
            )
        )
        await until(lambda: picture.totals.get("events") == 3)
        assert picture.happened_left_out == 1
        assert picture.instances["a"].connected
