"""A real browser for the tests, and what a page did in it that it should not have done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.needs import need

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = (1360, 860)
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The system's Chromium, driven by Playwright; none is downloaded."""
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    need(chromium, "Chromium", "install the system's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """The windows of one person. `asked`: the addresses that the pages asked for. `complaints`: their errors and warnings."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.expected = ""
        """Part of a complaint that is no fault: a browser complains of each answer that is not a success."""
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._hear)

    def _hear(self, said: ConsoleMessage) -> None:
        complaint = f"{said.text} ({said.location['url']})"
        if said.type in ("error", "warning") and not (self.expected and self.expected in complaint):
            self.complaints.append(complaint)

    def open(self, url: str) -> Page:
        """Opens a page in a window of its own."""
        page = self._context.new_page()
        page.goto(url)
        return page


@contextmanager
def visit(browser: Browser) -> Iterator[Visit]:
    """A person with a fresh browser."""
    context = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]})
    context.set_default_timeout(PATIENCE_MS)
    yield Visit(context)
    context.close()
