"""The steps that make a production, each a coroutine."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, TypeVar

from prefect_seedance.api import wall_clock
from prefect_seedance.api.wire import GenerateRequest
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import Attempt
from prefect_seedance.clips.submit import Submitter
from prefect_seedance.doors import run
from prefect_seedance.errors import ArchiveError, SubmissionUnresolvedError
from prefect_seedance.film.inspections import ClipInspection
from prefect_seedance.film.join import join_clips
from prefect_seedance.film.scenes import Film
from prefect_seedance.options import JoinStyle
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.manifest import Manifest, record
from prefect_seedance.report.recipe import Report, find_report
from prefect_seedance.report.render import render_report
from prefect_seedance.report.thumbnails import Thumbnails
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import PlannedClip
from prefect_seedance.telemetry import DETECTION, span

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

    async def report(
        self, manifest: Manifest, *, price_per_second: Decimal | None, thumbnails: Thumbnails
    ) -> Report:
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
        clip = await self.session.former.known(clip, model=self.session.client.model)
        asked = False

        async def compose() -> GenerateRequest:
            nonlocal asked
            asked = True
            return await self._request(clip)

        with span("submit", **self._planned(clip)) as note:
            try:
                attempt = await self._submitter.submit(
                    clip, compose=compose, deadline=_deadline(deadline_seconds)
                )
            except SubmissionUnresolvedError:
                note(outcome="unresolved")
                raise
            earlier = "reused" if attempt.outcome else "resumed"
            note(**_about(attempt), outcome=self._origin(attempt) if asked else earlier)
            return attempt

    @property
    def _submitter(self) -> Submitter:
        session, settings = self.session, self.settings
        return Submitter(
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

    async def _request(self, clip: PlannedClip) -> GenerateRequest:
        """Host the files of a clip, and return the request for it."""
        session, settings, urls = self.session, self.settings, []
        host = session.image_host(settings.hosting)
        if clip.sources:
            with span("host", **self._planned(clip), files=len(clip.sources)):
                async with session.hosting:
                    urls = [await host.host(file) for file in clip.sources]
        return GenerateRequest(
            provider=settings.credentials.provider, input=clip.input(urls, model=session.client.model)
        )

    async def wait(self, attempt: Attempt, *, deadline_seconds: float) -> Attempt:
        """Wait until a generation has ended, or poll once if the run does not wait.

        Raises:
            DeadlineError: If the deadline comes first; the generation continues.
            SeedanceError: If the API refuses to answer; the generation continues.
        """
        poller = self.session.poller
        waits = poller.wait if self.settings.waiting.wait else poller.poll_once
        began_at = wall_clock.now()
        with span("wait", **_about(attempt), outcome=self._origin(attempt)) as note:
            ended = await waits(attempt, ledger=self.session.ledger, deadline=_deadline(deadline_seconds))
            note(status=ended.outcome and ended.outcome.result)
        _measure_detection(ended, began_at=began_at)
        return ended

    async def archive(self, attempt: Attempt, *, deadline_seconds: float) -> Clip:
        """Download, verify and store the video of a successful attempt, unless it is archived.

        Raises:
            ArchiveError: As `Archivist.archive` does.
        """
        began_at = wall_clock.now()
        with span("archive", **_about(attempt), outcome=self._origin(attempt)) as note:
            clip = await self.session.archivist.archive(attempt, deadline=_deadline(deadline_seconds))
            if clip.archived_at < began_at:
                note(outcome="reused")
            return clip

    async def inspect(self, clip: Clip, *, images: Sequence[SourceImage]) -> ClipInspection:
        """Inspect an archived clip, unless that has been done.

        Raises:
            ArchiveError: As `Inspector.inspect` does.
        """
        with span("inspect", production=self.settings.production, fingerprint=clip.fingerprint):
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

    async def report(
        self, manifest: Manifest, *, price_per_second: Decimal | None, thumbnails: Thumbnails
    ) -> Report:
        """Write the report page."""
        return await report_production(
            manifest, self.session.store, price_per_second=price_per_second, thumbnails=thumbnails
        )

    def _planned(self, clip: PlannedClip) -> Mapping[str, str]:
        """Return the attributes of spans about a clip before it has an attempt."""
        return {
            "production": self.settings.production,
            "fingerprint": clip.fingerprint,
            "model": clip.model or self.session.client.model,
        }

    def _origin(self, attempt: Attempt) -> str:
        """Return whether this run submitted an attempt, or continues that of another run."""
        return "submitted" if attempt.intent.run_id == self.settings.run_id else "resumed"


async def join_production(manifest: Manifest, store: Store, *, style: JoinStyle) -> Film:
    """Join a production's archived clips into a film, unless that has been done.

    Raises:
        ArchiveError: As `join_clips` does, or if it takes longer than ten minutes and ten times its length.
    """
    scenes = manifest.scenes
    bound = _JOIN_SECONDS + _JOIN_SECONDS_PER_SECOND * sum(scene.seconds for scene in scenes)
    try:
        with span("join", production=manifest.production):
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
    manifest: Manifest,
    store: Store,
    *,
    price_per_second: Decimal | None,
    keep: bool = True,
    thumbnails: Thumbnails | None = None,
) -> Report:
    """Write a production's report page.

    Args:
        manifest: Of the production.
        store: The archive of the clips.
        price_per_second: Of video, in the account's currency. Default: the price that the manifest has.
        keep: Whether to keep a page that shows all this already, with links that last for some days.
        thumbnails: Of the clips, if some are scaled already.

    Raises:
        ArchiveError: As `render_report` does, or if it takes longer than five minutes.
    """
    price = manifest.price_per_second if price_per_second is None else price_per_second
    try:
        with span("report", production=manifest.production):
            async with asyncio.timeout(_REPORT_SECONDS):
                found = await find_report(store, manifest, price_per_second=price) if keep else None
                return found or await render_report(
                    manifest, store, price_per_second=price, thumbnails=thumbnails
                )
    except TimeoutError:
        raise ArchiveError(
            f"Writing the report to {store.name} took more than {_REPORT_SECONDS:.0f} s; to write it again, "
            f"{run('report', store.name, manifest.production)}"
        ) from None


def _about(attempt: Attempt) -> Mapping[str, str | int]:
    """Return the attributes of spans about an attempt."""
    intent = attempt.intent
    return {
        "production": intent.production,
        "fingerprint": intent.fingerprint,
        "model": intent.model,
        "attempt": intent.number,
        "generation": attempt.generation_id,
    }


def _measure_detection(attempt: Attempt, *, began_at: datetime) -> None:
    """Measure how late the end of a generation was detected, if it ended during the wait."""
    outcome = attempt.outcome
    if outcome and outcome.generation and outcome.generation.completed_at and outcome.ended_at >= began_at:
        late = wall_clock.now() - outcome.ended_at
        DETECTION.record(max(0.0, late.total_seconds()), model=attempt.intent.model)


def _deadline(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds
