"""A real browser to look at pages with: Debian's Chromium, without a window."""

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
"""Where tests leave what they saw, for people to look at."""

_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
"""As root Chromium has no sandbox, without a screen no GPU, and it shall fetch nothing by itself."""

_INSTALL = (
    ("apt-get", "update"),
    ("apt-get", "install", "--yes", "--no-install-recommends", "chromium"),
)


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the browser's path; it is installed if it is missing, by whoever may."""
    found = _chromium()
    if found:
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("There is no Chromium here; install it, or run the tests as root on Debian")
    with (Path(tempfile.gettempdir()) / "seedance-tests-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two test processes, one installs
        if not _chromium():
            env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for command in _INSTALL:
                subprocess.run(command, env=env, check=True, capture_output=True)
    found = _chromium()
    assert found
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """Run the browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*_FLAGS])
        yield browser
        await browser.close()


class Witness:
    """Notes what a page does that cannot be seen on it.

    Attributes:
        requests: All that it asked for, without what it holds itself.
        complaints: What the browser or a script complained of.
    """

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        page.on("dialog", lambda dialog: self._hear("error", f"dialog {dialog.message}"))

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def fetched(self) -> list[str]:
        """Return the addresses of what came from outside of the page."""
        return [url for url in self.requests if not url.startswith("data:")]


async def keep(page: Page, name: str) -> None:
    """Keep a picture of the whole page."""
    await page.wait_for_load_state("networkidle")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
