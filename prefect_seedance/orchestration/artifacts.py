"""Artifacts that show a production in Prefect's UI."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
from prefect.artifacts import (
    acreate_image_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from prefect_seedance.printable import get_logger, one_line
from prefect_seedance.report.catalog import CatalogEntry, CatalogManifest
from prefect_seedance.report.formatting import format_time
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.recipe import Report
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import Plan

_log = get_logger(__name__)

_PROGRESS_EVERY_SECONDS = 3.0
_LAST_UPDATE_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
"""Bound of the calls to Prefect's server about one production; its clips are safe without them."""

_MAX_CHARACTERS = 2000
"""Longer remarks are cut; the manifest has all of them."""

_MARKUP = re.compile(r"[!-/:-@\[-`{-~]")
"""Characters that may be Markdown, which allows a backslash before every ASCII punctuation mark. Source:
CommonMark 0.31, section 2.4."""


@asynccontextmanager
async def progress(plan: Plan, finished: Callable[[], int]) -> AsyncIterator[None]:
    """Keep a progress artifact up to date while a production runs in a flow run.

    Args:
        plan: Of the production.
        finished: Returns the number of clips that the run has finished with.
    """
    if not in_flow_run():
        yield
        return
    updating = asyncio.create_task(_update_progress(plan, finished))
    try:
        yield
    finally:
        updating.cancel()
        await asyncio.wait({updating}, timeout=_LAST_UPDATE_SECONDS)


async def _update_progress(plan: Plan, finished: Callable[[], int]) -> None:
    """Create the artifact, update it until cancelled, and then once more with the final value."""
    total = len(plan.distinct)

    def percent() -> float:
        return 100 * finished() / total

    with _best_effort("show progress"):
        shown = percent()
        artifact = await acreate_progress_artifact(
            progress=shown,
            key=_artifact_key(plan.name, "progress"),
            description=f"Clips of {_plain(plan.title)}",
        )
        try:
            while finished() < total:
                await asyncio.sleep(_PROGRESS_EVERY_SECONDS)
                if percent() != shown:
                    shown = percent()
                    await aupdate_progress_artifact(artifact, progress=shown)
        finally:
            await aupdate_progress_artifact(artifact, progress=percent())


async def show_manifest(manifest: Manifest) -> None:
    """Show the manifest as a table."""
    if not in_flow_run():
        return
    with _best_effort("show the manifest"):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await acreate_table_artifact(
                key=_artifact_key(manifest.production, "manifest"),
                table=[_row(entry) for entry in manifest.clips],
                description=f"### {_plain(manifest.title)}\n\n{_plain(manifest.summary())}\n\n"
                f"Archive: `{manifest.archive}`",
            )


async def show_report(manifest: Manifest, report: Report, *, store: Store) -> None:
    """Link film and report, and show the contact sheet if the archive can sign URLs."""
    if not in_flow_run():
        return
    with _best_effort("show the report"):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            links = await Links.of(store, report.key)
            sheet = await links.to(report.contact_sheet)
            await acreate_markdown_artifact(
                key=_artifact_key(manifest.production, "report"),
                markdown=await _leaflet(manifest, report, links),
                description=f"Film and report of {_plain(manifest.title)}",
            )
            if sheet.signed:
                await acreate_image_artifact(
                    image_url=sheet.signed,
                    key=_artifact_key(manifest.production, "contact-sheet"),
                    description=f"Start, middle and end of every clip of {_plain(manifest.title)}",
                )


async def show_catalog(manifest: CatalogManifest, *, page: str, store: Store) -> None:
    """Show what happened to each storyboard of a catalogue as a table."""
    if not in_flow_run():
        return
    with _best_effort("show the catalogue"):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await acreate_table_artifact(
                key=f"seedance-catalog-{manifest.catalog}",
                table=[_catalog_row(entry) for entry in manifest.entries],
                description=f"### {_plain(manifest.title)}\n\n{_plain(manifest.summary())}\n\n"
                f"Page: `{store.link(page)}`",
            )


def _catalog_row(entry: CatalogEntry) -> dict[str, object]:
    run = f"[{entry.flow_run_id}]({entry.flow_run_url})" if entry.flow_run_url else entry.flow_run_id or ""
    return {
        "storyboard": _plain(entry.name),
        "status": str(entry.status),
        "clips": f"{entry.archived} of {entry.clips}",
        "billed seconds": entry.billed_seconds,
        "run": run,
        "remarks": _plain(entry.reason or ""),
    }


async def _leaflet(manifest: Manifest, report: Report, links: Links) -> str:
    """Return Markdown with links to film and report, or with their paths where the archive signs no URLs."""
    film = manifest.film
    shown = {"Film": film.stable_key if film else None, "Report": report.key}
    lines = [f"# {_plain(manifest.title)}", "", _plain(manifest.summary()), ""]
    for name, key in shown.items():
        if key:
            link = await links.to(key)
            path = links.store.link(key)
            lines.append(f"- [{name}]({link.signed})" if link.signed else f"- {name}: `{path}`")
    if manifest.film_reason:
        lines.append(f"- There is no film: {_plain(manifest.film_reason)}")
    if report.links_until:
        until = format_time(report.links_until)
        lines += ["", f"Anyone who can read this can use the links until {until}."]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Escape text for Markdown, in one line."""
    return _MARKUP.sub(r"\\\g<0>", one_line(text, limit=_MAX_CHARACTERS))


def _row(entry: Entry) -> dict[str, object]:
    return {
        "#": entry.number,
        "clip": _plain(entry.name),
        "status": str(entry.status),
        "billed seconds": entry.billed_seconds,
        "generation": _plain(entry.generation_id or ""),
        "file": entry.clip.key if entry.clip else "",
        "remarks": _plain(entry.reason or "; ".join(entry.clip.findings if entry.clip else ())),
    }


def _artifact_key(production: str, kind: str) -> str:
    return f"seedance-{production}-{kind}"


def in_flow_run() -> bool:
    """Whether this code runs in a flow run."""
    return FlowRunContext.get() is not None


@contextmanager
def _best_effort(doing: str) -> Iterator[None]:
    """Log errors of Prefect, which must not harm clips that are paid for."""
    try:
        yield
    except (httpx.HTTPError, PrefectException, TimeoutError) as error:
        _log.warning("Could not %s in Prefect; the production continues: %s", doing, error)
