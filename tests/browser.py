"""A browser for tests of pages: the system's own Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Error, Page, Request, sync_playwright

from tests.requirements import missing

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What is inside the page itself.
_INSIDE = ("file:", "data:", "blob:", "about:")


def chromium() -> str | None:
    """The path of a Chromium that is installed."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@dataclass
class Opened:
    """A page that is open, and what it did that it may not.

    Attributes:
        page: of Playwright.
        errors: on the console, and exceptions.
        requests: addresses outside the page that it asked for.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def said(self, message: ConsoleMessage) -> None:
        """Note what the console shows, if it is no mere information."""
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def broke(self, error: Error) -> None:
        """Note an exception."""
        self.errors.append(str(error))

    def asked(self, request: Request) -> None:
        """Note what the page asks for, if it is not inside it."""
        if not request.url.startswith(_INSIDE):
            self.requests.append(request.url)

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements that a selector names."""
        return self.page.locator(selector).all_inner_texts()


@contextmanager
def opened(file: Path, **context: Any) -> Iterator[Opened]:
    """Open a file; without a Chromium the test is skipped, and says so.

    Args:
        file: of the page.
        context: of Playwright's: locale, color_scheme, viewport.
    """
    path = chromium()
    if path is None:
        names = ", ".join(_NAMES)
        missing(f"no Chromium is installed: none of {names} is on PATH", "install chromium")
    with sync_playwright() as playwright:
        # In a container Chromium can't make a sandbox of its own; the page is ours.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            page = browser.new_context(**context).new_page()
            found = Opened(page)
            page.on("console", found.said)
            page.on("pageerror", found.broke)
            page.on("request", found.asked)
            page.goto(file.as_uri())
            yield found
        finally:
            browser.close()
