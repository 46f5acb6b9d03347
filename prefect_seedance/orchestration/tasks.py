"""Prefect tasks: submit a clip, wait for it, archive it, look at it; join a film, report on it."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from prefect_seedance.api.wire import GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.ledger import Attempt
from prefect_seedance.clips.submit import Submitter
from prefect_seedance.errors import ArchiveError
from prefect_seedance.film import join as film
from prefect_seedance.film.assembly import Style
from prefect_seedance.film.join import Film
from prefect_seedance.film.seams import ClipInspection
from prefect_seedance.orchestration import assets as lineage
from prefect_seedance.orchestration import reporting
from prefect_seedance.orchestration.blocks import ClipArchive, open_archive
from prefect_seedance.orchestration.session import RunSettings, shared
from prefect_seedance.report import render as report
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.report.render import Report
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import PlannedClip

DEADLINE_SECONDS = 3600.0
"""Long enough for a full queue, short enough that a schedule of every hour or two never overlaps."""

_REPORT_SECONDS = 300.0
"""A hundred clips take some seconds; a storage that does not answer shall not hold a run up for ever."""


@task(name="submit", task_run_name="submit {clip.name}", cache_policy=NO_CACHE)
async def submit_clip(
    clip: PlannedClip, *, order: RunSettings, deadline_seconds: float = DEADLINE_SECONDS
) -> Attempt:
    """Submit a clip, unless the ledger knows that this has been done.

    Running it again is safe: the ledger decides whether anything is sent.

    Args:
        clip: What shall exist.
        order: Who pays, and where it goes.
        deadline_seconds: Counted from now; nothing is submitted later.

    Returns:
        The accepted attempt.

    Raises:
        SeedanceError: As `Submitter.submit` does.
    """
    async with shared(order) as session:
        submitter = Submitter(
            client=session.client,
            ledger=session.ledger,
            production=order.production,
            asked_by=flow_run(),
            policy=order.policy,
            callbacks=order.credentials.callbacks(order.callback_url),
            waits=order.wait,
            continued_by=order.continued_by,
        )
        host = session.host(order)

        async def compose() -> GenerateRequest:
            async with session.hosting:
                urls = [await host.host(image) for image in clip.images]
            return GenerateRequest(provider=order.credentials.provider, input=clip.input(urls))

        attempt = await submitter.submit(clip, compose=compose, deadline=_deadline(deadline_seconds))
    reporting.generation_submitted(attempt)
    return attempt


@task(name="wait", task_run_name="wait for {attempt.intent.name}", cache_policy=NO_CACHE)
async def wait_for_clip(
    attempt: Attempt, *, order: RunSettings, deadline_seconds: float = DEADLINE_SECONDS
) -> Attempt:
    """Wait until a generation has ended, reading its state as often as the account's budget allows.

    Args:
        attempt: One that was accepted.
        order: Who paid, and where it goes.
        deadline_seconds: Counted from now.

    Returns:
        The attempt with its outcome, success or not; without, if the order is not to wait and it has none.

    Raises:
        DeadlineError: If the deadline came first; the generation goes on.
        SeedanceError: If the API refuses to tell; the generation goes on.
    """
    async with shared(order) as session:
        if not order.wait:
            return await session.waiter.poll_once(attempt, ledger=session.ledger)
        if attempt.awaits_callback:
            session.subscription.begin()
        return await session.waiter.wait(attempt, ledger=session.ledger, deadline=_deadline(deadline_seconds))


@task(name="archive", task_run_name="archive {attempt.intent.name}", cache_policy=NO_CACHE)
async def archive_clip(
    attempt: Attempt, *, order: RunSettings, deadline_seconds: float = DEADLINE_SECONDS
) -> Clip:
    """Fetch, verify and store the video of an attempt that succeeded, unless that has been done.

    Args:
        attempt: With a successful outcome.
        order: Who paid, and where it goes.
        deadline_seconds: Counted from now.

    Raises:
        ArchiveError: As `Archivist.archive` does.
    """
    async with shared(order) as session:
        clip = await session.archivist.archive(attempt, deadline=_deadline(deadline_seconds))
    reporting.clip_archived(attempt, clip)
    lineage.clip_archived(clip, archive=session.store.url, production=order.production)
    return clip


@task(name="look", task_run_name="look at {clip.name}", cache_policy=NO_CACHE)
async def inspect_clip(
    clip: Clip, *, pictures: Sequence[SourceImage] = (), order: RunSettings
) -> ClipInspection:
    """Look at an archived clip from beginning to end, unless that has been done.

    Args:
        clip: An archived one.
        pictures: What it was to begin and end at.
        order: Where it is.

    Raises:
        ArchiveError: As `Inspector.look` does.
    """
    async with shared(order) as session:
        return await session.inspector.inspect(clip, pictures)


@task(name="join", task_run_name="join {manifest.title}", cache_policy=NO_CACHE)
async def join_film(manifest: Manifest, *, archive: ClipArchive | str, style: Style = Style()) -> Film:
    """Join a production's archived clips to one film, unless that has been done.

    Args:
        manifest: What became of the clips.
        archive: Where they are: a folder's path or a URL, a block, or the name of a stored one.
        style: How to join them.

    Raises:
        ArchiveError: As `film.join` does.
    """
    store = await open_archive(archive)
    made = await film.join(
        store, manifest.scenes, production=manifest.production, title=manifest.title, style=style
    )
    lineage.film_joined(manifest.model_copy(update={"film": made}))
    return made


@task(name="report", task_run_name="report on {manifest.title}", cache_policy=NO_CACHE)
async def write_report(
    manifest: Manifest, *, order: RunSettings, price_per_second: Decimal | None = None
) -> Report:
    """Write the page that shows a production, beside its manifest and over an older one.

    Args:
        manifest: What became of the clips.
        order: Where they are.
        price_per_second: What a second of video costs the account, in its currency.

    Raises:
        ArchiveError: As `report.write` does, or if it takes longer than five minutes.
    """
    async with shared(order) as session:
        try:
            async with asyncio.timeout(_REPORT_SECONDS):
                return await report.write(manifest, session.store, price_per_second=price_per_second)
        except TimeoutError:
            raise ArchiveError(
                f"The archive {session.store.name} took more than {_REPORT_SECONDS:.0f} s for the report"
            ) from None


def _deadline(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def flow_run() -> str:
    """Name the flow run that this code runs in, for people who read the ledger; empty outside of one."""
    context = FlowRunContext.get()
    return f"flow run {context.flow_run.name}" if context and context.flow_run else ""
