"""Runs of a catalogue: what becomes of each storyboard."""

from uuid import UUID

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import DeadlineError, SubmissionUnresolvedError
from prefect_seedance.orchestration.catalog_run import _ended_entry
from prefect_seedance.orchestration.child_runs import Ended
from prefect_seedance.production.catalog import Surveyed
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.storyboard.catalog import CatalogItem
from tests.records import archived_clip, manifest_of, planned_clip

_ITEM = CatalogItem(storyboard="a.yaml")


def made() -> Manifest:
    clip = planned_clip()
    return manifest_of(Entry.of(clip, ClipStatus.made, archived=archived_clip(clip), billed_seconds=4))


def without_clip(status: ClipStatus, error: Exception) -> Manifest:
    return manifest_of(Entry.of(planned_clip(), status, error=error))


def ended(state: str) -> Ended:
    return Ended(flow_run_id=UUID(int=1), url=None, state=state, message=f"The state is {state}")


@pytest.mark.parametrize(
    ("state", "manifest", "status", "billed"),
    [
        ("Completed", made(), "made", 4),
        ("Cancelled", made(), "failed", 4),
        ("Completed", None, "made", 0),
        ("InFlight", None, "in flight", 0),
        ("Failed", None, "failed", 0),
        ("Cancelled", None, "failed", 0),
        ("Running", None, "failed", 0),
        ("", None, "failed", 0),
        ("InFlight", without_clip(ClipStatus.in_flight, DeadlineError("too late")), "in flight", 0),
        ("Failed", without_clip(ClipStatus.unresolved, SubmissionUnresolvedError("?")), "unresolved", 0),
    ],
)
def test_entry_of_an_ended_run(state: str, manifest: Manifest | None, status: str, billed: int) -> None:
    """A run's manifest decides what was made; without one, the name of its state does."""
    entry = _ended_entry(Surveyed(item=_ITEM), ended(state), manifest)

    assert (entry.status, entry.billed_seconds) == (status, billed)
    assert entry.reason == (None if status == "made" else f"The state is {state}")


def test_old_bill_is_not_reported_again() -> None:
    """A run that stored no manifest is not accounted for with that of an earlier run."""
    entry = _ended_entry(Surveyed(item=_ITEM, manifest=made()), ended("Failed"), made())

    assert (entry.status, entry.billed_seconds, entry.archived) == ("failed", 0, 0)
