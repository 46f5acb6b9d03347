"""The documentation site: it builds without a warning, and needs no other host."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import prefect_seedance
from tests.pages import ROOT

_SECONDS = 300.0
"""A build takes 4 s of CPU time, and longer on a busy machine."""

_FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
"""Attributes by element whose URL a browser fetches by itself."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, with warnings as errors, without access to any other host."""
    folder = tmp_path_factory.mktemp("site")
    offline = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    # Without --quiet, with which MkDocs would not count warnings.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **offline, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    return folder


class _Page(HTMLParser):
    """The URLs that a browser fetches to show a page, and the page's text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.text = ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a URL."""
        values = dict(attrs)
        if tag in _FETCHED and values.get("rel") not in {"prev", "next", "canonical"}:
            self.fetched.append(values.get(_FETCHED[tag]) or "")

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


def pages(site: Path) -> Iterator[tuple[str, _Page]]:
    for page in sorted(site.rglob("*.html")):
        yield page.relative_to(site).as_posix(), _Page(page)


def test_site_needs_no_other_host(site: Path) -> None:
    """Pages fetch styles, scripts, fonts and images from the site only."""
    foreign = {(name, url) for name, page in pages(site) for url in page.fetched if "//" in url}
    styles = {
        (style.name, url)
        for style in site.rglob("*.css")
        for url in re.findall(r"url\(['\"]?(https?:[^)]*)", style.read_text(encoding="utf-8"))
    }

    assert foreign | styles == set()


def test_generated_parts_are_complete(site: Path) -> None:
    """Every table, listing, picture and reference is replaced by its content."""
    left = re.compile(r"<!-- \w+ of |^::: |\]\(", re.MULTILINE)
    found = [name for name, page in pages(site) if left.search(page.text)]
    sandbox, own_flow, cli, paying = (
        (site / name).read_text(encoding="utf-8")
        for name in (
            "reference/sandbox.html",
            "how-to/own-flow.html",
            "reference/cli.html",
            "explanation/paying-once.html",
        )
    )

    assert found == []
    assert "<code>accept-then-drop</code>" in sandbox
    assert "make_scenes" in own_flow
    assert "--retry-rejected" in cli
    assert '<svg class="figure"' in paying


@pytest.mark.parametrize("name", sorted(set(prefect_seedance.__dir__()) & set(prefect_seedance._HOMES)))
def test_public_name_is_documented(site: Path, name: str) -> None:
    """Every public name has a heading in the reference."""
    reference = "".join(
        (site / f"reference/{page}.html").read_text(encoding="utf-8")
        for page in ("python", "configuration", "storyboards")
    )

    assert re.search(rf'<h[23][^>]* id="(?:[\w.]*\.)?{name}"', reference, re.IGNORECASE)
