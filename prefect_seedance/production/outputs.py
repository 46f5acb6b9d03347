"""Inspect archived clips, and make their film and report."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from prefect_seedance.clips.archive import Clip
from prefect_seedance.errors import SeedanceError
from prefect_seedance.film.seams import ClipInspection, Inspector, Similarity
from prefect_seedance.options import Output
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import Steps
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.report.seam_check import check_seams
from prefect_seedance.storyboard.plan import PlannedClip

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OutputMaker:
    """Inspects clips, and makes film and report."""

    output: Output
    settings: RunSettings
    steps: Steps
    inspector: Inspector

    async def inspect(self, clip: Clip, planned: PlannedClip) -> ClipInspection | None:
        """Inspect a clip; it is archived, so a failure is only logged."""
        try:
            return await self.steps.inspect(clip, images=planned.images)
        except Exception as error:  # noqa: BLE001 -- see above
            _log_unexpected(error, f"Inspecting {clip.name}")
            return None

    async def make(self, manifest: Manifest, inspections: Mapping[str, ClipInspection]) -> Manifest:
        """Make film and report, and add them, or why they could not be made, to the manifest."""
        following = await self._compare_neighbours(manifest, inspections) if self.output.film else {}
        manifest = check_seams(manifest, inspections, following, min_similarity=self.output.min_similarity)
        if self.output.film:
            manifest = await self._join(manifest)
        if self.output.report:
            manifest = await self._report(manifest)
        try:
            await self.steps.record(manifest)
        except SeedanceError:
            _log.exception("Could not add film and report to the stored manifest of %s", manifest.production)
        return manifest

    async def _compare_neighbours(
        self, manifest: Manifest, inspections: Mapping[str, ClipInspection]
    ) -> Mapping[int, Similarity]:
        """Compare the end of each clip with the start of the next, where both are archived."""
        pairs = {
            entry.number: (inspections[entry.fingerprint], inspections[following.fingerprint])
            for entry, following in pairwise(manifest.clips)
            if entry.fingerprint in inspections and following.fingerprint in inspections
        }
        found = await asyncio.gather(*[self.inspector.compare_next(*pair) for pair in pairs.values()])
        return dict(zip(pairs, found, strict=True))

    async def _join(self, manifest: Manifest) -> Manifest:
        try:
            film = await self.steps.join(manifest, style=self.output.style)
        except Exception as error:  # noqa: BLE001 -- becomes a line of the manifest
            _log_unexpected(error, f"Joining {manifest.production}")
            return manifest.model_copy(update={"film_reason": str(error)})
        return manifest.model_copy(update={"film": film})

    async def _report(self, manifest: Manifest) -> Manifest:
        price = self.output.price_per_second
        if price is None:
            price = self.settings.credentials.price_per_second or None
        try:
            report = await self.steps.report(manifest, price_per_second=price)
        except Exception as error:  # noqa: BLE001 -- becomes a line of the manifest
            _log_unexpected(error, f"The report on {manifest.production}")
            return manifest.model_copy(update={"report_reason": str(error)})
        return manifest.model_copy(update={"report": report.key})


def _log_unexpected(error: Exception, doing: str) -> None:
    if not isinstance(error, SeedanceError):
        _log.error("%s failed unexpectedly", doing, exc_info=error)
