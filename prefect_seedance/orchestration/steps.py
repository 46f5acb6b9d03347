"""The steps of a production as Prefect tasks, with their artifacts."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import TypeVar, cast

from prefect.utilities.annotations import opaque

from prefect_seedance.film.scenes import Film
from prefect_seedance.options import JoinStyle
from prefect_seedance.orchestration import artifacts, tasks
from prefect_seedance.orchestration.reported_steps import ReportedSteps
from prefect_seedance.report.manifest import Manifest, record
from prefect_seedance.report.recipe import Report
from prefect_seedance.report.thumbnails import Thumbnails

_T = TypeVar("_T")


class TaskSteps(ReportedSteps):
    """Runs each clip as one task of the current flow run, and film and report as one each.

    A task run costs several milliseconds and a dozen rows and events, so the steps of a clip share one.
    """

    async def run_clip(self, name: str, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run all steps of one clip as a task run of this name."""
        return cast(_T, await tasks.run_clip(name, _whole(work)))

    async def record(self, manifest: Manifest) -> None:
        """Store the manifest, and show it in Prefect."""
        try:
            await record(manifest, self.session.store)
        finally:
            await artifacts.show_manifest(manifest)

    async def join(self, manifest: Manifest, *, style: JoinStyle) -> Film:
        """Run `join_film`."""
        return await tasks.join_film(_whole(manifest), archive=self.settings.archive, style=style)

    async def report(
        self, manifest: Manifest, *, price_per_second: Decimal | None, thumbnails: Thumbnails
    ) -> Report:
        """Write the report as a task run, and show it in Prefect."""
        write = partial(super().report, manifest, price_per_second=price_per_second, thumbnails=thumbnails)
        report = cast(Report, await tasks.run_report(f"report on {manifest.label}", _whole(write)))
        await artifacts.show_report(manifest, report, store=self.session.store)
        return report


def _whole(value: _T) -> _T:
    """Annotate an argument so that Prefect does not search its fields for results of other tasks.

    Measured: the search takes a fifth of the time that a clip costs. The task receives the value itself.
    """
    return cast(_T, opaque(value))
