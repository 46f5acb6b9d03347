"""Write the report of a production: a page with its film, its clips and their cost."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from statistics import median
from typing import Protocol, TypeVar

from prefect_seedance.report.cards import Card, Stills, load_cards, load_stills
from prefect_seedance.report.contact_sheet import ContactSheet
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.report.page import Frames, Page, render_card
from prefect_seedance.report.recipe import Report, attempt_records, recipe, record_report
from prefect_seedance.report.thumbnails import data_url, decode, max_width
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.tempfiles import temporary_file

_T = TypeVar("_T")


class _Run(Protocol):
    """Runs a function in a thread."""

    def __call__(self, function: Callable[[], _T], /) -> Awaitable[_T]: ...


PAGE, SHEET = "report.html", "contact-sheet.jpg"

_POSTER_WIDTH = 640
"""The width of most stills, which have 360 lines; the poster of a film need not be sharper."""

_DEFAULT_RATIO = 16 / 9
"""Width to height if the production has no video."""


async def render_report(
    manifest: Manifest, store: Store, *, price_per_second: Decimal | None = None
) -> Report:
    """Write the report of a production beside its manifest, replacing an older one.

    The page is written to a temporary file, and few stills are in memory at once, so that memory does not
    grow with the number of clips.

    Args:
        manifest: Of the production.
        store: The archive of the clips.
        price_per_second: Price of one second of video, in the account's currency.

    Raises:
        ArchiveError: If the archive cannot be read or written, or the temporary folder cannot be written.
    """
    key, sheet_key = (production_key(manifest.production, file) for file in (PAGE, SHEET))
    links = await Links.of(store, key)
    records = await attempt_records(manifest, store)  # before they are read: a later one makes a new page
    cards = await load_cards(manifest, store, links)
    page = Page(
        manifest=manifest,
        cards=cards,
        film=await links.to(manifest.film.key) if manifest.film else None,
        poster=await _poster(cards, store),
        manifest_link=await links.to(production_key(manifest.production, "manifest.json")),
        until=links.until,
        renewal=f"prefect-seedance report {shlex.quote(store.name)} {manifest.production}",
        price_per_second=price_per_second,
    )
    sheet = ContactSheet(len(cards), ratio=_ratio(manifest))
    with temporary_file() as file, _painter() as in_painter:
        before, after = await in_painter(page.around)
        file.write(before.encode(errors="replace"))
        async for card in _rendered(cards, store, sheet, in_painter, ratio=_ratio(manifest)):
            file.write(card.encode(errors="replace"))
        file.write(after.encode(errors="replace"))
        size_bytes = file.tell()
        await store.put(sheet_key, await in_painter(sheet.jpeg), media_type="image/jpeg")
        await store.put(key, file, media_type="text/html; charset=utf-8")
    report = Report(
        key=key,
        contact_sheet=sheet_key,
        size_bytes=size_bytes,
        links_until=links.until,
        recipe=recipe(manifest, records=records, price_per_second=price_per_second),
    )
    await record_report(store, report, production=manifest.production)
    return report


@contextmanager
def _painter() -> Iterator[_Run]:
    """Start a thread for all images of a report: each thread that ever held some keeps their memory."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="seedance-report")
    try:
        yield partial(asyncio.get_running_loop().run_in_executor, thread)
    finally:
        thread.shutdown(wait=False, cancel_futures=True)  # waiting would block the event loop


async def _poster(cards: Sequence[Card], store: Store) -> str | None:
    """Return the first still of the first inspected clip, with which the film starts."""
    inspection = next((card.entry.inspection for card in cards if card.entry.inspection), None)
    still = await store.read(inspection.start_still) if inspection else None
    image = await asyncio.to_thread(decode, still, width=_POSTER_WIDTH)
    return data_url(image) if image else None


async def _rendered(
    cards: Sequence[Card], store: Store, sheet: ContactSheet, in_painter: _Run, *, ratio: float
) -> AsyncIterator[str]:
    """Yield the HTML of each card, and draw its frames on the contact sheet."""
    width, index = max_width(3 * len(cards), ratio=ratio), 0

    def render(card: Card, stills: Stills) -> str:
        images = [decode(still, width=width) for still in stills]
        number, status = card.entry.number, card.entry.status
        sheet.add(index, images, caption=f"{number}" if card.entry.clip else f"{number}  {status}")
        start, middle, end = (data_url(image) if image else None for image in images)
        return render_card(Frames(card=card, start=start, middle=middle, end=end))

    async for card, stills in load_stills(cards, store):
        yield await in_painter(partial(render, card, stills))
        index += 1


def _ratio(manifest: Manifest) -> float:
    """Return the median ratio of width to height."""
    facts = [entry.clip.facts for entry in manifest.clips if entry.clip]
    return median(each.width / each.height for each in facts) if facts else _DEFAULT_RATIO
