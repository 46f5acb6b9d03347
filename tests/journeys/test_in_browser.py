"""The report in a browser, from a folder and from a bucket, and the run in Prefect's UI."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from playwright.async_api import Browser, Page

from tests.browsing import Witness, keep
from tests.processes import BIN, S3, Command, Sandbox, environment, forked, sandboxes, write_board

TITLE = "<b>Dawn</b> & \"dusk\" <script>document.title = 'gone'</script>"
PROMPTS = {
    "drifting clouds after dawn": "<img src=https://elsewhere.example/x.png onerror=alert(1)> clouds",
    "drifting clouds after noon": "</p><script>alert(2)</script> gulls {{ 7 * 7 }}",
}
REASON = "<iframe src=https://elsewhere.example></iframe> no"
_COMMAND_SECONDS = 120.0


@dataclass(frozen=True)
class Shown:
    """A production with a report.

    Attributes:
        place: The kind of its archive.
        report: The URL of its report.
        prefix: The prefix of all URLs that the report may load.
    """

    place: str
    archive: str
    report: str
    prefix: str
    env: Mapping[str, str]

    def flow_run(self, api: str) -> str:
        """Return the id of its flow run."""
        names = {"flow_runs": {"name": {"any_": [f"produce seen-{self.place}"]}}}
        (run,) = httpx.post(f"{api}/flow_runs/filter", json=names).raise_for_status().json()
        return str(run["id"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def board(home: Path) -> Path:
    """Write a storyboard of two clips with harmful HTML in its texts."""
    board = write_board(home / "board")
    words = board.read_text(encoding="utf-8").replace("title: Test board", f"title: {json.dumps(TITLE)}")
    words = words.replace("defaults: {", "loop: true\ndefaults: {sound: true, ")
    words = words.replace("dusk.png}", "dusk.png, prompt: drifting clouds after dusk}")
    for harmless, harmful in PROMPTS.items():
        words = words.replace(harmless, json.dumps(harmful))
    board.write_text(words, encoding="utf-8")
    return board


@pytest.fixture(scope="module")
def sandbox(home: Path) -> Iterator[Sandbox]:
    """Run a sandbox that rejects the clip after dusk."""
    (home / "archive/images").mkdir(parents=True)
    with sandboxes(home) as start:
        sandbox = start(serve=home / "archive/images", frame_rate=12)
        refusal = {"fault": "fail", "code": "CONTENT_VIOLATION", "message": REASON}
        sandbox.faults({"kind": "generation", "clip": "after dusk", **refusal})
        yield sandbox


@pytest.fixture(scope="module", params=["disk", "bucket"])
def shown(
    request: pytest.FixtureRequest, home: Path, board: Path, sandbox: Sandbox, prefect_server: str
) -> Shown:
    """Produce the storyboard and return its report."""
    place = request.param
    s3: S3 | None = request.getfixturevalue("s3") if place == "bucket" else None
    archive = f"s3://{s3.bucket()}" if s3 else str(home / "archive")
    hosting = () if s3 else ("--images-url", sandbox.hosted)
    env = {"PREFECT_API_URL": prefect_server, **sandbox.env, **(s3.env if s3 else {})}

    def run(*arguments: object) -> Any:  # noqa: ANN401 -- JSON
        command = (BIN / "prefect-seedance", *arguments, "--json")
        ran = forked(*command, env=environment(home / "prefect", **env), cwd=home, seconds=_COMMAND_SECONDS)
        assert ran.stdout, ran.stderr
        return json.loads(ran.stdout)

    polling = ("--first-poll", "0.3", "--poll-every", "0.2")
    run("produce", board, "--archive", archive, "--name", f"seen {place}", *hosting, *polling)
    report = run("open", archive, f"seen {place}", "--no-browser")["url"]
    prefix = f"{s3.url}/{archive.removeprefix('s3://')}/" if s3 else (home / "archive").as_uri()
    return Shown(place, archive, report, prefix, env)


@pytest.fixture
async def page(browser: Browser) -> Page:
    return await browser.new_page(viewport={"width": 1280, "height": 900})


on_disk = pytest.mark.parametrize("shown", ["disk"], indirect=True)
"""For properties that do not depend on the archive."""


async def test_loads_own_images_only(shown: Shown, page: Page) -> None:
    """All images load, without errors and without requests to other hosts."""
    witness = Witness(page)
    await page.goto(shown.report)
    await page.wait_for_load_state("networkidle")

    widths = await page.evaluate("[...document.images].map(image => image.naturalWidth)")
    posters = await page.evaluate(
        """Promise.all([...document.querySelectorAll("video[poster]")].map(async video => {
            const image = new Image();
            image.src = video.poster;
            await image.decode();
            return image.naturalWidth;
        }))"""
    )
    await keep(page, f"report-{shown.place}-light")

    assert len(widths) == 4
    assert len(posters) >= 2
    assert min(widths + posters) > 0
    assert witness.errors == []
    assert [url for url in witness.fetched() if not url.startswith(shown.prefix)] == []


async def test_videos_play(shown: Shown, page: Page) -> None:
    """The film and every clip play with sound."""
    witness = Witness(page)
    await page.goto(shown.report)

    videos = await page.locator("video").all()
    for video in videos:
        await video.evaluate("video => video.play()")
        await page.wait_for_function("video => video.currentTime > 0.4", arg=await video.element_handle())
        audio_bytes = await video.evaluate(
            "video => { video.pause(); return video.webkitAudioDecodedByteCount; }"
        )
        assert audio_bytes > 0

    assert len(videos) == 3
    assert witness.errors == []
    assert [url for url in witness.fetched() if not url.startswith(shown.prefix)] == []


async def test_texts_are_escaped(shown: Shown, page: Page) -> None:
    """Texts of authors and of the API are shown unchanged and are not executed."""
    witness = Witness(page)
    await page.goto(shown.report)

    assert await page.title() == f"{TITLE} – production report"
    assert await page.locator("h1").inner_text() == TITLE
    prompts = await page.locator(".prompt").all_inner_texts()
    assert prompts[:2] == list(PROMPTS.values())
    assert REASON in await page.locator(".missing .reason").inner_text()
    assert await page.locator("script, iframe, img:not([alt])").count() == 0
    assert witness.errors == []


async def test_links_lead_to_files(shown: Shown, page: Page) -> None:
    """The links to videos, manifest and flow runs work."""
    await page.goto(shown.report)
    await page.evaluate(_OPEN_ALL)

    links = await page.locator("a[href]:not([href^='#'])").all()
    found = {await link.inner_text(): await link.evaluate("link => link.href") for link in links}
    contents = {name: _fetched(url) for name, url in found.items()}

    assert len([name for name in contents if name[:3] in {"01 ", "02 ", "03 "}]) == 2
    assert all(content[4:8] == b"ftyp" for name, content in contents.items() if name.endswith(".mp4"))
    assert json.loads(contents["manifest.json"])["title"] == TITLE


_OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"


def _fetched(url: str) -> bytes:
    if url.startswith("file://"):
        return Path(unquote(url.removeprefix("file://"))).read_bytes()
    # Prefect serves its UI under all paths, but only to browsers.
    return httpx.get(url, headers={"Accept": "text/html,*/*;q=0.8"}).raise_for_status().content


async def test_shows_link_expiry(shown: Shown, page: Page) -> None:
    """For a bucket, the page shows when its links expire and how to renew them."""
    await page.goto(shown.report)

    footer = await page.locator("footer").inner_text()

    command = f"prefect-seedance report s3://{shown.prefix.split('/')[3]} seen-bucket"
    assert (command in footer) == (shown.place == "bucket")
    assert ("work until" in footer) == (shown.place == "bucket")


@on_disk
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_is_readable_in(scheme: Any, shown: Shown, browser: Browser) -> None:  # noqa: ANN401 -- Playwright's literal
    """In the light and the dark scheme, all text has enough contrast."""
    page = await browser.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    await page.goto(shown.report)

    faint = await page.evaluate(_FAINT)
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await keep(page, f"report-{shown.place}-{scheme}")

    assert faint == []
    assert background == {"light": "rgb(251, 250, 248)", "dark": "rgb(19, 21, 24)"}[scheme]


_FAINT = """() => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => channels(colour).slice(0, 3)
        .map(value => value / 255)
        .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, which) => sum + value * [0.2126, 0.7152, 0.0722][which], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if ((channels(colour)[3] ?? 1) > 0) return colour;
        }
    };
    const words = [...document.querySelectorAll("body *")].filter(
        element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
    return words.map(element => {
        const [front, back] = [light(getComputedStyle(element).color), light(behind(element))];
        const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
        return [element.className || element.tagName, contrast];
    }).filter(([name, contrast]) => contrast < 4.5);
}"""
"""Finds words whose contrast is below 4.5. Source: WCAG 2.2, success criterion 1.4.3."""


@on_disk
async def test_fits_a_phone(shown: Shown, browser: Browser) -> None:
    """At a width of 360 px nothing overflows, even with all details open."""
    page = await browser.new_page(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True)
    await page.goto(shown.report)

    await page.evaluate(_OPEN_ALL)
    width = await page.evaluate("document.documentElement.scrollWidth")
    cut = await page.evaluate(
        """[...document.querySelectorAll("main *")].filter(each => each.getBoundingClientRect().right > 361)
            .map(each => each.outerHTML.slice(0, 80))"""
    )
    await keep(page, f"report-{shown.place}-phone")

    assert (width, cut) == (360, [])


@on_disk
async def test_needs_no_mouse(shown: Shown, page: Page) -> None:
    """The Tab key reaches every control visibly; Space plays a clip, and Enter closes details."""
    await page.goto(shown.report)
    await page.evaluate(_OPEN_ALL)
    usable = await page.locator("a, video, summary").count()

    reached: dict[str, str] = {}
    for _ in range(20 * usable):
        await page.keyboard.press("Tab")
        name, outline = await page.evaluate(_FOCUS)
        if name == "end":
            break
        reached.setdefault(name, outline)  # of a video itself, before its buttons
    await page.locator("#clip-1 video").focus()
    await page.keyboard.press("Space")
    await page.wait_for_function("() => document.activeElement.currentTime > 0.2")
    await page.locator("#clip-1 summary").focus()
    await page.keyboard.press("Enter")

    assert next(iter(reached)).startswith("a Skip to the clips")
    assert len(reached) == usable
    assert set(reached.values()) == {"solid"}
    assert await page.locator("#clip-1 details").get_attribute("open") is None


_FOCUS = """() => {
    const [all, now] = [[...document.querySelectorAll("a, video, summary")], document.activeElement];
    if (!all.includes(now)) return ["end", ""];
    return [`${now.localName} ${now.innerText} ${all.indexOf(now)}`, getComputedStyle(now).outlineStyle];
}"""


def test_open_starts_a_browser(shown: Shown, run_cli: Command, tmp_path: Path) -> None:
    """The open command passes the report's URL to the configured browser."""
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n', encoding="utf-8")
    browser.chmod(0o755)

    ran = run_cli("open", shown.archive, f"seen {shown.place}", env={**shown.env, "BROWSER": f"{browser} %s"})

    assert ran.returncode == 0
    address = seen.read_text(encoding="utf-8")
    assert ran.stdout.startswith(f"{address}\n")
    assert address.partition("?")[0] == shown.report.partition("?")[0]
    assert ("Anyone who has this URL" in ran.stdout) == (shown.place == "bucket")


