"""Events about the end of runs."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.errors import (
    AuthenticationError,
    ContentRejectedError,
    DeadlineError,
    InvalidRequestError,
    SubmissionUnresolvedError,
)
from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.events import FIELDS, Event
from prefect_seedance.orchestration.run_events import (
    MAX_CLIP_EVENTS,
    archives_rescued,
    catalog_ended,
    clips_ended,
    production_ended,
)
from prefect_seedance.report.catalog import CatalogEntry, CatalogManifest, CatalogStatus
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.report.rescued import RescuedArchive
from prefect_seedance.storage.store import Store
from tests.flows.conftest import Api, eventually
from tests.records import FAILED as FAILED_OUTCOME
from tests.records import NOW, archived_clip, manifest_of, planned_clip, record_outcome, record_success


@pytest.fixture
def production() -> str:
    """Return a name that no other test uses."""
    return f"ended-{uuid4()}"


def paid(number: int, status: ClipStatus, production: str, **fields: object) -> PaidClip:
    """Return a clip of a production."""
    known = {
        "fingerprint": f"{number:032}",
        "name": f"clip {number}",
        "production": production,
        "status": status,
        "billed_seconds": 4,
    }
    return PaidClip.model_validate({**known, **fields})


def received(server: Api, production: str, *, count: int) -> Sequence[Mapping[str, Any]]:
    """Return the events of a production in order, once the server has stored so many."""
    eventually(lambda: len(server.events(production)) >= count)
    return sorted(server.events(production), key=lambda event: str(event["occurred"]))


def fields_of(event: Mapping[str, Any]) -> set[str]:
    return set(event["payload"])


async def end(manifest: Manifest, store: Store) -> None:
    prompts = {clip.fingerprint: clip.prompt for clip in map(planned_clip, range(1, 5))}
    await production_ended(manifest, prompts=prompts, store=store, ledger=Ledger(store))


async def test_production_ends_with_its_bill(server: Api, production: str, archive: Path) -> None:
    """The end of a production has verdict, counts, the bill of this run and of all, and links."""
    store, made, failed = Store.open(str(archive)), planned_clip(1), planned_clip(2)
    attempt = await record_success(store, archived_clip(made), production=production)
    await record_outcome(store, failed, FAILED_OUTCOME)
    manifest = manifest_of(
        Entry.of(made, ClipStatus.made, archived=archived_clip(made), billed_seconds=8),
        Entry.of(failed, ClipStatus.failed, error=ContentRejectedError("clip 2: NSFW")),
    ).model_copy(
        update={
            "production": production,
            "archive": store.url,
            "report": "productions/x/report.html",
            "price_per_second": Decimal("0.5"),
            "cost": Decimal(4),
        }
    )

    await end(manifest, store)

    rejected, ended = received(server, production, count=2)
    assert rejected["event"] == "seedance.clip.failed"
    assert rejected["resource"]["seedance.status"] == rejected["payload"]["status"] == "rejected"
    assert ended["event"] == "seedance.production.ended"
    assert ended["resource"]["prefect.resource.id"] == f"seedance.production.{production}"
    assert ended["resource"]["seedance.verdict"] == "failed"
    assert fields_of(ended) == set(FIELDS[Event.production_ended])
    assert ended["payload"] == {
        "verdict": "failed",
        "counts": {"made": 1, "failed": 1},
        "billed_seconds": 8,
        "cost": "4",
        "total_seconds": attempt.billed_seconds,
        "total_cost": str(attempt.billed_seconds * Decimal("0.5")),
        "clips": 2,
        "omitted": 0,
        "archive": store.url,
        "manifest": f"{store.url}/productions/{production}/manifest.json",
        "report": f"{store.url}/productions/x/report.html",
    }


async def test_former_clips_have_events(server: Api, production: str, archive: Path) -> None:
    """Clips that are no longer in the storyboard are reported if they were rescued or are paid for."""
    former = (
        paid(1, ClipStatus.made, production, key="clips/1/clip.mp4"),
        paid(2, ClipStatus.not_archived, production, reason="no space"),
        paid(3, ClipStatus.failed, production, reason="NSFW"),
        paid(4, ClipStatus.archived, production, key="clips/4/clip.mp4"),
    )
    manifest = manifest_of().model_copy(update={"production": production, "former": former})

    await end(manifest, Store.open(str(archive)))

    found = [event["event"] for event in received(server, production, count=3)]
    assert found == ["seedance.clip.unarchived", "seedance.clip.rescued", "seedance.production.ended"]


async def test_former_clips_have_no_prompt(server: Api, production: str, archive: Path) -> None:
    """The ledger has the prompt of a former clip; if it cannot be read, neither name nor message is sent."""
    store, known = Store.open(str(archive)), archived_clip(planned_clip(5))
    prompt = known.request.input.prompt
    await record_success(store, known, production=production)
    fields = {"name": prompt, "reason": f"{prompt}: {prompt!r} is too large"}
    former = (
        paid(5, ClipStatus.unresolved, production, **fields, fingerprint=known.fingerprint),
        paid(6, ClipStatus.not_archived, production, **fields),
    )
    manifest = manifest_of().model_copy(update={"production": production, "former": former})

    await end(manifest, store)

    found, unknown, _ = received(server, production, count=3)
    shown = f"clip {known.fingerprint[:12]}"
    assert found["payload"]["clip"] == found["resource"]["prefect.resource.name"] == shown
    assert found["payload"]["message"] == f"{shown}: '{shown}' is too large"
    assert unknown["payload"]["clip"] == f"clip {6:032}"[:17]
    assert "message" not in unknown["payload"]


@pytest.mark.parametrize(
    "error", [DeadlineError("too late"), AuthenticationError("wrong key")], ids=["late", "key"]
)
async def test_stopped_run_fails_no_clip(
    server: Api, production: str, archive: Path, error: Exception
) -> None:
    """A clip that a run did not submit because of deadline or set-up has no event of its own."""
    entry = Entry.of(planned_clip(1), ClipStatus.not_submitted, error=error)
    manifest = manifest_of(entry).model_copy(update={"production": production})

    await end(manifest, Store.open(str(archive)))

    (event,) = received(server, production, count=1)
    assert event["event"] == "seedance.production.ended"


async def test_refused_clip_has_failed(server: Api, production: str, archive: Path) -> None:
    """A clip whose submission was refused has an event, although nothing was billed."""
    refused = Entry.of(planned_clip(1), ClipStatus.not_submitted, error=InvalidRequestError("too long"))
    unresolved = Entry.of(
        planned_clip(2), ClipStatus.unresolved, error=SubmissionUnresolvedError("who knows")
    )
    repeated = refused.model_copy(update={"number": 3})
    manifest = manifest_of(refused, unresolved, repeated).model_copy(update={"production": production})

    await end(manifest, Store.open(str(archive)))

    found = [
        (event["event"], event["payload"].get("code")) for event in received(server, production, count=3)
    ]
    assert found == [
        ("seedance.submission.unresolved", None),
        ("seedance.clip.failed", "InvalidRequestError"),
        ("seedance.production.ended", None),
    ]


def test_expiring_link_is_urgent(server: Api, production: str) -> None:
    """A link that expires within three days has an event of its own, which comes first."""
    left = {1: timedelta(days=4), 2: timedelta(days=2), 3: timedelta(hours=-1)}
    clips = [
        paid(
            number,
            ClipStatus.not_archived,
            production,
            expires_at=NOW + each,
            code="ArchiveError",
            reason="full",
            generation_id=f"task_{number}",
        )
        for number, each in left.items()
    ]

    prompts = dict.fromkeys((clip.fingerprint for clip in clips), "waves")

    assert clips_ended({"/films": clips}, prompts=prompts) == 0

    found = received(server, production, count=4)
    assert [(event["event"], event["payload"]["clip"]) for event in found] == [
        ("seedance.clip.expiring", "clip 2"),
        ("seedance.clip.unarchived", "clip 1"),
        ("seedance.clip.unarchived", "clip 2"),
        ("seedance.clip.unarchived", "clip 3"),
    ]
    assert fields_of(found[0]) == set(FIELDS[Event.clip_expiring])
    assert found[0]["resource"]["prefect.resource.id"] == f"seedance.clip.{2:032}"


def test_failures_are_bounded(server: Api, production: str) -> None:
    """A run with many failed clips sends a bounded number of events, the most urgent among them."""
    clips = [paid(number, ClipStatus.failed, production) for number in range(MAX_CLIP_EVENTS + 20)]
    unresolved = paid(999, ClipStatus.unresolved, production)

    omitted = clips_ended({"/films": [*clips, unresolved]}, prompts={})

    def total() -> int:
        return int(server.events_labelled("seedance.production", production)["total"])

    assert omitted == 21
    assert eventually(lambda: total() >= MAX_CLIP_EVENTS)
    assert total() == MAX_CLIP_EVENTS
    resolved_first = server.events_labelled("prefect.resource.id", f"seedance.clip.{999:032}")
    assert resolved_first["total"] >= 1


def test_rescue_names_archives(server: Api, production: str) -> None:
    """Clips of several archives have their archive; one that could not be read has no clips."""
    rescued = paid(1, ClipStatus.made, production, key="clips/1/clip.mp4", generation_id="task_1")
    unresolved = paid(2, ClipStatus.unresolved, production, reason="who knows")

    archives_rescued(
        [
            RescuedArchive(archive="/films", clips=(rescued,)),
            RescuedArchive(archive="/gone", problem="no such bucket"),
            RescuedArchive(archive="/ads", clips=(unresolved,)),
        ],
        prompts={rescued.fingerprint: "waves", unresolved.fingerprint: "waves"},
    )

    found = received(server, production, count=2)
    assert [(event["event"], event["payload"]["archive"]) for event in found] == [
        ("seedance.submission.unresolved", "/ads"),
        ("seedance.clip.rescued", "/films"),
    ]
    assert [fields_of(event) for event in found] == [
        set(FIELDS[Event.submission_unresolved]),
        set(FIELDS[Event.clip_rescued]),
    ]


def test_catalog_ends(server: Api, production: str) -> None:
    """The end of a catalogue has its verdict, its counts and its links."""
    manifest = CatalogManifest(
        catalog=production,
        title="Autumn",
        archive="/films",
        began_at=NOW,
        ended_at=NOW,
        entries=(
            CatalogEntry(storyboard="a.yaml", status=CatalogStatus.made, billed_seconds=8),
            CatalogEntry(storyboard="b.yaml", status=CatalogStatus.failed),
        ),
    )

    catalog_ended(manifest, links={"manifest": "/films/manifest.json", "page": "/films/index.html"})

    resource = f"seedance.catalog.{production}"
    found = eventually(lambda: server.events_labelled("prefect.resource.id", resource)["events"])
    (event,) = found
    assert event["event"] == "seedance.catalog.ended"
    assert event["resource"]["seedance.verdict"] == "failed"
    assert fields_of(event) == set(FIELDS[Event.catalog_ended])
    assert event["payload"]["counts"] == {"made": 1, "failed": 1}


async def test_end_needs_no_ledger(
    server: Api, production: str, archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If the ledger cannot be read, the event has only the bill of the run, and the log has the reason."""
    manifest = manifest_of().model_copy(update={"production": f"../{production}"})  # not listable

    await end(manifest, Store.open(str(archive)))

    (event,) = received(server, f"../{production}", count=1)
    assert event["event"] == "seedance.production.ended"
    assert event["payload"]["billed_seconds"] == 0
    assert not {"total_seconds", "total_cost"} & fields_of(event)
    assert "was billed in all is not known" in caplog.text


@pytest.mark.usefixtures("no_server")
async def test_no_server_reads_no_bill(archive: Path) -> None:
    """Without a server nothing is emitted, and the ledger is not read for it."""
    store = Store.open(str(archive))
    manifest = manifest_of().model_copy(update={"production": "../outside"})  # not listable

    await end(manifest, store)

    assert not events.has_prefect()
