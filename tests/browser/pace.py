"""How the dashboard keeps up: ``python -m tests.browser.pace --seconds 60 --updates 1000 --json``."""

from __future__ import annotations

import argparse
import time
from typing import Any

import msgspec
from msgspec import Struct
from playwright.sync_api import Browser

from tests.browser.chromium import chromium, visit
from tests.browser.fake import FakeWindow
from tests.browser.world import World

_TASKS = "disabled-by-default-devtools.timeline"  # the category of RunTask

_COUNT_FRAMES = """
window.drawings = 0;
new MutationObserver(() => drawings++).observe(document.getElementById("figures"), {
  childList: true, subtree: true, characterData: true });
new MutationObserver(() => drawings++).observe(document.getElementById("cards"), {
  childList: true, subtree: true, characterData: true, attributes: true });
"""


class Pace(Struct):
    """What a page did for ``seconds``; memory is the JavaScript heap after a collection, in bytes.

    A long task is one of at least 50 ms by the clock, which a busy machine lengthens; the longest one's time on a
    processor is the page's own doing.
    """

    seconds: float
    updates: int
    drawings: int
    long_tasks: int
    longest_task_ms: float
    longest_task_cpu_ms: float
    cpu_s: float  # of the page's main thread
    heap_before: int
    heap_after: int
    nodes_before: int
    nodes_after: int


def crowd(sessions: int) -> World:
    """Many sessions, so that most updates are of sessions that are not in view."""
    world = World([f"sim-{number:05d}" for number in range(sessions)])
    for second in range(100):
        world.live(1)
        world.note_trend(world.began - 600 + 2 * second, sessions * 4.0)
    return world


def measure(browser: Browser, window: FakeWindow, seconds: float, warm_up_s: float = 3.0) -> Pace:
    """Opens the dashboard, lets it settle, and watches it for some seconds."""
    with visit(browser, window.url) as seen:
        page = seen.page
        page.goto(window.url)
        page.wait_for_function("() => document.querySelectorAll('.card').length > 0")
        page.wait_for_timeout(warm_up_s * 1000)
        page.evaluate(_COUNT_FRAMES)
        probe = page.context.new_cdp_session(page)
        probe.send("Performance.enable")
        before = _figures(probe)
        sent = window.pushed
        page.evaluate("longTasks.length = 0")
        browser.start_tracing(page=page, categories=[_TASKS])
        began = time.monotonic()
        page.wait_for_timeout(seconds * 1000)
        tasks, drawings = page.evaluate("[longTasks, drawings]")
        took, updates = time.monotonic() - began, window.pushed - sent
        on_processor_ms = _task_cpu_ms(msgspec.json.decode(browser.stop_tracing()))
        after = _figures(probe)
        return Pace(
            seconds=round(took, 1), updates=updates, drawings=drawings,
            long_tasks=len(tasks), longest_task_ms=max(tasks, default=0.0),
            longest_task_cpu_ms=max(on_processor_ms), cpu_s=round(sum(on_processor_ms) / 1000, 2),
            heap_before=int(before["JSHeapUsedSize"]), heap_after=int(after["JSHeapUsedSize"]),
            nodes_before=int(before["Nodes"]), nodes_after=int(after["Nodes"]),
        )  # fmt: skip


def _task_cpu_ms(trace: dict[str, Any]) -> list[float]:
    """The time on a processor of each task of the page's main thread."""
    events = trace["traceEvents"]
    [page] = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) == page and "tdur" in event
    ]


def _figures(probe: Any) -> dict[str, float]:
    for _ in range(2):  # what the first collection sets free, the second takes
        probe.send("HeapProfiler.collectGarbage")
    return {metric["name"]: metric["value"] for metric in probe.send("Performance.getMetrics")["metrics"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--updates", type=int, default=1000, help="metrics a second")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    window = FakeWindow(crowd(1000))
    window.start()
    window.updates_per_s = asked.updates
    try:
        with chromium() as browser:
            pace = measure(browser, window, asked.seconds)
    finally:
        window.close()
    if asked.json:
        print(msgspec.json.encode(pace).decode())
    else:
        for name, value in msgspec.structs.asdict(pace).items():
            print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
