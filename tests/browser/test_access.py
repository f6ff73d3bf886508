"""For everybody: keyboard, screen reader, any size, any theme, less motion; and fit to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import ViewportSize, expect

from tests.browser.chromium import DESKTOP, PHONE, Visit
from tests.browser.conftest import Open
from tests.browser.fake import FakeWindow
from tests.browser.world import World

VARIANTS: list[tuple[str, ViewportSize, Literal["light", "dark"]]] = [
    ("desktop", DESKTOP, "light"),
    ("dark", DESKTOP, "dark"),
    ("phone", PHONE, "light"),
]
SERIOUS = ("serious", "critical")


def assert_accessible(seen: Visit, rules: Sequence[str] = ()) -> None:
    """By all of axe's rules, or by some."""
    options: dict[str, object] = {"resultTypes": ["violations"]}  # of the others one node each: fast
    found = Axe().run(seen.page, options=options | ({"runOnly": list(rules)} if rules else {}))
    serious = [
        (violation["id"], node["target"], node["failureSummary"])
        for violation in found.response["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]
    assert serious == []


def assert_fits(seen: Visit) -> None:
    """Nothing makes the page wider than the window."""
    assert seen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("world", [8], indirect=True)  # every part is there, and an audit's cost grows with the nodes
def test_overview_and_session_are_accessible_in_both_themes_and_on_a_phone(open_page: Open, world: World) -> None:
    world.keep_happened(10)
    seen = open_page()
    page = seen.page
    for at, there in (("#/", "#session-rows tr"), ("#/session/sim-00004", "#session .log li")):
        page.evaluate("at => { location.hash = at; }", at)
        name = "session-" if "session" in at else ""
        for variant, viewport, theme in VARIANTS:
            page.set_viewport_size(viewport)
            page.emulate_media(color_scheme=theme)
            expect(page.locator(there).first).to_be_visible()
            # A theme changes nothing but colours.
            assert_accessible(seen, ["color-contrast"] if theme == "dark" else [])
            assert_fits(seen)
            seen.screenshot(f"{name}{variant}")


def test_the_keyboard_alone_reaches_everything(open_page: Open) -> None:
    page = open_page(viewport={"width": 1280, "height": 800}).page
    expect(page.locator("#session-rows tr").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    reached: set[str] = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        where = page.evaluate("""() => {
            const at = document.activeElement, ring = getComputedStyle(at), after = getComputedStyle(at, "::after");
            const seen = [ring, after].some((style) => style.outlineStyle !== "none");
            return [at.id, at.closest("section[id], form, ol, ul, table")?.id ?? "", seen];
        }""")
        assert where[2], f"no focus ring on {where[:2]}"
        reached.update(where[:2])
        if "session-rows" in reached or page.evaluate("document.activeElement.closest('#session-rows') !== null"):
            break
    assert {"mode-legend", "cards", "cards-more", "happened-hold", "log", "filter-query", "filter-mode"} <= reached
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(page.locator("#session h1")).to_have_text(name)


def test_the_theme_is_chosen_and_remembered(open_page: Open) -> None:
    page = open_page(color_scheme="light").page
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    theme = page.locator("#theme")
    theme.click()
    theme.click()
    expect(theme).to_have_attribute("aria-label", "Theme: dark. Press for system.")
    assert page.evaluate(paper) != light
    page.reload()
    expect(theme).to_have_attribute("aria-label", "Theme: dark. Press for system.")
    assert page.evaluate(paper) != light


def test_who_wants_less_motion_gets_none(open_page: Open) -> None:
    page = open_page(reduced_motion="reduce").page
    expect(page.locator(".card").first).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0


def test_who_hears_the_page_is_told_little_and_in_words(open_page: Open, window: FakeWindow, world: World) -> None:
    window.updates_per_s = 200
    page = open_page().page
    page.evaluate("""() => {
        window.said = [];
        for (const node of document.querySelectorAll("[role=status], [role=alert], [aria-live]"))
            new MutationObserver(() => said.push(node.textContent)).observe(node, {childList: true, subtree: true,
                characterData: true});
    }""")
    expect(page.locator("#announcement")).to_contain_text("sessions are exploring")
    shown = page.locator("#log time").first
    before = page.locator("#log li").count()
    expect(shown).to_be_visible()
    told = page.locator("#figures").inner_text()
    expect(page.locator("#figures")).not_to_have_text(told)
    assert before > 10
    assert len(page.evaluate("said")) <= 3
    trouble = {"what": "partition_stuck", "where": "tori.state-3", "message": "no progress", "since_s": 75}
    window.change(lambda: world.health.update(ready=False, reasons=[trouble]))
    expect(page.locator("#announcement")).to_have_text("tori.state-3: no progress.")
    expect(page.locator("#notices")).to_contain_text("for 75 s")
    window.change(lambda: trouble.update(since_s=77))
    expect(page.locator("#notices")).to_contain_text("for 77 s")
    assert len(page.evaluate("said")) <= 4  # the trouble once, however long it lasts
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("banner")).to_have_count(1)
    expect(page.get_by_role("contentinfo")).to_have_count(1)
    assert page.locator("table:not(:has(caption))").count() == 0
