"""Inspect archived clips, and make their film and report."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from types import TracebackType
from typing import Self

from prefect_seedance.clips.archive import Clip
from prefect_seedance.errors import SeedanceError
from prefect_seedance.film.inspections import ClipInspection, Similarity
from prefect_seedance.film.join import prune_films
from prefect_seedance.film.seams import Inspector
from prefect_seedance.options import Output
from prefect_seedance.printable import get_logger
from prefect_seedance.production.cuts import Cuts
from prefect_seedance.production.limits import price_of
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import Steps
from prefect_seedance.report.clip_names import name_clips
from prefect_seedance.report.known_findings import KnownFindings
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.report.seam_check import check_seams
from prefect_seedance.report.thumbnails import Thumbnails
from prefect_seedance.storyboard.plan import PlannedClip

_log = get_logger(__name__)


_INSPECTIONS_SECONDS = 60.0
_SECONDS_PER_INSPECTION = 10.0
"""Bound of the inspections that are left when all clips are made. One takes up to 5 s on one processor, or
20 s if a host of images does not answer, and several run at once. The report shows what they found."""

_CANCELLED_SECONDS = 5.0
"""How long to wait for cancelled inspections, so that they end before the archive is closed."""


@dataclass(frozen=True, kw_only=True)
class OutputMaker:
    """Inspects and compares clips in the background, and makes film and report.

    Use as an async context manager; leaving it cancels the unfinished work.

    Attributes:
        fingerprints: Of the production's clips, in order.
        known: What the last run of the production found.
    """

    output: Output
    settings: RunSettings
    steps: Steps
    inspector: Inspector
    fingerprints: Sequence[str]
    known: KnownFindings = field(default_factory=KnownFindings)
    _inspecting: list[asyncio.Task[None]] = field(default_factory=list)

    @cached_property
    def _cuts(self) -> Cuts:
        return Cuts(self.fingerprints if self.output.film else (), self._compare)

    @cached_property
    def _thumbnails(self) -> Thumbnails:
        return Thumbnails(self.inspector.store, clips=len(self.fingerprints))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = [*(task for task in self._inspecting if not task.done()), *self._cuts.unfinished]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CANCELLED_SECONDS)
        await self._thumbnails.aclose()

    def begin_inspection(self, clip: Clip, planned: PlannedClip) -> None:
        """Inspect a clip in the background, while others are made, unless the last run has done so."""
        if found := self.known.inspection(clip, images=len(planned.frames)):
            self._cuts.add(clip.fingerprint, found)
        else:
            self._inspecting.append(asyncio.create_task(self._inspect(clip, planned)))

    async def _inspect(self, clip: Clip, planned: PlannedClip) -> None:
        """Inspect a clip; it is archived, so a failure is only logged."""
        try:
            inspection = await self.steps.inspect(clip, images=planned.frames)
        except Exception as error:  # noqa: BLE001 -- see above
            _log.warning("%s is archived and could not be inspected: %s", clip.name, error)
            _log_unexpected(error, f"Inspecting {clip.name}")
        else:
            self._cuts.add(clip.fingerprint, inspection)
            if self.output.report:
                ratio = clip.facts.width / clip.facts.height
                self._thumbnails.begin(inspection.inspection, ratio=ratio)

    async def make(self, manifest: Manifest) -> Manifest:
        """Make film and report, and add them, or why they could not be made, to the manifest.

        Each part has a bound, so that nothing that only serves people keeps a run from ending.
        """
        await self._finish_inspections()
        following = await self._similarities(manifest) if self.output.film else {}
        made = check_seams(
            manifest, self._cuts.inspected, following, min_similarity=self.output.min_similarity
        )
        made = await self._name(made)
        if self.output.film:
            made = await self._join(made)
        if self.output.report:
            made = await self._report(made)
        if made == manifest:
            return manifest
        try:
            await self.steps.record(made)
        except SeedanceError:
            _log.exception("Could not add film and report to the stored manifest of %s", made.production)
            return made
        if self.output.film:
            await self._prune(made)
        return made

    async def _name(self, manifest: Manifest) -> Manifest:
        """Give the clips names for people; without them the production is no less complete."""
        try:
            return await name_clips(manifest, self.inspector.store)
        except SeedanceError as error:
            _log.warning("The clips of %s have no names for people: %s", manifest.production, error)
            return manifest

    async def _prune(self, manifest: Manifest) -> None:
        """Delete former films; the next run can do it too."""
        try:
            await prune_films(self.inspector.store, manifest.production)
        except SeedanceError as error:
            _log.info("Former films of %s could not be deleted: %s", manifest.production, error)

    async def _finish_inspections(self) -> None:
        """Wait for the inspections, and stop those that take too long."""
        if left := [task for task in self._inspecting if not task.done()]:
            _, late = await asyncio.wait(left, timeout=_inspection_seconds(len(left)))
            for task in late:
                task.cancel()
            if late:
                _log.warning("%d of the clips could not be inspected in time; run again for them", len(late))

    async def _similarities(self, manifest: Manifest) -> Mapping[int, Similarity]:
        """Return how similar the end of each clip is to the start of the next, where both are archived."""
        cuts = {
            entry.number: self._cuts.begin((entry.fingerprint, after.fingerprint))
            for entry, after in pairwise(manifest.clips)
        }
        comparing = {number: task for number, task in cuts.items() if task}
        if left := self._cuts.unfinished:
            await asyncio.wait(left, timeout=_inspection_seconds(len(left)))
        if self._cuts.unfinished:
            _log.warning("The cuts of %s could not be compared in time; run again", manifest.production)
        late = Similarity(reason="not in time")
        return {number: task.result() if task.done() else late for number, task in comparing.items()}

    async def _compare(self, inspection: ClipInspection, following: ClipInspection) -> Similarity:
        """Compare a cut; both clips are archived, so a failure is only a reason."""
        videos = inspection.inspection.sha256, following.inspection.sha256
        if found := self.known.following.get(videos):
            return found
        try:
            return await self.inspector.compare_next(inspection, following)
        except Exception as error:  # noqa: BLE001 -- becomes a reason in the manifest
            _log_unexpected(error, "Comparing a cut")
            return Similarity(reason=str(error) or type(error).__name__)

    async def _join(self, manifest: Manifest) -> Manifest:
        try:
            film = await self.steps.join(manifest, style=self.output.style)
        except Exception as error:  # noqa: BLE001 -- becomes a line of the manifest
            _log_unexpected(error, f"Joining {manifest.production}")
            return manifest.model_copy(update={"film_reason": str(error)})
        return manifest.model_copy(update={"film": film})

    async def _report(self, manifest: Manifest) -> Manifest:
        price = price_of(self.output, self.settings.credentials)
        try:
            report = await self.steps.report(manifest, price_per_second=price, thumbnails=self._thumbnails)
        except Exception as error:  # noqa: BLE001 -- becomes a line of the manifest
            _log_unexpected(error, f"The report on {manifest.production}")
            return manifest.model_copy(update={"report_reason": str(error)})
        return manifest.model_copy(update={"report": report.key})


def _inspection_seconds(clips: int) -> float:
    return _INSPECTIONS_SECONDS + clips * _SECONDS_PER_INSPECTION


def _log_unexpected(error: Exception, doing: str) -> None:
    if not isinstance(error, SeedanceError):
        _log.error("%s failed unexpectedly", doing, exc_info=error)
