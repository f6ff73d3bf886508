"""A thousand updates a second cost the page no more than it draws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.fake import FakeWindow
from tests.browser.pace import crowd, measure

LONGEST_MS = 200  # on a processor: by the clock a machine that is busy with something else makes any task long


@pytest.fixture
def crowded() -> Iterator[FakeWindow]:
    window = FakeWindow(crowd(400))
    window.start()
    window.updates_per_s = 1000
    yield window
    window.close()


def test_1000_updates_a_second_make_no_long_task_and_few_drawings(browser: Browser, crowded: FakeWindow) -> None:
    pace = measure(browser, crowded, 5.0, warm_up_s=1.0)
    assert pace.updates > 1000  # of a busy machine; 5,000 otherwise
    assert pace.longest_task_cpu_ms < LONGEST_MS
    assert pace.drawings <= 2 * 5 * pace.seconds  # each of two places at most four times a second, and rounding
    assert pace.heap_after < pace.heap_before + 3_000_000
