"""A real browser for a test, and everything that must not happen in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, WebSocket, expect, sync_playwright

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no chromium, chromium-browser or google-chrome on the PATH"

DESKTOP = ViewportSize(width=1440, height=900)
PHONE = ViewportSize(width=390, height=844)
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"

PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)  # a busy machine is not a broken page

# Collected before any script of the page runs; a worker or an extension has no part in it.
_WITNESS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) longTasks.push(entry.duration);
}).observe({ entryTypes: ["longtask"] });
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The installed browser, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page with a record of what went wrong in it. ``forgives`` are parts of console messages that a test expects."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    forgives: list[str] = field(default_factory=list)

    def forgive_failed_requests(self) -> None:
        """The browser itself writes of requests that were refused or not answered."""
        self.forgives += ["Failed to load resource", "WebSocket connection to"]

    def watch(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._follow)
        self.page.on("websocket", self._follow)

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(said.text)

    def _follow(self, asked: Request | WebSocket) -> None:
        if not asked.url.startswith((self.origin, f"ws{self.origin.removeprefix('http')}ws?")):
            self.foreign.append(asked.url)

    def assert_clean(self) -> None:
        """No error, no warning, no violation of the content security policy, no request to anywhere else."""
        unexpected = [text for text in self.complaints if not any(part in text for part in self.forgives)]
        assert unexpected == []
        assert self.page.evaluate("window.violations") == []
        assert self.foreign == []

    def screenshot(self, name: str, full: bool = True) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full)


@contextmanager
def visit(browser: Browser, origin: str, **context: Any) -> Iterator[Visit]:
    """A fresh profile on a blank page; leaves it checked. `context` as of playwright's ``new_context``."""
    with browser.new_context(**{"viewport": DESKTOP, **context}) as fresh:
        fresh.set_default_timeout(PATIENCE_MS)
        fresh.add_init_script(_WITNESS)
        page = fresh.new_page()
        seen = Visit(page, origin)
        seen.watch()
        yield seen
        seen.assert_clean()
