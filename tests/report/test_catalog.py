from datetime import UTC, datetime
from pathlib import Path

import pytest

from prefect_seedance.report.catalog import CatalogEntry, CatalogManifest, CatalogStatus, record_catalog
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.store import Store

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def manifest(*entries: CatalogEntry) -> CatalogManifest:
    return CatalogManifest(
        catalog="season-1",
        title="Season <1>",
        archive="films",
        began_at=NOW,
        ended_at=NOW,
        entries=entries,
    )


def entry(status: CatalogStatus, **more: object) -> CatalogEntry:
    return CatalogEntry.model_validate(
        {"storyboard": "a.yaml", "status": status, "title": "A", "production": "a", **more}
    )


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((), Verdict.complete),
        (("complete", "made"), Verdict.complete),
        (("complete", "in flight"), Verdict.in_flight),
        (("made", "not run"), Verdict.in_flight),
        (("in flight", "invalid"), Verdict.failed),
        (("in flight", "failed"), Verdict.failed),
        (("failed", "unresolved"), Verdict.unresolved),
    ],
)
def test_most_urgent_status_decides(statuses: tuple[str, ...], verdict: Verdict) -> None:
    """The verdict on a catalogue is the most urgent thing that any of its storyboards leaves to do."""
    assert manifest(*(entry(CatalogStatus(status)) for status in statuses)).verdict is verdict


def test_summary_counts() -> None:
    """The summary has the storyboards per status, and the bill."""
    found = manifest(
        entry(CatalogStatus.made, billed_seconds=8),
        entry(CatalogStatus.made, billed_seconds=4),
        entry(CatalogStatus.complete),
    )

    assert found.summary() == "Season <1>: 1 complete, 2 made; 12 s billed"


async def test_page_links_reports(tmp_path: Path) -> None:
    """The page links each report and run, and escapes titles and reasons."""
    store = Store.open(str(tmp_path))
    failed = entry(
        CatalogStatus.failed,
        title="<b>B</b>",
        reason="clip 1: <i>no</i>",
        flow_run_url="http://prefect.example/runs/flow-run/7",
    )

    key = await record_catalog(manifest(failed, entry(CatalogStatus.invalid, production="c")), store)

    page = (await store.read(key) or b"").decode()
    assert key == "catalogs/season-1/index.html"
    assert '<a href="../../productions/a/report.html">&lt;b&gt;B&lt;/b&gt;</a>' in page
    assert "productions/c/" not in page
    assert "clip 1: &lt;i&gt;no&lt;/i&gt;" in page
    assert 'href="http://prefect.example/runs/flow-run/7"' in page
    assert "Season &lt;1&gt;" in page


async def test_manifest_is_read_back(tmp_path: Path) -> None:
    """The stored manifest equals the recorded one."""
    store, recorded = Store.open(str(tmp_path)), manifest(entry(CatalogStatus.not_run))

    await record_catalog(recorded, store)

    content = await store.read("catalogs/season-1/manifest.json")
    assert CatalogManifest.model_validate_json(content or b"") == recorded
