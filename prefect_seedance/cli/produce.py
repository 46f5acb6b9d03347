"""Make the clips of a storyboard that are not archived yet."""

import asyncio
import json as jsons
import logging
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

from cyclopts import App, Parameter

from prefect_seedance.cli.archives import open_archive
from prefect_seedance.cli.errors import complain, warn
from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.options import PLAIN, Archive, Json, Name, ProduceOptions, Storyboard, Verbose
from prefect_seedance.cli.plain_run import run_plain
from prefect_seedance.cli.prefect_settings import configures_server
from prefect_seedance.cli.printing import program, show, width
from prefect_seedance.cli.progress import Screen, screen_for
from prefect_seedance.cli.summary import summary
from prefect_seedance.errors import SeedanceError, SetupError
from prefect_seedance.production.prepare import Prepared, check_without_account, prepare
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.report.manifest import Manifest, production_key

app = App(
    name="produce",
    default_parameter=PLAIN,
    help_epilogue="Run the command as often as you like: it reuses archived clips, waits for generations in "
    "flight, and pays only for missing clips.\n\n"
    "Exit codes: 0 everything is archived; 1 a clip failed, or is paid and not archived; 2 the set-up is "
    "wrong and nothing was spent; 3 a submission is unresolved; 4 generations are in flight. If several "
    "apply, the first of these counts: unresolved, not archived, in flight, failed.\n\n"
    "A duration is a number of seconds, or a number with a unit: 90, 90s, 90m, 2h.",
)

_QUIET: Final[Mapping[str, str]] = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
}
"""Prefect's own lines would mix with ours; its server receives them all the same."""

_NOT_TRACKED: Final[Mapping[str, str]] = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@app.default
def produce(
    storyboard: Storyboard,
    /,
    *,
    archive: Archive,
    name: Name = "",
    options: ProduceOptions = ProduceOptions(),
    prefect: Annotated[
        bool,
        Parameter(help="Run as a flow run; without a configured Prefect server, start a temporary one."),
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Make the missing clips, show the progress, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    configure_logs(verbose=verbose)
    began_at = datetime.now(UTC)
    prepared = asyncio.run(_prepare(storyboard, archive, name, options))
    if prepared.warning:
        warn(prepared.warning)
    with screen_for(prepared.plan.title, plain=verbose) as screen:
        try:
            manifest = _run(prepared, screen, prefect=prefect or configures_server())
            manifest = manifest or asyncio.run(_stored_manifest(prepared, since=began_at))
        except (SeedanceError, KeyboardInterrupt) as error:
            if not screen.has_spent:
                raise
            return _complain_late(error, json=json)
    show(*([_json(manifest)] if json else summary(manifest, again=_command(), width=width())))
    return ExitCode[manifest.verdict.name]


def configure_logs(*, verbose: bool) -> None:
    """Print the requests and Prefect's logs, or neither; settings of the user take precedence.

    Prefect reads its settings when it is loaded, which is later.
    """
    for name, value in {**_NOT_TRACKED, **({} if verbose else _QUIET)}.items():
        os.environ.setdefault(name, value)
    if verbose:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        ours = logging.getLogger("prefect_seedance")
        ours.handlers[:] = [handler]
        ours.setLevel(logging.DEBUG)
    elif not sys.warnoptions:
        warnings.simplefilter("ignore")


async def _prepare(storyboard: str, archive: str, name: str, options: ProduceOptions) -> Prepared:
    try:
        credentials = await options.account.find()
    except SetupError as error:
        await check_without_account(
            error, storyboard, archive, loading=options.loading, open_archive=open_archive
        )
    settings = RunSettings(
        credentials=credentials,
        archive=archive,
        hosting=options.hosting,
        retry=options.retry,
        budget=options.budget,
        waiting=options.waiting,
    )
    return await prepare(
        storyboard,
        settings,
        name=name,
        loading=options.loading,
        output=options.output,
        open_archive=open_archive,
    )


def _run(prepared: Prepared, screen: Screen, *, prefect: bool) -> Manifest | None:
    if not prefect:
        return run_plain(prepared, screen)
    from prefect_seedance.cli.flow_run import run_as_flow  # noqa: PLC0415 -- loads Prefect

    return run_as_flow(prepared, screen)


async def _stored_manifest(prepared: Prepared, *, since: datetime) -> Manifest:
    """Read the manifest that a stopped run left in the archive.

    Raises:
        KeyboardInterrupt: If the run was stopped before it began.
    """
    store = await open_archive(prepared.settings.archive)
    content = await store.read(production_key(prepared.plan.name, "manifest.json"))
    manifest = Manifest.model_validate_json(content) if content else None
    if manifest is None or manifest.began_at < since:
        raise KeyboardInterrupt
    return manifest


def _complain_late(error: SeedanceError | KeyboardInterrupt, *, json: bool) -> int:
    """Report a run that submitted clips and left no manifest."""
    reason = str(error) or "The run was stopped"
    message = f"{reason}. The ledger has every submission; run the same command again to continue"
    return complain(type(error).__name__, message, code=ExitCode.failed, json=json)


def _json(manifest: Manifest) -> str:
    content = {**manifest.model_dump(mode="json"), "exit_code": ExitCode[manifest.verdict.name]}
    return jsons.dumps(content, indent=2, ensure_ascii=False)


def _command() -> str:
    return shlex.join([program(), *sys.argv[1:]])
