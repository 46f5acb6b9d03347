"""The report page: what it shows, and that it runs and loads nothing else."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.film.scenes import Gap
from prefect_seedance.report.manifest import Entry
from prefect_seedance.storage.store import Store
from tests.reports import Page, failed, film_with, made, manifest_of, render

INJECTIONS = (
    "</p></article><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)> onload="alert(2)',
    "' autofocus onfocus='alert(3)",
    "{{ 7 * 7 }} {% include '/etc/passwd' %} {# gone #}",
    "<!-- --> <![CDATA[ ]]> &lt;b&gt; &amp;",
    "javascript:alert(4) https://elsewhere.example/x.png",
    "bell 🎬 שלום",
)
"""Prompts that must stay text."""


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """Return an empty archive."""
    return Store.open(f"memory://{request.node.nodeid}")


async def test_clip_is_shown(store: Store) -> None:
    """A clip's prompt, settings, status, seams, remarks, times and digest are shown."""
    page = Page(await render(store, manifest_of(await made(store, 1), await made(store, 2))))

    assert "All 2 clips are archived: 8.1 s of video." in page.text
    for text in (
        "2 clip 2 made",
        "drifting clouds 4 s · 720p · 16:9 · silent · moving camera",
        "Start image 0.987 seamless",
        "Next clip 0.500 visible jump",
        "has no sound, but sound was requested frozen from 1.0 to 2.5 s",
        "22 Nov 2026, 12:02:50 UTC",
        "864 × 496, 4 s, 24 frames a second, h264",
        f"{2:064x}",
    ):
        assert text in page.text


async def test_one_clip_is_singular(store: Store) -> None:
    """The summary of one clip is in the singular."""
    assert "The clip is archived: 4 s of video." in await render(store, manifest_of(await made(store, 1)))


async def test_missing_clip_is_explained(store: Store) -> None:
    """A clip without a video is shown with its reason and its prompt."""
    missing = await failed(store, 2, reason="NSFW. Change its prompt", prompt="a very bold prompt")

    page = Page(await render(store, manifest_of(await made(store, 1), missing)))

    assert "1 of 2 clips are archived" in page.text
    assert "Missing clips 2 clip 2 failed NSFW. Change its prompt" in page.text
    assert "a very bold prompt" in page.text


async def test_never_submitted_clip_is_shown(store: Store) -> None:
    """A clip that no run submitted is shown with its reason."""
    entry = Entry(
        number=1, name="first", fingerprint="f" * 32, status=ClipStatus.not_submitted, reason="No money"
    )

    page = Page(await render(store, manifest_of(entry)))

    assert "1 first not submitted No money" in page.text


async def test_bill_covers_all_runs(store: Store) -> None:
    """The bill covers all attempts of all runs, each clip once, at the price of a second."""
    first, lost = await made(store, 1), await failed(store, 2, reason="NSFW")
    again = first.model_copy(update={"number": 3, "billed_seconds": 0, "status": ClipStatus.reused})

    page = Page(await render(store, manifest_of(first, lost, again), price=Decimal("0.052")))

    assert "Billed in total 12 s of video Billed by the last run 4 s of video" in page.text
    assert "Cost at 0.052 a second 0.624" in page.text


async def test_cost_needs_price(store: Store) -> None:
    """Without a price the page shows no cost."""
    assert "Cost" not in Page(await render(store, manifest_of(await made(store, 1)))).text


async def test_film_comes_first(store: Store) -> None:
    """The film is the first video, with its gaps below."""
    gap = Gap(number=2, name="noon", fingerprint="f", at_seconds=4, is_slated=False)

    page = Page(await render(store, manifest_of(await made(store, 1), film=film_with(gap))))

    videos = [attributes for tag, attributes in page.elements if tag == "video"]
    assert videos[0]["aria-label"] == "The film The film, 2 min 5 s"
    assert page.attributes("src")[0] == "film-0123456789ab.mp4"
    assert "clip 2, noon, is missing at 4 s; the next clip follows directly" in page.text


async def test_missing_film_is_explained(store: Store) -> None:
    """Without a film, the page says why."""
    manifest = manifest_of(await made(store, 1)).model_copy(update={"film_reason": "The disk is full"})

    assert "There is no film: The disk is full" in Page(await render(store, manifest)).text


async def test_links_are_relative(store: Store) -> None:
    """In a folder, all links are relative to the page, so that the folder can be moved."""
    page = Page(await render(store, manifest_of(await made(store, 1))))

    folder = f"../../clips/{1:032x}"
    assert [src for src in page.attributes("src") if not src.startswith("data:")] == [
        f"{folder}/clip-{1:012x}.mp4"
    ]
    assert set(page.attributes("href")) == {
        "data:,", "#clips", "#clip-1", f"{folder}/clip-{1:012x}.mp4", "manifest.json",
    }  # fmt: skip


async def test_flow_runs_are_linked(store: Store) -> None:
    """Each clip links the flow run that submitted it, and the page the last run, if the UI is known."""
    first, last = (
        FlowRunRef(name=name, id=f"id-{name}", url=f"https://ui.example/runs/flow-run/{name}")
        for name in ("dawn", "dusk")
    )
    entries = await made(store, 1, flow_run=first), await made(store, 2, flow_run=replace(first, url=""))
    manifest = manifest_of(*entries).model_copy(update={"flow_run": last})

    page = Page(await render(store, manifest))

    assert [href for href in page.attributes("href") if "ui.example" in str(href)] == [first.url, last.url]
    assert page.text.count("Flow run dawn id-dawn") == 2


async def test_tampered_link_is_text(store: Store) -> None:
    """A record that was changed by hand links no script."""
    run = FlowRunRef(name="dawn", id="7", url="javascript:alert(1)")

    page = Page(await render(store, manifest_of(await made(store, 1, flow_run=run))))

    assert not [href for href in page.attributes("href") if "alert" in str(href)]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_text_stays_text(store: Store, text: str) -> None:
    """Titles, names, prompts and reasons never become elements or attributes."""
    plain = Page(await render(store, manifest_of(await made(store, 1), await failed(store, 2, reason="no"))))
    store = Store.open(f"memory://{text}")
    entries = (
        await made(store, 1, prompt=text, name=text),
        await failed(store, 2, reason=text, prompt=text),
    )

    page = Page(await render(store, manifest_of(*entries, title=text)))

    shapes = [[(tag, sorted(attributes)) for tag, attributes in each.elements] for each in (plain, page)]
    assert shapes[0] == shapes[1]
    assert page.text.count(" ".join(text.split())) >= 6


async def test_policy_forbids_all_else(store: Store) -> None:
    """The content security policy forbids scripts, foreign sources and other styles than ours."""
    page = Page(await render(store, manifest_of(await made(store, 1))))

    (policy,) = [each["content"] for _, each in page.elements if each.get("http-equiv")]
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["media-src"] == "'self' file:"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["style-src"])
    assert not [tag for tag, _ in page.elements if tag in {"script", "iframe", "object", "form", "base"}]


async def test_stills_are_embedded(store: Store) -> None:
    """First and last frame are images with a description, and the middle one is the video's poster."""
    page = Page(await render(store, manifest_of(await made(store, 1))))

    images = [each for tag, each in page.elements if tag == "img"]
    assert [each["alt"] for each in images] == ["First frame of clip 1", "Last frame of clip 1"]
    embedded = [*(each["src"] for each in images), *page.attributes("poster")]
    assert [str(url).partition(",")[0] for url in embedded] == ["data:image/jpeg;base64"] * 3
