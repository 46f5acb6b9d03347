"""Decide whether a stored report still shows a production as it is."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import CONCURRENT_READS
from prefect_seedance.clips.records import ATTEMPT_KEY, clip_prefix
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.storage.store import Store

_VERSION: Final = 2
"""Raised whenever the same production is shown in another way, so that its page is written again."""

_TEMPLATES: Final = tuple(map(Path(__file__).with_name, ("page.html", "card.html", "page.css")))

_ENOUGH: Final = timedelta(days=3.5)
"""Half of the lifetime of links: a page whose links end earlier is written again."""

_OF_THE_RUN: Final = {"began_at", "ended_at", "flow_run", "report", "report_reason"}
_OF_THE_ENTRY: Final = {"status", "billed_seconds", "attempt", "asked_at", "ended_at", "code", "expires_at"}
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


async def attempt_records(manifest: Manifest, store: Store) -> Sequence[str]:
    """List the records of all attempts at a production's clips; none of them ever changes.

    A clip can get some after it was archived, such as the late answer to another attempt.

    Raises:
        ArchiveError: If the archive cannot be read.
    """
    readers = asyncio.Semaphore(CONCURRENT_READS)

    async def listed(fingerprint: str) -> Sequence[str]:
        async with readers:
            return await store.keys(clip_prefix(fingerprint))

    fingerprints = dict.fromkeys(entry.fingerprint for entry in manifest.clips)
    found = await asyncio.gather(*map(listed, fingerprints))
    return [key for keys in found for key in keys if ATTEMPT_KEY.match(key)]


def recipe(manifest: Manifest, *, records: Sequence[str], price_per_second: Decimal | None) -> str:
    """Return a digest of what a report shows; it is equal for a run that only reuses the clips.

    Args:
        manifest: Of the production.
        records: Of the attempts at its clips, as `attempt_records` lists them.
        price_per_second: Of video, in the account's currency.
    """
    shown = manifest.model_dump(mode="json", exclude=_OF_THE_RUN)
    made = {ClipStatus.made, ClipStatus.reused}
    for entry, of_clip in zip(manifest.clips, shown["clips"], strict=True):
        if entry.status in made:
            for name in _OF_THE_ENTRY:
                del of_clip[name]
    templates = [path.read_text(encoding="utf-8") for path in _TEMPLATES]
    content = [_VERSION, templates, str(price_per_second), shown, list(records)]
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
    if not is_fresh:
        return None
    records = await attempt_records(manifest, store)
    if found.recipe != recipe(manifest, records=records, price_per_second=price_per_second):
        return None
    sizes = await asyncio.gather(*map(store.size_bytes, (found.key, found.contact_sheet)))
    return found if sizes[0] == found.size_bytes and sizes[1] else None


async def record_report(store: Store, report: Report, *, production: str) -> None:
    """Store the record of a report, after its files."""
    await store.put(_record_key(production), report.model_dump_json(indent=2).encode())


def _record_key(production: str) -> str:
    return production_key(production, "report.json")
