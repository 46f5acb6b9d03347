"""Make the clips of a storyboard that an archive lacks."""

import asyncio
import json as jsons
import shlex
import signal
import sys
from typing import Annotated

from cyclopts import App, Parameter

from prefect_seedance.cli.errors import complain, warn
from prefect_seedance.cli.job import Account, Extras, Job, Times, prepare_prefect
from prefect_seedance.cli.options import PLAIN, Archive, Json, Source, Verbose, Wanted
from prefect_seedance.cli.printing import program, show, width
from prefect_seedance.cli.progress import screen_for
from prefect_seedance.cli.summary import account as told
from prefect_seedance.errors import SeedanceError
from prefect_seedance.report.manifest import ExitCode, Manifest

app = App(
    name="produce",
    default_parameter=PLAIN,
    help_epilogue="Run it as often as you like: what exists is reused, what is under way is waited for, and "
    "only what is missing is bought.\n\n"
    "Exit codes: 0 everything is archived; 3 a submission is unresolved; 4 generations are in flight; "
    "1 a clip failed; 2 something was wrong before anything was spent. "
    "Of several that hold, the first of this list is given.",
)


@app.default
def produce(
    storyboard: Source,
    /,
    *,
    archive: Archive,
    images_url: Annotated[
        str, Parameter(help="Where the archive's images folder can be fetched, if the archive is a folder.")
    ] = "",
    callback_url: Annotated[
        str,
        Parameter(help="Public address of a receiver, as `callbacks` serves it, to be told what has ended."),
    ] = "",
    no_wait: Annotated[
        bool, Parameter(help="Leave in flight what has not ended; the same command archives it later.")
    ] = False,
    wanted: Wanted = Wanted(),
    account: Account = Account(),
    times: Times = Times(),
    extras: Extras = Extras(),
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Make the clips that are missing, show how they get on, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    prepare_prefect(verbose=verbose)
    job = Job(
        storyboard=storyboard,
        archive=archive,
        images_url=images_url,
        wanted=wanted,
        account=account,
        times=times,
        extras=extras,
        callback_url=callback_url,
        wait=not no_wait,
    )
    checked = asyncio.run(job.check())
    if checked.doubt:
        warn(checked.doubt)
    with screen_for(checked.plan.title, plain=verbose, error=json) as screen:
        try:
            manifest = job.run(checked, screen)
        except (SeedanceError, KeyboardInterrupt) as error:
            if not screen.has_spent:
                raise
            return _complain_late(error, json=json)
    show(*([_json(manifest)] if json else told(manifest, again=_command(), width=width())))
    return manifest.exit_code


def _complain_late(error: SeedanceError | KeyboardInterrupt, *, json: bool) -> int:
    """Say that there is no account of a run that has spent something."""
    said = str(error) or "The run was stopped"
    message = f"{said}. What was asked for is in the ledger; run the same again to continue"
    return complain(type(error).__name__, message, code=ExitCode.failed, json=json)


def _json(manifest: Manifest) -> str:
    said = {**manifest.model_dump(mode="json"), "exit_code": manifest.exit_code}
    return jsons.dumps(said, indent=2, ensure_ascii=False)


def _command() -> str:
    return shlex.join([program(), *sys.argv[1:]])
