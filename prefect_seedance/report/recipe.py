"""Decide whether a stored report still shows a production as it is."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.storage.store import Store

_VERSION: Final = 1
"""Raised whenever the same production is shown in another way, so that its page is written again."""

_TEMPLATES: Final = tuple(map(Path(__file__).with_name, ("page.html", "card.html", "page.css")))

_ENOUGH: Final = timedelta(days=3.5)
"""Half of the lifetime of links: a page whose links end earlier is written again."""

_OF_THE_RUN: Final = {"began_at", "ended_at", "report", "report_reason"}
_OF_THE_ENTRY: Final = {"status", "billed_seconds", "attempt", "asked_at", "ended_at"}
"""What differs between the run that made a clip and the runs that reuse it."""


class Report(BaseModel):
    """A production's report in the archive.

    Attributes:
        key: Key of the page.
        contact_sheet: Key of the contact sheet.
        size_bytes: Size of the page.
        links_until: When the page's signed links expire; None if the archive cannot sign.
        recipe: Digest of everything that the page shows of the production, except by which run.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    contact_sheet: str
    size_bytes: int
    links_until: datetime | None
    recipe: str = ""


def recipe(manifest: Manifest, *, price_per_second: Decimal | None) -> str:
    """Return a digest of what a report shows; it is equal for a run that only reuses the clips."""
    shown = manifest.model_dump(mode="json", exclude=_OF_THE_RUN)
    made = {ClipStatus.made, ClipStatus.reused}
    for entry, of_clip in zip(manifest.clips, shown["clips"], strict=True):
        if entry.status in made:
            for name in _OF_THE_ENTRY:
                del of_clip[name]
    templates = [path.read_text(encoding="utf-8") for path in _TEMPLATES]
    content = [_VERSION, templates, str(price_per_second), shown]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


async def find_report(store: Store, manifest: Manifest, *, price_per_second: Decimal | None) -> Report | None:
    """Return the stored report, if it shows this production and its links last for some days.

    Raises:
        ArchiveError: If the archive cannot be read.
    """
    content = await store.read(_record_key(manifest.production))
    try:
        found = Report.model_validate_json(content or b"")
    except ValidationError:
        return None
    is_fresh = found.links_until is None or found.links_until - datetime.now(UTC) > _ENOUGH
    if not is_fresh or found.recipe != recipe(manifest, price_per_second=price_per_second):
        return None
    sizes = await asyncio.gather(*map(store.size_bytes, (found.key, found.contact_sheet)))
    return found if sizes[0] == found.size_bytes and sizes[1] else None


async def record_report(store: Store, report: Report, *, production: str) -> None:
    """Store the record of a report, after its files."""
    await store.put(_record_key(production), report.model_dump_json(indent=2).encode())


def _record_key(production: str) -> str:
    return production_key(production, "report.json")
