"""Write a production's report: a page that shows its film, its clips and what they cost."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from statistics import median

from pydantic import BaseModel, ConfigDict

from prefect_seedance.report import cards as carding
from prefect_seedance.report import thumbnails as pictures
from prefect_seedance.report.cards import Card, Stills
from prefect_seedance.report.contact_sheet import ContactSheet
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.report.page import Frames, Page
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.tempfiles import temporary_file

PAGE, SHEET = "report.html", "contact-sheet.jpg"

_POSTER_WIDTH = 640
"""As wide as stills of 360 lines mostly are; before it plays, a film need not be sharp."""

_RATIO = 16 / 9
"""Of a production without any video."""


class Report(BaseModel):
    """A production's report in the archive.

    Attributes:
        key: Of the page.
        contact_sheet: Key of a picture that shows all clips.
        size_bytes: Of the page.
        links_until: Until when the page's signed links hold; None if the archive cannot sign.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    contact_sheet: str
    size_bytes: int
    links_until: datetime | None


async def render_report(
    manifest: Manifest, store: Store, *, price_per_second: Decimal | None = None
) -> Report:
    """Write the report of a production beside its manifest, over an older one.

    However many clips there are, the page waits in a temporary file, and only some pictures are in memory.

    Args:
        manifest: What became of the clips.
        store: The archive that they are in.
        price_per_second: What a second of video costs the account, in its currency.

    Raises:
        ArchiveError: If the archive cannot be read or written, or the temporary folder not be written.
    """
    key, sheet_key = (production_key(manifest.production, file) for file in (PAGE, SHEET))
    links = await Links.of(store, key)
    known = await carding.cards(manifest, store, links)
    page = Page(
        manifest=manifest,
        cards=known,
        film=await links.to(manifest.film.key) if manifest.film else None,
        poster=await _poster(known, store),
        manifest_link=await links.to(production_key(manifest.production, "manifest.json")),
        until=links.until,
        renewal=f"prefect-seedance report {shlex.quote(store.name)} {manifest.production}",
        price_per_second=price_per_second,
    )
    sheet = ContactSheet(len(known), ratio=_ratio(manifest))
    with temporary_file() as file:
        async for piece in page.html(_frames(known, store, sheet, ratio=_ratio(manifest))):
            file.write(piece.encode(errors="replace"))
        size_bytes = file.tell()
        await store.put(sheet_key, await asyncio.to_thread(sheet.jpeg), media_type="image/jpeg")
        await store.put(key, file, media_type="text/html; charset=utf-8")
    return Report(key=key, contact_sheet=sheet_key, size_bytes=size_bytes, links_until=links.until)


async def _poster(known: Sequence[Card], store: Store) -> str | None:
    """Return the first picture of the first clip that is there, which is the film's."""
    seen = next((card.entry.inspection for card in known if card.entry.inspection), None)
    still = await store.read(seen.start_still) if seen else None
    image = await asyncio.to_thread(pictures.decoded, still, width=_POSTER_WIDTH)
    return pictures.data_url(image) if image else None


async def _frames(
    known: Sequence[Card], store: Store, sheet: ContactSheet, *, ratio: float
) -> AsyncIterator[Frames]:
    """Yield the clips with their pictures, and draw them on the contact sheet on the way."""
    width, place = pictures.widest(3 * len(known), ratio=ratio), 0

    def prepare(card: Card, stills: Stills) -> Frames:
        images = [pictures.decoded(still, width=width) for still in stills]
        number, status = card.entry.number, card.entry.status
        sheet.add(place, images, caption=f"{number}" if card.entry.clip else f"{number}  {status}")
        start, middle, end = (pictures.data_url(image) if image else None for image in images)
        return Frames(card=card, start=start, middle=middle, end=end)

    async for card, stills in carding.stills(known, store):
        yield await asyncio.to_thread(prepare, card, stills)
        place += 1


def _ratio(manifest: Manifest) -> float:
    """Return the usual ratio of width to height."""
    facts = [entry.clip.facts for entry in manifest.clips if entry.clip]
    return median(each.width / each.height for each in facts) if facts else _RATIO
