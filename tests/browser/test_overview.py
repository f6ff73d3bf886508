"""The overview tells what explores, why, along which curve, and what it gained."""

from __future__ import annotations

import re

from playwright.sync_api import Dialog, expect

from tests.browser.conftest import HOSTILE, Open
from tests.browser.fake import FakeWindow
from tests.browser.world import World

SIGNED = re.compile("[+\u2212\u00b1]\\d+[.]\\d\\d")  # with a true minus sign
DOUBT = {
    "what": "partition_stuck",
    "where": "tori.state-3",
    "message": "no progress: look at the broker",
    "since_s": 75,
}


def test_sessions_appear_by_mode_and_modes_change(open_page: Open, window: FakeWindow, world: World) -> None:
    window.updates_per_s, window.steps_per_round = 200, 10
    page = open_page().page
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    expect(page.locator("#health-word")).to_have_text("Ready")
    expect(page.locator("#headline")).to_have_text(re.compile(r"^\d+ of 46 sessions are exploring$"))
    counts = page.locator("#mode-legend .tally").evaluate_all("nodes => nodes.map(node => +node.firstChild.data)")
    assert len(counts) == 4
    assert sum(counts) == len(world.sessions)
    # Whoever explores now will rest after some rounds: its row then says so by itself.
    exploring = page.locator("#session-rows tr", has=page.locator("[data-mode=exploring]")).first
    name = exploring.locator("a").inner_text()
    row = page.locator("#session-rows tr", has=page.get_by_role("link", name=name, exact=True))
    expect(row.locator(".mode")).not_to_have_attribute("data-mode", "exploring")


def test_a_card_says_why_and_how_far_and_shows_its_outcome(open_page: Open, window: FakeWindow) -> None:
    window.steps_per_round = 6
    page = open_page().page
    card = page.locator(".card:not([data-ended])").first
    expect(card.locator(".why")).to_have_text(re.compile("Novelty is|Stable for long enough"))
    expect(card.locator(".how b")).to_have_text(re.compile("Pulse|Exponential decay|Cosine ramp|Constant"))
    link = card.locator("a").inner_text()
    drawn = card.locator(".ahead").get_attribute("d")
    assert drawn is not None
    assert drawn.count("L") == 64  # the whole profile curve
    same = page.locator(".card", has=page.get_by_role("link", name=link, exact=True)).first
    bar = same.get_by_role("progressbar")
    before = int(bar.get_attribute("aria-valuenow") or "0")
    page.wait_for_function("([node, before]) => +node.ariaValueNow > before", arg=[bar.element_handle(), before])
    ended = page.locator(".card[data-ended] .outcome", has_text=SIGNED).first
    expect(ended).to_have_text(re.compile("ran its full length|was cut short"))


def test_a_card_that_has_the_focus_does_not_take_it_along_when_its_exploration_ends(
    open_page: Open, window: FakeWindow
) -> None:
    window.steps_per_round = 10
    page = open_page().page
    link = page.locator(".card:not([data-ended]) a").first
    name = link.inner_text()
    link.focus()
    expect(page.locator(".card[data-ended] a:focus")).to_have_text(name)
    # Twice as long as an outcome is shown otherwise.
    page.wait_for_function("since => performance.now() - since > 5000", arg=page.evaluate("performance.now()"))
    assert page.evaluate("document.activeElement.title") == name
    page.keyboard.press("Tab")
    expect(page.locator(".card a:focus, #cards-more:focus")).to_have_count(1)


def test_gains_are_told_by_profile_and_against_the_prediction(open_page: Open, world: World) -> None:
    page = open_page().page
    expect(page.locator("#outcomes tr")).to_have_count(len(world.explorations))
    expect(page.locator("#outcomes tr").first.locator("td").last).to_have_text(re.compile(f"^{SIGNED.pattern}$"))
    expect(page.locator("#predictions .row")).to_have_count(7)
    compared = page.locator("#predictions .scale").first
    expect(compared).to_have_attribute("aria-label", re.compile(r"^(predicted .\d\.\d\d|without a prediction), actual"))


