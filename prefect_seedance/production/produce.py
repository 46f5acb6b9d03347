"""Make a production in one call, without Prefect."""

from typing import Literal

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.errors import SetupError
from prefect_seedance.options import Budget, Hosting, Loading, Output, RetryPolicy, Waiting
from prefect_seedance.production.prepare import check_without_account, prepare
from prefect_seedance.production.progress import OnProgress, ignore
from prefect_seedance.production.run import run
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.storyboard.loader import Source
from prefect_seedance.storyboard.parser import ParsedStoryboard


async def produce(
    storyboard: Source | ParsedStoryboard,
    *,
    archive: str = "",
    credentials: Credentials | None = None,
    name: str = "",
    loading: Loading = Loading(),
    hosting: Hosting = Hosting(),
    retry: RetryPolicy = RetryPolicy(),
    budget: Budget = Budget(),
    waiting: Waiting = Waiting(),
    output: Output = Output(),
    on_incomplete: Literal["raise", "return"] | None = None,
    on_progress: OnProgress = ignore,
) -> Manifest:
    """Make all clips of a storyboard that the archive lacks, and return the manifest.

    It does the same as `prefect_seedance.produce`, whose arguments are described there, and neither needs nor
    imports Prefect.
    """
    try:
        account = credentials or Credentials.from_env()
    except SetupError as error:
        await check_without_account(error, storyboard, archive, loading=loading)
    settings = RunSettings(
        credentials=account,
        archive=archive,
        hosting=hosting,
        retry=retry,
        budget=budget,
        waiting=waiting,
    )
    prepared = await prepare(storyboard, settings, name=name, loading=loading, output=output)
    async with Session.open(prepared.settings) as session:
        steps = PlainSteps(session=session, settings=prepared.settings)
        manifest = await run(prepared, session=session, steps=steps, on_progress=on_progress)
    return manifest.raise_for_status(in_flight=not waiting.wait) if on_incomplete == "raise" else manifest
