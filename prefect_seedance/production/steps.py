"""The steps that make a production, each a coroutine."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from prefect_seedance.api.wire import GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import Attempt
from prefect_seedance.clips.submit import Submitter
from prefect_seedance.doors import run
from prefect_seedance.errors import ArchiveError
from prefect_seedance.film.inspections import ClipInspection
from prefect_seedance.film.join import join_clips
from prefect_seedance.film.scenes import Film
from prefect_seedance.options import JoinStyle
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.manifest import Manifest, record
from prefect_seedance.report.recipe import Report, find_report
from prefect_seedance.report.render import render_report
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import PlannedClip

_REPORT_SECONDS = 300.0
"""A hundred clips take some seconds; a store that does not answer must not hold up the run."""


_JOIN_SECONDS = 600.0
_JOIN_SECONDS_PER_SECOND = 10.0
"""Bound of joining a film, by its length: re-encoding a second of 720p takes less than one second on one
processor, and a tenth of a processor may be all that a container has."""


_T = TypeVar("_T")


class Steps(Protocol):
    """What a production consists of; run as plain coroutines, or as tasks of Prefect."""

    async def run_clip(self, name: str, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run all steps of one clip as one unit of this name."""

    async def submit(self, clip: PlannedClip, *, deadline_seconds: float) -> Attempt:
        """Submit a clip, unless the ledger shows that a run has done so."""

    async def wait(self, attempt: Attempt, *, deadline_seconds: float) -> Attempt:
        """Wait until a generation has ended."""

    async def archive(self, attempt: Attempt, *, deadline_seconds: float) -> Clip:
        """Download, verify and store the video of a successful attempt."""

    async def inspect(self, clip: Clip, *, images: Sequence[SourceImage]) -> ClipInspection:
        """Inspect an archived clip, and compare it with its images."""

    async def record(self, manifest: Manifest) -> None:
        """Store the manifest."""

    async def join(self, manifest: Manifest, *, style: JoinStyle) -> Film:
        """Join the archived clips into a film."""

    async def report(self, manifest: Manifest, *, price_per_second: Decimal | None) -> Report:
        """Write the report page."""


@dataclass(frozen=True, kw_only=True)
class PlainSteps:
    """The steps as plain coroutines, in an open session."""

    session: Session
    settings: RunSettings

    async def run_clip(self, name: str, work: Callable[[], Awaitable[_T]]) -> _T:  # noqa: ARG002 -- shown in Prefect
        """Run all steps of one clip."""
        return await work()

    async def submit(self, clip: PlannedClip, *, deadline_seconds: float) -> Attempt:
        """Submit a clip, unless the ledger shows that a run has done so, also under a former fingerprint.

        Raises:
            SeedanceError: As `Submitter.submit` does.
        """
        session, settings = self.session, self.settings
        clip = await session.former.known(clip, model=session.client.model)
        submitter = Submitter(
            client=session.client,
            ledger=session.ledger,
            production=settings.production,
            flow_run=settings.flow_run,
            run_id=settings.run_id,
            policy=settings.retry,
            callbacks=settings.credentials.callbacks(settings.waiting.callback_url),
            waits=settings.waiting.wait,
            continued_by=settings.continued_by,
        )
        host = session.image_host(settings.hosting)

        async def compose() -> GenerateRequest:
            async with session.hosting:
                urls = [await host.host(file) for file in clip.sources]
            return GenerateRequest(
                provider=settings.credentials.provider, input=clip.input(urls, model=session.client.model)
            )

        return await submitter.submit(clip, compose=compose, deadline=_deadline(deadline_seconds))

    async def wait(self, attempt: Attempt, *, deadline_seconds: float) -> Attempt:
        """Wait until a generation has ended, or poll once if the run does not wait.

        Raises:
            DeadlineError: If the deadline comes first; the generation continues.
            SeedanceError: If the API refuses to answer; the generation continues.
        """
        poller, ledger, deadline = self.session.poller, self.session.ledger, _deadline(deadline_seconds)
        if not self.settings.waiting.wait:
            return await poller.poll_once(attempt, ledger=ledger, deadline=deadline)
        return await poller.wait(attempt, ledger=ledger, deadline=deadline)

    async def archive(self, attempt: Attempt, *, deadline_seconds: float) -> Clip:
        """Download, verify and store the video of a successful attempt, unless it is archived.

        Raises:
            ArchiveError: As `Archivist.archive` does.
        """
        return await self.session.archivist.archive(attempt, deadline=_deadline(deadline_seconds))

    async def inspect(self, clip: Clip, *, images: Sequence[SourceImage]) -> ClipInspection:
        """Inspect an archived clip, unless that has been done.

        Raises:
            ArchiveError: As `Inspector.inspect` does.
        """
        return await self.session.inspector.inspect(clip, images)

    async def record(self, manifest: Manifest) -> None:
        """Store the manifest.

        Raises:
            ArchiveError: If the archive cannot be written.
        """
        await record(manifest, self.session.store)

    async def join(self, manifest: Manifest, *, style: JoinStyle) -> Film:
        """Join the archived clips into a film, unless that has been done."""
        return await join_production(manifest, self.session.store, style=style)

    async def report(self, manifest: Manifest, *, price_per_second: Decimal | None) -> Report:
        """Write the report page."""
        return await report_production(manifest, self.session.store, price_per_second=price_per_second)


async def join_production(manifest: Manifest, store: Store, *, style: JoinStyle) -> Film:
    """Join a production's archived clips into a film, unless that has been done.

    Raises:
        ArchiveError: As `join_clips` does, or if it takes longer than ten minutes and ten times its length.
    """
    scenes = manifest.scenes
    bound = _JOIN_SECONDS + _JOIN_SECONDS_PER_SECOND * sum(scene.seconds for scene in scenes)
    try:
        async with asyncio.timeout(bound):
            return await join_clips(
                store, scenes, production=manifest.production, title=manifest.title, style=style
            )
    except TimeoutError:
        raise ArchiveError(
            f"Joining the film took more than {bound:.0f} s and was stopped; the clips are safe. "
            f"To join it, {run('film', store.name, manifest.production)}"
        ) from None


async def report_production(
    manifest: Manifest, store: Store, *, price_per_second: Decimal | None, keep: bool = True
) -> Report:
    """Write a production's report page.

    Args:
        manifest: Of the production.
        store: The archive of the clips.
        price_per_second: Of video, in the account's currency. Default: the price that the manifest has.
        keep: Whether to keep a page that shows all this already, with links that last for some days.

    Raises:
        ArchiveError: As `render_report` does, or if it takes longer than five minutes.
    """
    price = manifest.price_per_second if price_per_second is None else price_per_second
    try:
        async with asyncio.timeout(_REPORT_SECONDS):
            found = await find_report(store, manifest, price_per_second=price) if keep else None
            return found or await render_report(manifest, store, price_per_second=price)
    except TimeoutError:
        raise ArchiveError(
            f"Writing the report to {store.name} took more than {_REPORT_SECONDS:.0f} s; to write it again, "
            f"{run('report', store.name, manifest.production)}"
        ) from None


def _deadline(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
