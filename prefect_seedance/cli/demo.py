"""Run a production from storyboard to film, without an account."""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from prefect_seedance.cli.exit_codes import ExitCode
from prefect_seedance.cli.options import PLAIN, ProduceOptions, Verbose
from prefect_seedance.cli.printing import command, program, show
from prefect_seedance.cli.produce import produce
from prefect_seedance.cli.shipped import shipped
from prefect_seedance.cli.subprocesses import child_process
from prefect_seedance.errors import SetupError
from prefect_seedance.options import Hosting, Waiting

app = App(
    name="demo",
    default_parameter=PLAIN,
    help_epilogue="A stand-in for the API makes videos that blend one image into the next. Everything else "
    "is the same as with an account: Prefect, ledger, archive. A second run reuses every clip.",
)

_KEY = "demo-key"
_SPEED = 10
"""An eight-second clip then takes six to nine seconds: long enough to watch."""

_WAITING = Waiting(deadline_seconds=600.0, first_poll_seconds=1.0, poll_every_seconds=0.5)


@app.default
def demo(
    storyboard: Annotated[str, Parameter(help="Storyboard to use instead of the example.")] = "",
    /,
    *,
    archive: Annotated[str, Parameter(help="Folder for the clips.")] = "films",
    verbose: Verbose = False,
) -> int:
    """Produce an example with a stand-in for the API, as a flow run of Prefect."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    storyboard, folder = storyboard or str(_example()), _folder(archive)
    with _sandbox(folder / "images") as url:
        os.environ.update(SEEDANCE_API_KEY=_KEY, SEEDANCE_BASE_URL=url)
        code = produce(
            storyboard,
            archive=str(folder),
            options=ProduceOptions(hosting=Hosting(images_url=f"{url}/hosted/"), waiting=_WAITING),
            prefect=True,
            verbose=verbose,
        )
    if code == ExitCode.complete:
        show(*_next_steps(storyboard))
    return code


def _example() -> Path:
    found = shipped("examples/lighthouse/storyboard.yaml")
    return found if Path.cwd() not in found.parents else found.relative_to(Path.cwd())


def _folder(archive: str) -> Path:
    """Create the archive's folder, with the images folder that the stand-in serves."""
    if "://" in archive:
        raise SetupError(
            f"The demo needs a folder as its archive, not {archive!r}; give the path of one as --archive"
        )
    folder = Path(archive).expanduser().absolute()
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"The folder {folder} cannot be created ({error.strerror}); choose another with --archive"
        ) from None
    return folder


@contextmanager
def _sandbox(images: Path) -> Iterator[str]:
    """Run the stand-in on a free port, and return its URL."""
    words = ("--port", 0, "--api-key", _KEY, "--speed", _SPEED, "--serve", images)
    with child_process("prefect_seedance.sandbox", *words, out=subprocess.PIPE) as child:
        output = child.stdout.readline().decode().strip() if child.stdout else ""
        url = output.rpartition(" ")[2]
        if not url.startswith("http"):
            raise SetupError(
                f"The stand-in for the API did not start ({output or 'no output'}). "
                "Run `prefect-seedance sandbox` to see the whole error"
            )
        yield url


def _next_steps(storyboard: str) -> Iterator[Text]:
    yield Text("\nA second run reuses every clip. With an account, these commands make real clips:")
    yield command("export SEEDANCE_API_KEY=…")
    yield command(f"{program()} produce {shlex.quote(storyboard)} --archive s3://YOUR-BUCKET")
