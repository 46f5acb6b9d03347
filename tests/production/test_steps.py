"""The steps of a production as plain coroutines."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.records import Result
from prefect_seedance.errors import ArchiveError, DeadlineError, GenerationFailedError
from prefect_seedance.options import JoinStyle, RetryPolicy
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import join_production, report_production
from prefect_seedance.report.manifest import Entry, Manifest, read_manifest
from prefect_seedance.storage.store import Store
from tests import films
from tests.former import bought_before, signed_plan
from tests.processes import Sandbox
from tests.production.conftest import QUICK, opened, prepare_sounds
from tests.records import manifest_of


async def test_steps_lead_to_clip(settings: RunSettings, sandbox: Sandbox, archive: Path) -> None:
    """Submitting, waiting and archiving leave a video and a whole attempt in the ledger."""
    prepared = await prepare_sounds(settings)
    clip = prepared.plan.clips[0]

    async with opened(prepared) as (session, steps):
        accepted = await steps.submit(clip, deadline_seconds=10)
        ended = await steps.wait(accepted, deadline_seconds=30)
        archived = await steps.archive(ended, deadline_seconds=30)
        (recorded,) = await session.ledger.attempts(clip.fingerprint)

    assert accepted.generation_id
    assert ended.outcome
    assert ended.outcome.result is Result.success
    assert recorded == ended
    assert recorded.intent.production == "sounds"
    assert (archive / archived.key).stat().st_size == archived.size_bytes
    assert sandbox.totals()["accepted"] == 1


async def test_repeated_steps_cost_nothing(settings: RunSettings, sandbox: Sandbox) -> None:
    """Every step can be repeated: the ledger and the archive decide what is left to do."""
    prepared = await prepare_sounds(settings)
    clip = prepared.plan.clips[0]

    async with opened(prepared) as (_, steps):
        first = await steps.wait(await steps.submit(clip, deadline_seconds=10), deadline_seconds=30)
        second = await steps.wait(await steps.submit(clip, deadline_seconds=10), deadline_seconds=30)
        archived = [await steps.archive(attempt, deadline_seconds=30) for attempt in (first, second)]

    assert first == second
    assert archived[0] == archived[1]
    assert sandbox.totals()["submits_received"] == 1


async def test_former_purchase_is_continued(settings: RunSettings, sandbox: Sandbox, archive: Path) -> None:
    """A clip of any plan that was bought at a URL signed earlier is not bought again."""
    former = await bought_before(Store.open(str(archive)), "aaaa")
    (clip,) = signed_plan("bbbb").clips
    prepared = await prepare_sounds(settings)

    async with opened(prepared) as (session, steps):
        (attempt,) = await session.ledger.attempts(former.fingerprint)
        await session.ledger.accept(attempt, "task_1")
        continued = await steps.submit(clip, deadline_seconds=10)

    assert clip.fingerprint != former.fingerprint
    assert (continued.intent.fingerprint, continued.generation_id) == (former.fingerprint, "task_1")
    assert sandbox.totals()["submits_received"] == 0


async def test_failed_clip_needs_permission(settings: RunSettings, sandbox: Sandbox) -> None:
    """A failed clip is submitted again only by a run that may pay again."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "PROCESSING_TIMEOUT", "times": 1})
    prepared = await prepare_sounds(settings)
    generous = replace(
        prepared, settings=replace(prepared.settings, retry=RetryPolicy(retry_failed=True), run_id="another")
    )
    clip = prepared.plan.clips[0]

    async with opened(prepared) as (_, steps):
        failed = await steps.wait(await steps.submit(clip, deadline_seconds=10), deadline_seconds=30)
        with pytest.raises(GenerationFailedError, match="retry_failed"):
            await steps.submit(clip, deadline_seconds=10)
    async with opened(generous) as (_, steps):
        again = await steps.submit(clip, deadline_seconds=10)

    assert failed.outcome
    assert failed.outcome.code == "PROCESSING_TIMEOUT"
    assert again.intent.number == 2


async def test_deadline_leaves_generation(settings: RunSettings, sandbox: Sandbox) -> None:
    """At the deadline the generation continues, and its attempt stays open in the ledger."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    prepared = await prepare_sounds(settings)
    clip = prepared.plan.clips[0]

    async with opened(prepared) as (session, steps):
        accepted = await steps.submit(clip, deadline_seconds=10)
        with pytest.raises(DeadlineError):
            await steps.wait(accepted, deadline_seconds=0.5)
        (recorded,) = await session.ledger.attempts(clip.fingerprint)

    assert recorded == accepted


async def test_need_not_wait(settings: RunSettings, sandbox: Sandbox) -> None:
    """A run that does not wait polls once and returns the open attempt."""
    sandbox.faults({"kind": "generation", "fault": "never-end"})
    waiting = QUICK.model_copy(update={"wait": False})
    prepared = await prepare_sounds(
        replace(settings, waiting=waiting, continued_by=("prefect.deployment.1",))
    )

    async with opened(prepared) as (_, steps):
        accepted = await steps.submit(prepared.plan.clips[0], deadline_seconds=10)
        began = time.monotonic()
        attempt = await steps.wait(accepted, deadline_seconds=60)

    assert attempt.outcome is None
    assert attempt.intent.continued_by == ("prefect.deployment.1",)
    assert time.monotonic() - began < 30


async def test_images_are_hosted(board: Path, settings: RunSettings, archive: Path, sandbox: Sandbox) -> None:
    """Before a submission its images are stored where the API can fetch them."""
    prepared = await prepare(board, settings)

    async with opened(prepared) as (_, steps):
        await steps.submit(prepared.plan.clips[0], deadline_seconds=10)

    (generation,) = sandbox.books()["generations"]
    names = [url.rpartition("/")[2] for url in generation["input"]["image_urls"]]
    assert all((archive / "images" / name).is_file() for name in names)
    assert len(names) == 2


async def test_records_manifest(settings: RunSettings) -> None:
    """The stored manifest can be read again by the production's name."""
    manifest = manifest_of()
    prepared = await prepare_sounds(settings)

    async with opened(prepared) as (session, steps):
        await steps.record(manifest)
        stored = await read_manifest(session.store, "test-board")

    assert stored == manifest


async def test_film_and_report_of_clips(tmp_path: Path) -> None:
    """Film and report are made of archived clips, without an account."""
    store = Store.open(str(tmp_path / "films"))
    manifest = await _manifest_of_two(store)

    film = await join_production(manifest, store, style=JoinStyle())
    report = await report_production(manifest.model_copy(update={"film": film}), store, price_per_second=None)

    assert [part.number for part in film.parts] == [1, 2]
    assert await store.size_bytes(film.stable_key)
    assert await store.size_bytes(report.key) == report.size_bytes


async def test_nothing_to_join_is_an_error(tmp_path: Path) -> None:
    """Without any clip there is no film."""
    with pytest.raises(ArchiveError):
        await join_production(manifest_of(), Store.open(str(tmp_path)), style=JoinStyle())


async def _manifest_of_two(store: Store) -> Manifest:
    entries = []
    for number in (1, 2):
        archived = await films.archived(store, films.clip(number), name=f"scene {number}")
        entries.append(
            Entry(
                number=number,
                name=archived.name,
                fingerprint=archived.fingerprint,
                status=ClipStatus.made,
                clip=archived,
            )
        )
    return manifest_of(*entries)
