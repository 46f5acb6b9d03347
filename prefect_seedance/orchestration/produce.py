"""Make a production in one call: as Prefect tasks in a flow run, as plain coroutines elsewhere."""

from dataclasses import replace
from typing import Literal

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.errors import BudgetError, SetupError
from prefect_seedance.options import Budget, Hosting, Loading, Output, RetryPolicy, Waiting
from prefect_seedance.orchestration import artifacts, events, run_events
from prefect_seedance.orchestration.blocks import find_credentials, open_archive
from prefect_seedance.orchestration.cancellation import cancel_on_signal
from prefect_seedance.orchestration.flow_runs import continuation, current_run
from prefect_seedance.orchestration.run_identity import lasting_run_id
from prefect_seedance.orchestration.run_log import log_end, log_settled, run_logger
from prefect_seedance.orchestration.session import shared_session
from prefect_seedance.orchestration.steps import TaskSteps
from prefect_seedance.production.prepare import Prepared, check_without_account, prepare
from prefect_seedance.production.progress import OnProgress, Progress, ignore
from prefect_seedance.production.run import run
from prefect_seedance.production.settings import RunSettings, StoredArchive
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.production.waits import OnWait, log_wait
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.storyboard.loader import Source
from prefect_seedance.storyboard.parser import ParsedStoryboard


async def produce(
    storyboard: Source | ParsedStoryboard,
    *,
    archive: str | StoredArchive = "",
    credentials: Credentials | str = "",
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
    """Make the clips of a storyboard that are not archived yet, and return the status of every clip.

    The same call serves the first run, the retry after a crash, the run after an edit and the scheduled run:
    it reuses archived clips, waits for generations in flight, and pays only for missing clips. A clip that
    fails does not stop the others.

    In a flow run each clip is a task run, followed by those of film and report. In a sync flow call
    ``asyncio.run(produce(...))``. Outside of a flow run no Prefect server is needed. SIGTERM, and the
    ``timeout_seconds`` of a flow, cancel it in an orderly way: it stores responses in transit and manifest.

    Args:
        storyboard: A file's path or URL, a folder of images, a `Storyboard` or `ClipList`, a dict of the same
            form, or the result of `load_storyboard`.
        archive: Where clips and ledger are stored: a folder's path, ``s3://``, ``gs://``, ``az://``, a block,
            or ``block:NAME``. Default: the environment's ``SEEDANCE_ARCHIVE``.
        credentials: The account, or the name of a stored credentials block. Default: the environment's
            ``SEEDANCE_API_KEY``.
        name: Name of the production. Default: the storyboard's title.
        loading: How to load the storyboard.
        hosting: How the API can fetch local images.
        retry: Which failed clips to pay for again.
        budget: How much video the run may buy.
        waiting: How long to wait, and how often to poll.
        output: What to make from the clips.
        on_incomplete: What to do at the end if clips are missing. Default: ``"raise"`` in a flow run, so that
            it fails; ``"return"`` elsewhere. A run that does not wait may leave generations in flight.
        on_progress: Called for every step of a clip.

    Raises:
        StoryboardError: If the storyboard has mistakes; nothing was spent.
        SetupError: If account, archive, the images' hosting or the callbacks are wrong; nothing was spent.
        BudgetError: If the run would buy more than it may; nothing was spent.
        IncompleteError: If clips are missing at the end; the manifest and all finished clips are stored.
    """

    async def make() -> Manifest:
        account = await _account(credentials, storyboard, archive, loading)
        settings = RunSettings(
            credentials=account, archive=archive, hosting=hosting, retry=retry, budget=budget, waiting=waiting
        )
        return await _make(
            storyboard, settings, name=name, loading=loading, output=output, on_progress=on_progress
        )

    return _checked(await cancel_on_signal(make()), on_incomplete, waits=waiting.wait)


def _checked(
    manifest: Manifest, on_incomplete: Literal["raise", "return"] | None, *, waits: bool
) -> Manifest:
    """Return the manifest, or raise if clips are missing and the caller, or else a flow run, wants that."""
    if on_incomplete == "raise" or (on_incomplete is None and artifacts.in_flow_run()):
        return manifest.raise_for_status(in_flight=not waits)
    return manifest


async def _make(
    storyboard: Source | ParsedStoryboard,
    settings: RunSettings,
    *,
    name: str,
    loading: Loading,
    output: Output,
    on_progress: OnProgress,
) -> Manifest:
    """Prepare a production, and run it."""
    try:
        prepared = await prepare(
            storyboard, settings, name=name, loading=loading, output=output, open_archive=open_archive
        )
    except BudgetError as error:
        events.budget_exceeded(str(error), settings.credentials)
        raise
    warn(prepared.warning)
    return await run_prepared(prepared, on_progress=on_progress)


async def _account(
    credentials: Credentials | str,
    storyboard: Source | ParsedStoryboard,
    archive: str | StoredArchive,
    loading: Loading,
) -> Credentials:
    """Return the account; if there is none, raise that together with the mistakes that show without it."""
    try:
        return await find_credentials(credentials)
    except SetupError as error:
        await check_without_account(error, storyboard, archive, loading=loading, open_archive=open_archive)


async def run_prepared(
    prepared: Prepared, *, on_progress: OnProgress = ignore, on_wait: OnWait = lambda _: None
) -> Manifest:
    """Run a prepared production, in a flow run as tasks."""
    in_flow = artifacts.in_flow_run()
    continued_by = () if prepared.settings.waiting.wait else continuation()
    settings = replace(
        prepared.settings,
        run_id=await lasting_run_id(prepared.settings.run_id, of=prepared.settings.production),
        flow_run=current_run() or prepared.settings.flow_run,
        continued_by=continued_by,
    )
    prepared, finished = replace(prepared, settings=settings), set[str]()

    def count(progress: Progress) -> None:
        if progress.is_final:
            finished.add(progress.clip.fingerprint)
        log_settled(progress)
        on_progress(progress)

    def report_wait(text: str) -> None:
        log_wait(text, logger=run_logger())
        on_wait(text)

    async with shared_session(settings) as shared:
        plain = PlainSteps(session=shared.session, settings=settings)
        steps = TaskSteps.of(shared, settings) if in_flow else plain
        async with artifacts.progress(prepared.plan, lambda: len(finished)):
            manifest = await run(
                prepared, session=shared.session, steps=steps, on_progress=count, on_wait=report_wait
            )
        log_end(manifest, shared.session.store)
        await run_events.production_ended(
            manifest,
            prompts={clip.fingerprint: clip.prompt for clip in prepared.plan.distinct},
            store=shared.session.store,
            ledger=shared.session.ledger,
        )
    for announcement in manifest.announcements:
        events.model_deprecated(announcement, production=manifest.production)
    return manifest


def warn(text: str) -> None:
    """Log each line as a warning in the flow run, or in Python's log outside of one."""
    for line in text.splitlines():
        run_logger().warning("%s", line)
