"""The manifest of a catalogue: what one run did about each of its storyboards."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from prefect_seedance.printable import one_line
from prefect_seedance.report.formatting import tally
from prefect_seedance.report.links import Link, Links
from prefect_seedance.report.manifest import production_key
from prefect_seedance.report.templates import templates
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.store import Store


class CatalogStatus(StrEnum):
    """What a run of a catalogue did about a storyboard."""

    complete = "complete"
    """Nothing: an earlier run made all its clips and its film."""
    made = "made"
    """A run of its own made the missing clips."""
    in_flight = "in flight"
    """Its run ended while generations were in flight."""
    not_run = "not run"
    """The catalogue's run ended before its own."""
    unresolved = "unresolved"
    """Its run left a submission with an unknown outcome."""
    failed = "failed"
    """Its run failed."""
    invalid = "invalid"
    """It has mistakes, so it was not run."""


_VERDICTS: Mapping[Verdict, frozenset[CatalogStatus]] = {
    Verdict.unresolved: frozenset({CatalogStatus.unresolved}),
    Verdict.failed: frozenset({CatalogStatus.failed, CatalogStatus.invalid}),
    Verdict.in_flight: frozenset({CatalogStatus.in_flight, CatalogStatus.not_run}),
}
"""The verdicts on a catalogue, the most urgent first, with the statuses that cause each."""


class CatalogEntry(BaseModel):
    """What happened to one storyboard.

    Attributes:
        storyboard: Its path or location, or its URL without the signature.
        title: Empty if it cannot be parsed.
        production: Name of its production; empty if it cannot be parsed.
        clips: How many it has.
        archived: How many of them are archived.
        billed_seconds: Of video, which its run submitted.
        flow_run_id: Of its last run; None if it had none.
        flow_run_url: Its page in Prefect's UI.
        reason: Why clips are missing, with the remedy.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    storyboard: str
    status: CatalogStatus
    title: str = ""
    production: str = ""
    clips: int = 0
    archived: int = 0
    billed_seconds: int = 0
    flow_run_id: str | None = None
    flow_run_url: str | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """Its title, or else its source, in one line."""
        return one_line(self.title or self.storyboard)


class CatalogManifest(BaseModel):
    """The account of one run of a catalogue.

    Attributes:
        schema_version: Raised whenever an older reader would misread this version.
        catalog: Name of the catalogue in keys.
        title: Name for display.
        archive: URL of the store.
        entries: In the order in which they were made.
        refusal: Why the runs may not be started, with the remedy; only of a dry run.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: Literal[1] = 1
    catalog: str
    title: str
    archive: str
    began_at: datetime
    ended_at: datetime
    entries: tuple[CatalogEntry, ...]
    refusal: str | None = None

    @property
    def counts(self) -> Mapping[CatalogStatus, int]:
        """Storyboards per status, omitting zeros."""
        return tally((entry.status for entry in self.entries), CatalogStatus)

    @property
    def billed_seconds(self) -> int:
        """Seconds of video that the runs submitted."""
        return sum(entry.billed_seconds for entry in self.entries)

    @property
    def verdict(self) -> Verdict:
        """The most urgent thing left to do."""
        found = frozenset(self.counts)
        return next((each for each, causes in _VERDICTS.items() if causes & found), Verdict.complete)

    def summary(self) -> str:
        """Summarize the run in one line."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{self.title}: {counts}; {self.billed_seconds} s billed"


def catalog_key(catalog: str, file: str) -> str:
    """Return the key of a file of a catalogue."""
    return f"catalogs/{catalog}/{file}"


async def record_catalog(manifest: CatalogManifest, store: Store) -> str:
    """Store the manifest and its page, replacing older ones, and return the key of the page."""
    content = manifest.model_dump_json(indent=2).encode()
    await store.put(catalog_key(manifest.catalog, "manifest.json"), content)
    key = catalog_key(manifest.catalog, "index.html")
    page = await _render(manifest, await Links.of(store, key))
    await store.put(key, page.encode(errors="replace"), media_type="text/html; charset=utf-8")
    return key


async def _render(manifest: CatalogManifest, links: Links) -> str:
    """Return the page, with a link to the report of each production."""
    reports: dict[str, Link] = {}
    for entry in manifest.entries:
        if entry.production and entry.status is not CatalogStatus.invalid:
            reports[entry.production] = await links.to(production_key(entry.production, "report.html"))
    return templates.get_template("catalog.html").render(
        manifest=manifest, reports=reports, until=links.until if reports else None
    )
