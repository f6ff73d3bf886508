"""The page finds back by itself, says what it sees, and keeps a token to itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.fake import FakeWindow
from tests.browser.world import World

TOKEN = "kings/rooks+pawns=~~~"


def test_a_restarted_server_is_found_again_by_itself(open_page: Open, window: FakeWindow, world: World) -> None:
    seen = open_page()
    seen.forgive_failed_requests()
    page = seen.page
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    window.stop()
    expect(page.locator("#link")).to_have_attribute("data-state", "waiting")
    expect(page.locator(".notice")).to_contain_text("What you see is as it was")
    expect(page.locator("#overview")).to_have_attribute("data-stale", "yes")
    expect(page.locator(".card").first).to_be_visible()
    seen.screenshot("disconnected", full=False)
    window.start()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    expect(page.locator(".notice")).to_have_count(0)
    expect(page.locator("#overview")).not_to_have_attribute("data-stale", "yes")
    told = page.locator("#figures").inner_text()
    expect(page.locator("#figures")).not_to_have_text(told)  # and it goes on


def test_waiting_grows_and_a_press_ends_it(open_page: Open, window: FakeWindow) -> None:
    seen = open_page(clock=True)
    seen.forgive_failed_requests()
    page = seen.page
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    window.stop()
    expect(page.locator("#link")).to_have_attribute("data-state", "waiting")
    window.asked.clear()
    page.clock.fast_forward(1000)
    for _ in range(6):
        expect(page.locator("#link")).to_have_attribute("data-state", "waiting")
        # The last attempt, too, is over before there is a server again.
        with page.expect_event("requestfailed", lambda request: "api/overview" in request.url):
            page.clock.fast_forward(16_000)
    window.start()
    assert window.asked == []
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")


def test_a_server_that_falls_silent_is_left(open_page: Open, window: FakeWindow) -> None:
    page = open_page(clock=True).page
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    window.silent = True
    page.clock.fast_forward(9000)
    expect(page.locator(".notice")).to_contain_text("fallen silent")
    window.silent = False
    page.clock.fast_forward(1000)
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    assert sockets


@pytest.fixture
def locked(window: FakeWindow) -> Iterator[FakeWindow]:
    window.token = TOKEN
    yield window
    window.token = None


def test_a_token_in_the_address_opens_and_is_gone_from_it(open_page: Open, locked: FakeWindow) -> None:
    page = open_page("#token=kings%2Frooks+pawns%3D~~~").page
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    expect(page.locator("#headline")).to_contain_text("46 sessions")
    assert page.url == locked.url
    assert TOKEN not in page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")


def test_without_the_token_it_is_asked_for_and_a_wrong_one_refused(open_page: Open, locked: FakeWindow) -> None:
    seen = open_page()
    seen.forgive_failed_requests()
    page = seen.page
    expect(page.get_by_role("heading", name="A token is needed")).to_be_visible()
    expect(page.locator("#overview")).to_be_hidden()
    expect(page.get_by_role("textbox", name="Token")).to_be_focused()
    seen.screenshot("locked", full=False)
    page.get_by_role("textbox", name="Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#door-refused")).to_have_text("That is not the token.")
    page.get_by_role("textbox", name="Token").fill(TOKEN)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#headline")).to_have_text(re.compile("of 46 sessions"))
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    expect(page.locator("#session-rows tr").first).to_be_visible()
    expect(page.locator("#door")).to_be_hidden()
