"""See a production from its storyboard to its clips, without an account."""

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

from prefect_seedance.cli.job import Times
from prefect_seedance.cli.options import PLAIN, Verbose
from prefect_seedance.cli.printing import command, program, show
from prefect_seedance.cli.produce import produce
from prefect_seedance.cli.subprocesses import leashed
from prefect_seedance.errors import SetupError
from prefect_seedance.report.manifest import ExitCode

app = App(
    name="demo",
    default_parameter=PLAIN,
    help_epilogue="A stand-in for the API runs beside it and makes videos that blend one image into the "
    "next. All else is as with an account: Prefect, ledger, archive. A second run makes nothing again.",
)

_KEY = "demo-key"
_SPEED = 10
"""An eight-second clip takes six to nine seconds then: long enough to watch."""

_TIMES = Times(deadline=600.0, first_look=1.0, look_every=0.5)

_EXAMPLE = "examples/lighthouse/storyboard.yaml"
_PACKAGE = Path(__file__).parents[1]


@app.default
def demo(
    storyboard: Annotated[str, Parameter(help="What to make instead of the example.")] = "",
    /,
    *,
    archive: Annotated[str, Parameter(help="Folder to put clips in. [./productions]")] = "productions",
    verbose: Verbose = False,
) -> int:
    """Produce an example with a stand-in for the API, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    storyboard, folder = storyboard or str(_example()), _folder(archive)
    with _sandbox(folder / "images") as url:
        os.environ.update(SEEDANCE_API_KEY=_KEY, SEEDANCE_BASE_URL=url)
        code = produce(
            storyboard,
            archive=str(folder),
            images_url=f"{url}/hosted/",
            times=_TIMES,
            verbose=verbose,
        )
    if code == ExitCode.complete:
        show(*_farewell(storyboard))
    return code


def _example() -> Path:
    """Find the example, which is in the package if it was installed, and beside it in the repository."""
    places = (_PACKAGE / _EXAMPLE, _PACKAGE.parent / _EXAMPLE)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise SetupError(f"The example {_EXAMPLE} is not here; name a storyboard of your own")
    return found if Path.cwd() not in found.parents else found.relative_to(Path.cwd())


def _folder(archive: str) -> Path:
    """Return the archive's folder, with the folder of images that the stand-in serves."""
    if "://" in archive:
        raise SetupError("The demo archives in a folder, from which the stand-in gets the images; name one")
    folder = Path(archive).expanduser().absolute()
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"The folder {folder} cannot be made ({error.strerror}); name another") from None
    return folder


@contextmanager
def _sandbox(images: Path) -> Iterator[str]:
    """Run the stand-in on any free port, and say where it is."""
    words = ("--port", 0, "--api-key", _KEY, "--speed", _SPEED, "--serve", images)
    with leashed("prefect_seedance.sandbox", *words, out=subprocess.PIPE) as child:
        said = child.stdout.readline().decode().strip() if child.stdout else ""
        url = said.rpartition(" ")[2]
        if not url.startswith("http"):
            raise SetupError(f"The stand-in for the API did not start ({said or 'it said nothing'})")
        yield url


def _farewell(storyboard: str) -> Iterator[Text]:
    yield Text("\nA second run reuses all of it. With an account, this makes it for real:")
    yield command("export SEEDANCE_API_KEY=…")
    yield command(f"{program()} produce {shlex.quote(storyboard)} --archive s3://YOUR-BUCKET")
