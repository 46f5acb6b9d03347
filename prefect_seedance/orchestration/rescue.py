"""Rescue the clips of several archives in a flow run, and report them as events."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prefect_seedance.orchestration.run_events import archives_rescued
from prefect_seedance.orchestration.session import shared_session
from prefect_seedance.orchestration.steps import TaskSteps
from prefect_seedance.production import rescue_archives as plain
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.rescued import RescuedArchive


async def rescue_archives(archives: Sequence[str], settings: RunSettings) -> Sequence[RescuedArchive]:
    """Archive every paid clip that is not archived yet, each as a task of the current flow run.

    Raises:
        SetupError: As `prefect_seedance.production.rescue_archives.rescue_archives` does.
        ArchiveError: Likewise.
    """
    found, prompts = await plain.rescue_archives(archives, settings, open_steps=_task_steps)
    archives_rescued(found, prompts=prompts)
    return found


@asynccontextmanager
async def _task_steps(settings: RunSettings) -> AsyncIterator[TaskSteps]:
    async with shared_session(settings) as shared:
        yield TaskSteps.of(shared, settings)
