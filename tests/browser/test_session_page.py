"""A session's page: why, the curve, the course, the gains, the model and the story."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import ODD, Open
from tests.browser.fake import FakeWindow


def exploring_session(page: Page) -> str:
    row = page.locator("#session-rows tr", has=page.locator("[data-mode=exploring]")).first
    return row.locator("a").inner_text()


def test_a_click_on_a_row_opens_the_story_and_back_returns_to_the_place(open_page: Open) -> None:
    page = open_page().page
    name = exploring_session(page)
    page.locator("#session-rows tr", has=page.get_by_role("link", name=name, exact=True)).locator("td").nth(1).click()
    expect(page.locator("#session h1")).to_have_text(name)
    expect(page.locator("#session h1")).to_be_focused()
    expect(page.locator("#session .why")).to_have_text(re.compile("Novelty is|Stable for long|Resting|At rest|Halted"))
    expect(page.locator("#session .curve .done")).to_have_attribute("d", re.compile("^M0.0 .*L240.0 "))
    expect(page.locator("#session .chart svg")).to_have_attribute("aria-label", re.compile("novelty from 0"))
    expect(page.locator("#session .log li").first).to_be_visible()
    expect(page.locator("#session .weights li")).to_have_count(6)
    assert page.title().startswith(name)
    step = page.locator("#session .status span").nth(1)
    before = step.inner_text()
    expect(step).not_to_have_text(before)  # it follows the session
    page.go_back()
    expect(page.locator("#overview")).to_be_visible()
    expect(page.locator(f"#overview a.id:text-is('{name}'):focus")).to_have_count(1)
    assert page.evaluate("scrollY") > 0


def test_an_id_of_any_characters_has_an_address_that_can_be_kept(open_page: Open) -> None:
    page = open_page().page
    page.locator("#filter-query").fill("наука")
    page.get_by_role("link", name=ODD, exact=True).last.click()
    expect(page.locator("#session h1")).to_have_text(ODD)
    page.reload()
    expect(page.locator("#session h1")).to_have_text(ODD)
    expect(page.locator("#session .status")).to_contain_text("partition 1")


def test_a_session_owned_elsewhere_is_fetched_through_this_instance(open_page: Open, window: FakeWindow) -> None:
    window.elsewhere.add("sim-00003")
    seen = open_page("#/session/sim-00003")
    seen.forgive_failed_requests()
    expect(seen.page.locator("#session .status")).to_contain_text("steps in all")
    asked = [path for path in window.asked if path.startswith("/api/sessions/sim-00003")]
    assert asked[0] == "/api/sessions/sim-00003"
    assert "/api/sessions/sim-00003?forward=1" in asked
    expect(seen.page.locator("#session .notice, #session [role=status]")).to_be_hidden()


def test_an_unknown_session_is_said_to_be_unknown_and_appears_when_it_comes(
    open_page: Open, window: FakeWindow
) -> None:
    newcomer = window.world.sessions["sim-00005"]
    window.change(lambda: window.world.sessions.pop("sim-00005"))
    seen = open_page("#/session/sim-00005")
    seen.forgive_failed_requests()
    expect(seen.page.locator("#session [role=status]")).to_contain_text("No session of this name is known")
    window.change(lambda: window.world.sessions.update({"sim-00005": newcomer}))
    expect(seen.page.locator("#session .status")).to_contain_text("steps in all")
