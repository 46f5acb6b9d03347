"""Fixtures for browser tests with Debian's Chromium in headless mode."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.processes import ROOT

SCREENSHOTS = ROOT / "build/screenshots"
"""Folder for the screenshots of tests."""

_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
"""No sandbox, because the tests may run as root; no GPU; no requests by the browser itself."""

_INSTALL = (
    ("apt-get", "update"),
    ("apt-get", "install", "--yes", "--no-install-recommends", "chromium"),
)


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of Chromium; install it if it is missing and the tests run as root."""
    found = _chromium()
    if found:
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("Chromium is missing; install it, or run the tests as root on Debian")
    with (Path(tempfile.gettempdir()) / "seedance-tests-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # only one test process installs it
        if not _chromium():
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for command in _INSTALL:
                subprocess.run(command, env=env, check=True, capture_output=True)
    found = _chromium()
    assert found
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Run Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*_FLAGS])
        yield browser
        await browser.close()


class Witness:
    """A record of a page's requests and errors.

    Attributes:
        requests: URLs of all requests.
        errors: Errors and warnings of the browser and of scripts, and dialogs.
    """

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self._record(message.type, message.text))
        page.on("pageerror", lambda error: self._record("error", str(error)))
        page.on("dialog", lambda dialog: self._record("error", f"dialog {dialog.message}"))

    def _record(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.errors.append(text)

    def fetched(self) -> list[str]:
        """Return the URLs requested from outside the page."""
        return [url for url in self.requests if not url.startswith("data:")]


async def keep(page: Page, name: str) -> None:
    """Save a screenshot of the whole page."""
    await page.wait_for_load_state("networkidle")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