def test_a_hostile_session_id_is_text_everywhere(open_page: Open, window: FakeWindow) -> None:
    seen = open_page()
    page = seen.page
    dialogs: list[Dialog] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    page.locator("#filter-query").fill("<img")
    row = page.locator("#session-rows tr")
    expect(row).to_have_count(1)
    expect(row.locator("a")).to_have_text(HOSTILE)
    row.locator("a").click()
    expect(page.locator("#session h1")).to_have_text(HOSTILE)
    expect(page.locator("#session .status")).to_contain_text("steps in all")
    expect(page.locator(".card img, .log img, table img, #session img")).to_have_count(0)
    assert "onerror" in page.title()
    assert dialogs == []


def test_what_the_processor_suffers_from_is_said_in_words(open_page: Open, window: FakeWindow, world: World) -> None:
    page = open_page().page
    expect(page.locator("#health-word")).to_have_text("Ready")
    expect(page.locator("#notices")).to_be_empty()
    window.change(lambda: world.health.update(live=False, ready=False, reasons=[DOUBT]))
    expect(page.locator("#health-word")).to_have_text("Not live")
    expect(page.locator(".notice")).to_have_text(re.compile("Partition stuck.*no progress.*tori.state-3, for 75 s"))
    window.change(lambda: world.health.update(live=True, ready=True, reasons=[]))
    expect(page.locator(".notice")).to_have_count(0)


def test_sessions_are_found_by_mode_and_by_part_of_their_id(open_page: Open, world: World) -> None:
    page = open_page().page
    page.locator("#mode-legend").get_by_role("button", name="recovering").click()
    expect(page.locator("#filter-mode")).to_have_value("recovering")
    expect(page.locator("#sessions-count")).to_have_text(re.compile(r"^\d+ of 46 sessions$"))
    page.locator("#filter-mode").select_option("")
    page.locator("#filter-query").fill("sim-0001")
    expect(page.locator("#session-rows tr")).to_have_count(10)
    page.locator("#filter-order").select_option("name")
    expect(page.locator("#session-rows tr a").last).to_have_text("sim-00019")
    page.locator("#filter-query").fill("nobody")
    expect(page.locator("#sessions-empty")).to_contain_text("No session is like that")


def test_without_sessions_the_page_says_what_will_be_where(open_page: Open, window: FakeWindow, world: World) -> None:
    empty = world.overview() | {
        "sessions": 0, "modes": dict.fromkeys(world.modes(), 0), "cumulative_gain": 0.0, "explorations": {},
        "exploring": [], "exploring_total": 0, "happened": [], "instances": [], "successes": 0,
        "trend": {"interval_s": 2, "points": []}, "latency": dict.fromkeys(world.overview()["latency"]),
    }  # fmt: skip

    def clear() -> None:
        world.overview = lambda: empty  # type: ignore[method-assign]
        world.listing = lambda *asked: {"sessions": [], "total": 0, "matching": 0}  # type: ignore[method-assign]
        world.live = lambda steps: []  # type: ignore[method-assign]

    window.change(clear)
    seen = open_page()
    page = seen.page
    expect(page.locator("#headline")).to_have_text("No sessions yet")
    for empty_part in ("#cards-empty", "#log-empty", "#outcomes-empty", "#sessions-empty", "#instances-empty"):
        expect(page.locator(empty_part)).to_be_visible()
    seen.screenshot("empty")


def test_an_unknown_profile_and_a_start_nobody_heard_are_shown_all_the_same(
    open_page: Open, window: FakeWindow, world: World
) -> None:
    strange = {
        "session_id": "sim-00001", "injection_id": None, "profile": "my_own", "reason": None, "entropy_factor": 0.4,
        "current_factor": 0.2, "progress": 0.5, "predicted_gain": None, "duration": None, "since": "",
    }  # fmt: skip
    told = world.overview() | {"exploring": [strange], "exploring_total": 1}
    window.change(lambda: setattr(world, "overview", lambda: told))
    page = open_page().page
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card .how")).to_have_text("my own")
    expect(page.locator(".card .why")).to_have_text("Its start was before this page could see it")
