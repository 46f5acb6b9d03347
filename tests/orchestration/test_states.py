"""Names and final states of flow runs."""

from datetime import UTC, datetime

import pytest

from prefect_seedance import ClipList, ClipSpec
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import DeadlineError, GenerationFailedError, SubmissionUnresolvedError
from prefect_seedance.orchestration.states import _title, catalog_state, final_state
from prefect_seedance.report.catalog import CatalogEntry, CatalogManifest, CatalogStatus
from prefect_seedance.report.manifest import Entry
from tests.records import archived_clip, manifest_of, planned_clip

MADE = Entry.of(planned_clip(), ClipStatus.made, archived=archived_clip(planned_clip()), billed_seconds=4)


def test_complete_production_completes() -> None:
    """A complete production is Completed, with its manifest."""
    manifest = manifest_of(MADE)

    state = final_state(manifest)

    assert (state.type.value, state.name) == ("COMPLETED", "Completed")
    assert state.message == "Test board: 1 made; 4 s billed"
    assert state.data == manifest


def test_generations_in_flight_are_no_failure() -> None:
    """A production with generations in flight is Completed under another name, so that it can run again."""
    manifest = manifest_of(
        MADE, Entry.of(planned_clip(2), ClipStatus.in_flight, error=DeadlineError("too late"))
    )

    state = final_state(manifest)

    assert (state.type.value, state.name) == ("COMPLETED", "InFlight")
    assert state.data == manifest


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (ClipStatus.failed, GenerationFailedError("PROCESSING_TIMEOUT")),
        (ClipStatus.unresolved, SubmissionUnresolvedError("no answer is recorded")),
        (ClipStatus.not_archived, DeadlineError("its link expires at 2026-12-12 10:00 UTC")),
    ],
    ids=["failed", "unresolved", "not archived"],
)
def test_failure_has_reasons(status: ClipStatus, error: Exception) -> None:
    """A failed production is Failed, with counts and a reason for each clip, and without data."""
    state = final_state(manifest_of(MADE, Entry.of(planned_clip(2), status, error=error)))

    assert state.name == "Failed"
    assert state.message == f"Test board: {_counts(status)}; 4 s billed\nclip 2: {error}"
    assert state.data is None


def _counts(status: ClipStatus) -> str:
    return ", ".join(f"1 {each}" for each in ClipStatus if each in {ClipStatus.made, status})


def test_many_reasons_are_cut() -> None:
    """More than ten reasons are counted, because Prefect shows the message in lists."""
    entries = [
        Entry.of(planned_clip(number), ClipStatus.failed, error=GenerationFailedError(f"clip {number}: no"))
        for number in range(1, 13)
    ]

    lines = str(final_state(manifest_of(*entries)).message).splitlines()

    assert lines[1:] == [
        *[f"clip {number}: no" for number in range(1, 11)],
        "and 2 more, listed in the manifest",
    ]


def _catalog(*entries: CatalogEntry) -> CatalogManifest:
    now = datetime(2026, 11, 27, tzinfo=UTC)
    return CatalogManifest(
        catalog="season", title="Season", archive="films", began_at=now, ended_at=now, entries=entries
    )


def test_failures_of_a_catalogue_are_cut() -> None:
    """Ten storyboards that failed are named, without control characters, and the others are counted."""
    failed = [
        CatalogEntry(storyboard=f"{number}.yaml", status=CatalogStatus.failed, reason="no\x1b[2J")
        for number in range(300)
    ]

    state = catalog_state(_catalog(*failed))

    lines = str(state.message).splitlines()
    assert state.name == "Failed"
    assert lines[1:3] == ["0.yaml: no\\u001b[2J", "1.yaml: no\\u001b[2J"]
    assert lines[11:] == ["and 290 more, listed in the manifest"]


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (CatalogStatus.made, "Completed"),
        (CatalogStatus.not_run, "InFlight"),
        (CatalogStatus.unresolved, "Failed"),
        (CatalogStatus.invalid, "Failed"),
    ],
)
def test_state_of_a_catalogue(status: CatalogStatus, name: str) -> None:
    """The state of a catalogue's run depends on what it leaves to do."""
    assert catalog_state(_catalog(CatalogEntry(storyboard="a.yaml", status=status))).name == name


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("boards/lighthouse.yaml", "lighthouse"),
        ("https://studio.example/boards/sea.yaml?signature=secret", "sea"),
        ("films/harbour/storyboard.yaml", "harbour"),
        ("s3://studio/harbour/clips.yaml", "harbour"),
        ("storyboard.yaml", "storyboard"),
        ({"title": "Sounds", "clips": []}, "Sounds"),
        (ClipList(title="Sounds", clips=(ClipSpec(prompt="waves"),)), "Sounds"),
        ({}, ""),
        (None, ""),
    ],
    ids=[
        "path",
        "signed URL",
        "in a folder",
        "in a bucket",
        "alone",
        "JSON",
        "object",
        "no title",
        "nothing",
    ],
)
def test_title_of_parameter(source: object, title: str) -> None:
    """A flow run is named after the title, the folder or the file, never after a secret in a URL."""
    assert _title(source) == title
