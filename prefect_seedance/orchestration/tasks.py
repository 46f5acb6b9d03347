"""Prefect tasks: submit, wait for, archive and inspect a clip; join a film, write a report."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import Attempt
from prefect_seedance.film.inspections import ClipInspection
from prefect_seedance.film.scenes import Film
from prefect_seedance.options import JoinStyle, Waiting
from prefect_seedance.orchestration import assets
from prefect_seedance.orchestration.blocks import open_archive
from prefect_seedance.orchestration.flow_runs import current_run
from prefect_seedance.orchestration.reported_steps import ReportedSteps
from prefect_seedance.orchestration.run_identity import lasting_run_id
from prefect_seedance.orchestration.run_log import quiet
from prefect_seedance.orchestration.session import shared_session
from prefect_seedance.production.settings import RunSettings, StoredArchive
from prefect_seedance.production.steps import join_production, report_production
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.report.recipe import Report
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import PlannedClip

DEADLINE_SECONDS = Waiting().deadline_seconds

_T = TypeVar("_T")


@task(name="clip", task_run_name="{name}", cache_policy=NO_CACHE)
@quiet
async def run_clip(name: str, work: Callable[[], Awaitable[_T]]) -> _T:  # noqa: ARG001 -- names the task run
    """Run all steps of one clip.

    Args:
        name: What it does with which clip, as one line.
        work: Runs the steps.

    Raises:
        SeedanceError: As the steps do.
    """
    return await work()


run_report = run_clip.with_options(name="report")
"""Like `run_clip`, for the report of a run."""


@task(name="submit", task_run_name="submit {clip.label}", cache_policy=NO_CACHE)
@quiet
async def submit_clip(
    clip: PlannedClip, *, settings: RunSettings, deadline_seconds: float = DEADLINE_SECONDS
) -> Attempt:
    """Submit a clip, unless the ledger shows that a run has done so.

    Running it again is safe: the ledger decides whether anything is sent.

    Args:
        clip: The planned clip.
        settings: Who pays, and where the clip is stored.
        deadline_seconds: From now; nothing is submitted later.

    Returns:
        The accepted attempt.

    Raises:
        SeedanceError: As `Submitter.submit` does.
    """
    run_id = await lasting_run_id(settings.run_id, of=clip.fingerprint)
    flow_run = current_run() or settings.flow_run
    async with _steps(replace(settings, run_id=run_id, flow_run=flow_run)) as steps:
        return await steps.submit(clip, deadline_seconds=deadline_seconds)


@task(name="wait", task_run_name="wait for {attempt.intent.label}", cache_policy=NO_CACHE)
@quiet
async def wait_for_clip(
    attempt: Attempt, *, settings: RunSettings, deadline_seconds: float = DEADLINE_SECONDS
) -> Attempt:
    """Wait until a generation has ended, polling within the account's request budget.

    Args:
        attempt: An accepted one.
        settings: Who paid, and where the clip is stored.
        deadline_seconds: From now.

    Returns:
        The attempt with its outcome, successful or not. If the settings do not wait, the outcome may be None.

    Raises:
        DeadlineError: If the deadline comes first; the generation continues.
        SeedanceError: If the API refuses to answer; the generation continues.
    """
    async with _steps(settings) as steps:
        return await steps.wait(attempt, deadline_seconds=deadline_seconds)


@task(name="archive", task_run_name="archive {attempt.intent.label}", cache_policy=NO_CACHE)
@quiet
async def archive_clip(
    attempt: Attempt, *, settings: RunSettings, deadline_seconds: float = DEADLINE_SECONDS
) -> Clip:
    """Download, verify and store the video of a successful attempt, unless it is archived.

    Args:
        attempt: With a successful outcome.
        settings: Who paid, and where the clip is stored.
        deadline_seconds: From now.

    Raises:
        ArchiveError: As `Archivist.archive` does.
    """
    async with _steps(settings) as steps:
        return await steps.archive(attempt, deadline_seconds=deadline_seconds)


@task(name="inspect", task_run_name="inspect {clip.label}", cache_policy=NO_CACHE)
@quiet
async def inspect_clip(
    clip: Clip, *, images: Sequence[SourceImage] = (), settings: RunSettings
) -> ClipInspection:
    """Find black, frozen and silent parts of an archived clip, and compare its ends with its images.

    Args:
        clip: An archived one.
        images: Its start image and its end image, or fewer.
        settings: Where the clip is stored.

    Raises:
        ArchiveError: As `Inspector.inspect` does.
    """
    async with _steps(settings) as steps:
        return await steps.inspect(clip, images=images)


@task(name="join", task_run_name="join {manifest.label}", cache_policy=NO_CACHE)
@quiet
async def join_film(
    manifest: Manifest, *, archive: str | StoredArchive = "", style: JoinStyle = JoinStyle()
) -> Film:
    """Join a production's archived clips into a film, unless that has been done.

    Args:
        manifest: With the clips.
        archive: Where the clips are stored: a folder's path, a URL, a block or ``block:NAME``.
        style: How to join them.

    Raises:
        ArchiveError: As `join_clips` does.
    """
    film = await join_production(manifest, await open_archive(archive), style=style)
    assets.film_joined(manifest.model_copy(update={"film": film}))
    return film


@task(name="report", task_run_name="report on {manifest.label}", cache_policy=NO_CACHE)
@quiet
async def write_report(
    manifest: Manifest, *, archive: str | StoredArchive = "", price_per_second: Decimal | None = None
) -> Report:
    """Write the report page of a production beside its manifest, unless the stored page shows the same.

    Args:
        manifest: With the clips.
        archive: Where the clips are stored: a folder's path, a URL, a block or ``block:NAME``.
        price_per_second: Of video, in the account's currency. Default: the price that the manifest has.

    Raises:
        ArchiveError: As `render_report` does, or if it takes longer than five minutes.
    """
    store = await open_archive(archive)
    return await report_production(manifest, store, price_per_second=price_per_second)


@asynccontextmanager
async def _steps(settings: RunSettings) -> AsyncIterator[ReportedSteps]:
    """Open the steps in the shared session of this event loop."""
    async with shared_session(settings) as shared:
        yield ReportedSteps.of(shared, settings)
