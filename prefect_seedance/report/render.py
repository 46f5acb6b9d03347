"""Write the report of a production: a page with its film, its clips and their cost."""

import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from decimal import Decimal
from functools import partial
from statistics import median

from prefect_seedance.report.cards import Card, load_cards
from prefect_seedance.report.contact_sheet import ContactSheet
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.report.page import Frames, Page, render_card
from prefect_seedance.report.recipe import Report, attempt_records, recipe, record_report
from prefect_seedance.report.thumbnails import NO_STILLS, Stills, Thumbnails, data_url, scale
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.tempfiles import temporary_file

PAGE, SHEET = "report.html", "contact-sheet.jpg"

_POSTER_WIDTH = 640
"""The width of most stills, which have 360 lines; the poster of a film need not be sharper."""

_DEFAULT_RATIO = 16 / 9
"""Width to height if the production has no video."""


async def render_report(
    manifest: Manifest,
    store: Store,
    *,
    price_per_second: Decimal | None = None,
    thumbnails: Thumbnails | None = None,
) -> Report:
    """Write the report of a production beside its manifest, replacing an older one.

    The page is written to a temporary file, and its images have few pixels if they are many, so that memory
    hardly grows with the number of clips.

    Args:
        manifest: Of the production.
        store: The archive of the clips.
        price_per_second: Price of one second of video, in the account's currency.
        thumbnails: Of the clips, if some are scaled already.

    Raises:
        ArchiveError: If the archive cannot be read or written, or the temporary folder cannot be written.
    """
    if thumbnails is None:
        async with aclosing(Thumbnails(store, clips=len(manifest.clips))) as own:
            return await render_report(manifest, store, price_per_second=price_per_second, thumbnails=own)
    key, sheet_key = (production_key(manifest.production, file) for file in (PAGE, SHEET))
    links = await Links.of(store, key)
    records = await attempt_records(manifest, store)  # before they are read: a later one makes a new page
    cards = await load_cards(manifest, store, links)
    ratio = _ratio(manifest)
    sheet = ContactSheet(len(cards), ratio=ratio)
    page = Page(
        manifest=manifest,
        cards=cards,
        film=await links.to(manifest.film.key) if manifest.film else None,
        poster=await _poster(cards, store, thumbnails),
        manifest_link=await links.to(production_key(manifest.production, "manifest.json")),
        until=links.until,
        renewal=f"prefect-seedance report {shlex.quote(store.name)} {manifest.production}",
        price_per_second=price_per_second,
    )
    with temporary_file() as file:
        before, after = await thumbnails.in_thread(page.around)
        file.write(before.encode(errors="replace"))
        async for card in _rendered(cards, sheet, thumbnails, ratio=ratio):
            file.write(card.encode(errors="replace"))
        file.write(after.encode(errors="replace"))
        size_bytes = file.tell()
        await store.put(sheet_key, await thumbnails.in_thread(sheet.jpeg), media_type="image/jpeg")
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


async def _poster(cards: Sequence[Card], store: Store, thumbnails: Thumbnails) -> str | None:
    """Return the first still of the first inspected clip, with which the film starts."""
    inspection = next((card.entry.inspection for card in cards if card.entry.inspection), None)
    still = await store.read(inspection.start_still) if inspection else None
    poster = await thumbnails.in_thread(partial(scale, still, width=_POSTER_WIDTH))
    return data_url(poster) if poster else None


async def _rendered(
    cards: Sequence[Card], sheet: ContactSheet, thumbnails: Thumbnails, *, ratio: float
) -> AsyncIterator[str]:
    """Yield the HTML of each card, and draw its frames on the contact sheet."""
    for card in cards:
        if inspection := card.entry.inspection:
            thumbnails.begin(inspection, ratio=ratio)
    for index, card in enumerate(cards):
        inspection = card.entry.inspection
        stills = await thumbnails.take(inspection, ratio=ratio) if inspection else NO_STILLS
        yield await thumbnails.in_thread(partial(_render, card, stills, index=index, sheet=sheet))


def _render(card: Card, stills: Stills, *, index: int, sheet: ContactSheet) -> str:
    number, status = card.entry.number, card.entry.status
    sheet.add(index, stills, caption=f"{number}" if card.entry.clip else f"{number}  {status}")
    start, middle, end = (data_url(still) if still else None for still in stills)
    return render_card(Frames(card=card, start=start, middle=middle, end=end))


def _ratio(manifest: Manifest) -> float:
    """Return the median ratio of width to height."""
    facts = [entry.clip.facts for entry in manifest.clips if entry.clip]
    return median(each.width / each.height for each in facts) if facts else _DEFAULT_RATIO
