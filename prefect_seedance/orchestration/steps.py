"""The steps of a production as Prefect tasks, with their artifacts."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar, cast

from prefect.utilities.annotations import opaque

from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.records import Attempt
from prefect_seedance.film.inspections import ClipInspection
from prefect_seedance.film.scenes import Film
from prefect_seedance.options import JoinStyle
from prefect_seedance.orchestration import artifacts, tasks
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.manifest import Manifest, record
from prefect_seedance.report.recipe import Report
from prefect_seedance.storyboard.image import SourceImage
from prefect_seedance.storyboard.plan import PlannedClip

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class TaskSteps:
    """Runs the steps as tasks of the current flow run, except inspections, one of which follows each clip."""

    session: Session
    settings: RunSettings

    async def submit(self, clip: PlannedClip, *, deadline_seconds: float) -> Attempt:
        """Run `submit_clip`."""
        return await tasks.submit_clip(
            _whole(clip), settings=_whole(self.settings), deadline_seconds=deadline_seconds
        )

    async def wait(self, attempt: Attempt, *, deadline_seconds: float) -> Attempt:
        """Run `wait_for_clip`."""
        return await tasks.wait_for_clip(
            _whole(attempt), settings=_whole(self.settings), deadline_seconds=deadline_seconds
        )

    async def archive(self, attempt: Attempt, *, deadline_seconds: float) -> Clip:
        """Run `archive_clip`."""
        return await tasks.archive_clip(
            _whole(attempt), settings=_whole(self.settings), deadline_seconds=deadline_seconds
        )

    async def inspect(self, clip: Clip, *, images: Sequence[SourceImage]) -> ClipInspection:
        """Inspect the clip in the shared session, which may have its scan."""
        return await self.session.inspector.inspect(clip, images)

    async def record(self, manifest: Manifest) -> None:
        """Store the manifest, and show it in Prefect."""
        try:
            await record(manifest, self.session.store)
        finally:
            await artifacts.show_manifest(manifest)

    async def join(self, manifest: Manifest, *, style: JoinStyle) -> Film:
        """Run `join_film`."""
        return await tasks.join_film(_whole(manifest), archive=self.settings.archive, style=style)

    async def report(self, manifest: Manifest, *, price_per_second: Decimal | None) -> Report:
        """Run `write_report`, and show the report in Prefect."""
        report = await tasks.write_report(
            _whole(manifest), archive=self.settings.archive, price_per_second=price_per_second
        )
        await artifacts.show_report(manifest, report, store=self.session.store)
        return report


def _whole(value: _T) -> _T:
    """Annotate an argument so that Prefect does not search its fields for results of other tasks.

    Measured: the search takes a fifth of the time that a clip costs. The task receives the value itself.
    """
    return cast(_T, opaque(value))
