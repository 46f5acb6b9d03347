"""The files of a report: page and contact sheet."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.clips.records import ATTEMPT_KEY, LATE_OUTCOME_FILE
from prefect_seedance.errors import ArchiveError
from prefect_seedance.report.recipe import find_report
from prefect_seedance.report.render import render_report
from prefect_seedance.storage.store import Store
from tests.reports import (
    Page,
    failed,
    film_with,
    inspection_of,
    jpeg,
    made,
    manifest_of,
    render,
    still_keys,
)

IMAGE = Path(__file__).parents[2] / "examples/lighthouse/images/dawn.png"


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """Return an empty archive."""
    return Store.open(f"memory://{request.node.nodeid}")


async def test_files_are_beside_manifest(store: Store) -> None:
    """Page and contact sheet are stored in the production's folder."""
    report = await render_report(
        manifest_of(await made(store, 1), await failed(store, 2, reason="no")), store
    )

    sheet = await store.read(report.contact_sheet)
    keys = await store.keys("productions/")
    assert {key for key in keys if "/bought/" not in key} == {
        "productions/film/contact-sheet.jpg",
        "productions/film/report.html",
        "productions/film/report.json",
    }
    assert report.key == "productions/film/report.html"
    assert await store.size_bytes(report.key) == report.size_bytes
    assert Image.open(BytesIO(sheet or b"")).format == "JPEG"
    assert report.links_until is None


async def test_rewriting_replaces(store: Store) -> None:
    """A page replaces the one before."""
    first = await render(store, manifest_of(await made(store, 1), title="Before"))
    second = await render(store, manifest_of(title="After"))

    assert "Before" in first
    assert "Before" not in second


async def test_lone_surrogate_is_escaped(store: Store) -> None:
    """A character that UTF-8 cannot encode is escaped, instead of losing the page."""
    assert "Half \\ud83c" in await render(store, manifest_of(await made(store, 1), title="Half \ud83c"))


async def test_film_has_poster(store: Store) -> None:
    """The film shows its first frame before it plays, unless the still is damaged."""
    entries = [await made(store, 1), await made(store, 2)]
    manifest = manifest_of(*entries, film=film_with())

    pages = [Page(await render(store, manifest))]
    await store.put(still_keys(1)[0], b"damaged")
    pages.append(Page(await render(store, manifest)))

    films = [
        next(each for tag, each in page.elements if tag == "video" and each.get("class") == "film")
        for page in pages
    ]
    assert str(films[0]["poster"]).startswith("data:image/jpeg;base64,")
    assert "poster" not in films[1]


@pytest.mark.parametrize("content", [None, b"", b"no image", jpeg("red")[:300]])
async def test_damaged_still_leaves_video(store: Store, content: bytes | None) -> None:
    """Where a still is missing or damaged, the page says so and still shows the video."""
    entry = (await made(store, 1, has_stills=False)).model_copy(update={"inspection": inspection_of(1)})
    if content is not None:
        await store.put(still_keys(1)[0], content)

    page = Page(await render(store, manifest_of(entry)))

    assert page.text.count("no image") == 2
    assert "metadata" in page.attributes("preload")


async def test_size_is_bounded(store: Store) -> None:
    """A hundred clips with large, detailed stills make a page of less than 6 MB."""
    file = BytesIO()
    with Image.open(IMAGE) as image:
        image.convert("RGB").resize((640, 360)).save(file, "JPEG", quality=95)
    entries = [await made(store, number) for number in range(1, 101)]
    for entry in entries:
        for key in still_keys(entry.number):
            await store.put(key, file.getvalue())

    report = await render_report(manifest_of(*entries), store)

    assert report.size_bytes < 6_000_000
    sheet = await store.read(report.contact_sheet)
    assert sheet
    assert len(sheet) < 3_000_000


async def test_full_disk_has_remedy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the temporary folder cannot be written, the error names it and the remedy."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    with pytest.raises(ArchiveError, match=r"/nowhere cannot be written .* TMPDIR"):
        await render_report(manifest_of(await made(store, 1)), store)


class Growing(Store):
    """An archive in which another run records something of an attempt while its records are read."""

    async def read(self, key: str) -> bytes | None:
        content = await super().read(key)
        if attempt := ATTEMPT_KEY.match(key):
            await self.create(f"{attempt[0]}{LATE_OUTCOME_FILE}", b"{}")
        return content


async def test_later_record_renews_page(request: pytest.FixtureRequest) -> None:
    """A record that was written while the page was made may be missing from it, so the next run makes it."""
    store = Growing.open(f"memory://{request.node.nodeid}")
    manifest = manifest_of(await made(store, 1))
    before = await store.keys("clips/")

    await render_report(manifest, store)

    assert len(await store.keys("clips/")) == len(before) + 1
    assert await find_report(store, manifest, price_per_second=None) is None
    report = await render_report(manifest, store)
    assert await find_report(store, manifest, price_per_second=None) == report
