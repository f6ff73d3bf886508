"""One browser for all tests of this folder, a stand-in server and a fresh profile for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import CHROMIUM, MISSING, Visit, chromium, visit
from tests.browser.fake import FakeWindow
from tests.browser.world import World

HOSTILE = "<img src=x onerror=alert(1)>"
ODD = "café/наука?a=1#b%20c"


# Of the package and no longer: playwright's event loop would be in the way of asynchronous tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with chromium() as browser:
        yield browser


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """46 sessions with a past of ten minutes; fewer by ``pytest.mark.parametrize("world", [8], indirect=True)``."""
    sessions: int = getattr(request, "param", 46)
    world = World([*(f"sim-{number:05d}" for number in range(sessions - 2)), HOSTILE, ODD])
    for second in range(300):
        world.live(2)
        world.note_trend(world.began - 600 + 2 * second, 280 + 5 * (second * 37 % 11))
    return world


@pytest.fixture
def window(world: World) -> Iterator[FakeWindow]:
    window = FakeWindow(world)
    window.start()
    yield window
    window.close()


Open = Callable[..., Visit]


@pytest.fixture
def open_page(browser: Browser, window: FakeWindow) -> Iterator[Open]:
    """Opens the dashboard, at ``at`` behind its address, in a context with the other arguments.

    With ``clock`` its time runs on as ever, and can be put forward.
    """
    with ExitStack() as visits:

        def opened(at: str = "", clock: bool = False, **context: Any) -> Visit:
            seen = visits.enter_context(visit(browser, window.url, **context))
            if clock:
                seen.page.clock.install()
            seen.page.goto(window.url + at)
            return seen

        yield opened
