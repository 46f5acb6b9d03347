"""Artifacts that show a production in Prefect."""

import asyncio
import json
import logging
from uuid import uuid4

import httpx
import pytest
from prefect import flow
from prefect.runtime import flow_run

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import GenerationFailedError
from prefect_seedance.orchestration import artifacts
from prefect_seedance.orchestration.artifacts import _best_effort, _leaflet, _plain
from prefect_seedance.report.links import Links
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.recipe import Report
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import Plan
from tests.flows.conftest import Api
from tests.orchestration.conftest import CLIP
from tests.records import archived_clip, manifest_of

REPORT = Report(
    key="productions/test-board/report.html",
    contact_sheet="productions/test-board/contact-sheet.jpg",
    size_bytes=1,
    links_until=None,
)


@pytest.fixture
def manifest() -> Manifest:
    """Return the manifest of a made clip with a finding and of a failed one, with a name of its own."""
    silent = archived_clip(CLIP, findings=("is silent",))
    other = CLIP.model_copy(update={"number": 2, "name": "sea", "fingerprint": "e" * 32})
    entries = (
        Entry.of(CLIP, ClipStatus.made, archived=silent, billed_seconds=4),
        Entry.of(other, ClipStatus.failed, error=GenerationFailedError("sea: NSFW")),
    )
    return manifest_of(*entries).model_copy(update={"production": f"artifacts-{uuid4()}"})


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("[sea](https://elsewhere.example)", r"\[sea\]\(https\:\/\/elsewhere\.example\)"),
        ("# Dawn\n* noon", r"\# Dawn \* noon"),
        ("Été 9", "Été 9"),
    ],
)
def test_text_is_no_markdown(text: str, escaped: str) -> None:
    """A title or a reason cannot add links, headings or lines."""
    assert _plain(text) == escaped


async def test_leaflet_names_paths(manifest: Manifest) -> None:
    """Where the archive signs no URLs, the leaflet has paths, and why there is no film."""
    store = Store.open("memory://films")
    manifest = manifest.model_copy(update={"film_reason": "The disk is full"})

    text = await _leaflet(manifest, REPORT, await Links.of(store, REPORT.key))

    assert text.splitlines()[0] == "# Test board"
    assert f"- Report: `{store.link(REPORT.key)}`" in text
    assert "- There is no film: The disk is full" in text
    assert "](" not in text


def test_rows_show_status_and_remarks(server: Api, manifest: Manifest) -> None:
    """The table has a row for each clip, with its status, its seconds and its remarks."""

    @flow
    async def show() -> str:
        await artifacts.show_manifest(manifest)
        return str(flow_run.id)

    table = server.artifacts(asyncio.run(show()))["table"]

    made, failed = json.loads(table["data"])
    assert (made["status"], made["billed seconds"], made["remarks"]) == ("made", 4, "is silent")
    assert (failed["status"], failed["remarks"]) == ("failed", r"sea\: NSFW")
    assert r"1 made\, 1 failed\; 4 s billed" in table["description"]


def test_progress_follows_clips(server: Api) -> None:
    """The progress artifact ends with the share of the clips that the run has finished with."""
    plan = Plan(
        name=f"progress-{uuid4()}",
        title="Sounds",
        model="seedance-1-5-pro",
        clips=(CLIP, CLIP.model_copy(update={"number": 2, "fingerprint": "e" * 32})),
    )

    @flow
    async def run() -> str:
        finished = 0
        async with artifacts.progress(plan, lambda: finished):
            await asyncio.sleep(0.5)
            finished = 1
        return str(flow_run.id)

    progress = server.artifacts(asyncio.run(run()))["progress"]

    assert (progress["data"], progress["key"]) == (50, f"seedance-{plan.name}-progress")


@pytest.mark.usefixtures("no_server")
async def test_needs_a_flow_run(manifest: Manifest) -> None:
    """Outside of a flow run nothing is sent to Prefect."""
    plan = Plan(name="sounds", title="Sounds", model="seedance-1-5-pro", clips=(CLIP,))

    async with artifacts.progress(plan, lambda: 0):
        await artifacts.show_manifest(manifest)
        await artifacts.show_report(manifest, REPORT, store=Store.open("memory://films"))

    assert not artifacts.in_flow_run()


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), TimeoutError("late")], ids=["connection", "time"]
)
def test_failing_server_is_a_warning(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """If Prefect fails, the run goes on with a warning; other errors are raised."""
    with caplog.at_level(logging.WARNING), _best_effort("show the report"):
        raise error

    assert "Could not show the report in Prefect; the production continues" in caplog.text
    with pytest.raises(ZeroDivisionError), _best_effort("show the report"):
        raise ZeroDivisionError