@on_disk
async def test_has_accessible_names(shown: Shown, page: Page) -> None:
    """All elements have names for screen readers."""
    await page.goto(shown.report)

    tree = await page.locator("body").aria_snapshot()

    assert 'article "1 dawn → noon"' in tree
    assert 'img "First frame of clip 1"' in tree
    assert 'heading "Missing clips"' in tree
    assert 'link "manifest.json"' in tree
    nameless = "video:not([aria-label]), svg:not([aria-label]), img[alt=''], section:not([aria-labelledby])"
    assert await page.locator(nameless).count() == 0


async def test_prefect_shows_artifacts(shown: Shown, page: Page, prefect_server: str) -> None:
    """The flow run's page shows the table, the report's URL and, for a bucket, the contact sheet."""
    key = f"seedance-seen-{shown.place}"

    async def open_artifact(kind: str) -> None:
        await page.get_by_text("Artifacts", exact=True).click()
        await page.get_by_text(f"{key}-{kind}").first.click()
        await page.wait_for_url("**/artifacts/artifact/**")

    await page.goto(f"{prefect_server.removesuffix('/api')}/runs/flow-run/{shown.flow_run(prefect_server)}")
    await page.get_by_text("Artifacts", exact=True).click()
    await page.get_by_text(f"{key}-report").first.wait_for()
    seen = await page.locator("body").inner_text()
    kinds = {kind for kind in ("manifest", "progress", "report", "contact-sheet") if f"{key}-{kind}" in seen}
    await keep(page, f"prefect-{shown.place}-run")

    await open_artifact("manifest")
    await page.get_by_role("heading", name=TITLE).wait_for()
    rows = [" ".join(row.split())[:13] for row in await page.locator("tbody tr").all_inner_texts()]
    await keep(page, f"prefect-{shown.place}-table")
    await page.go_back()

    if shown.place == "bucket":
        await open_artifact("contact-sheet")
        image = page.locator("img[src*='contact-sheet.jpg']")
        await image.wait_for()
        await page.wait_for_function("image => image.naturalWidth > 0", arg=await image.element_handle())
        await keep(page, "prefect-bucket-contact-sheet")
        await page.go_back()

    await open_artifact("report")
    await page.get_by_role("heading", name=TITLE).wait_for()
    await keep(page, f"prefect-{shown.place}-report")

    assert rows == ["1 dawn → noon", "2 noon → dusk", "3 dusk → dawn"]
    if shown.place == "disk":
        assert kinds == {"manifest", "progress", "report"}
        assert await page.get_by_text(shown.report.removeprefix("file://")).count() == 1
        return
    assert kinds == {"manifest", "progress", "report", "contact-sheet"}
    link = await page.get_by_role("link", name="Report", exact=True).get_attribute("href")
    assert link
    await page.goto(link)
    assert await page.locator("h1").inner_text() == TITLE
