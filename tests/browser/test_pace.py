"""A thousand updates a second cost the page no more than it draws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.fake import FakeWindow
from tests.browser.pace import crowd, measure

LONGEST_MS = 200
ROUNDS = 3  # a machine that is busy with something else makes a task long, too, but hardly three times


@pytest.fixture
def crowded() -> Iterator[FakeWindow]:
    window = FakeWindow(crowd())
    window.start()
    window.updates_per_s = 1000
    yield window
    window.close()


def test_1000_updates_a_second_make_no_long_task_and_few_drawings(browser: Browser, crowded: FakeWindow) -> None:
    for _ in range(ROUNDS):
        pace = measure(browser, crowded, 5.0, warm_up_s=1.0)
        assert pace.updates > 2000
        assert pace.drawings <= 2 * 5 * pace.seconds  # each of two places at most four times a second, and rounding
        if pace.longest_task_ms < LONGEST_MS:
            break
    assert pace.longest_task_ms < LONGEST_MS
    assert pace.heap_after < pace.heap_before + 3_000_000
