"""Run the wheel on every supported Python, with the newest and with the oldest dependencies.

Run: make matrix, or .venv/bin/python -m tests.matrix [--leg 3.12-newest …]
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from tests.processes import environment
from tests.pythons import ROOT, build, create_environment, find_pythons, install, resolve, supported, versions

_TESTS = (
    "tests/api",
    "tests/cli",
    "tests/flows/test_produce.py",
    "tests/journeys/test_images.py",
    "tests/journeys/test_s3.py",
    "tests/storage",
    "tests/video",
)
"""The tests that use dependencies most."""

_PARTS = ("tests", "flows", "deployments", "examples", "docs", "pyproject.toml")
"""What the tests need of the repository, without the package itself."""

_STEP_SECONDS = 1800.0

app = App(name="matrix", help=__doc__)


@dataclass(frozen=True)
class Leg:
    """One environment."""

    version: str
    resolution: str

    @property
    def name(self) -> str:
        """Its name for the command line and the report."""
        return f"{self.version}-{'newest' if self.resolution == 'highest' else 'oldest'}"


def legs() -> Iterator[Leg]:
    """Yield the newest dependencies on each supported Python, then the lower bounds on the oldest."""
    yield from (Leg(version, "highest") for version in supported())
    yield Leg(supported()[0], "lowest-direct")


@app.default
def matrix(leg: Annotated[Sequence[str], Parameter(help="Only the legs with these names.")] = ()) -> int:
    """Run each leg, and return 1 if one fails or its Python is missing."""
    chosen = [each for each in legs() if not leg or each.name in leg]
    with tempfile.TemporaryDirectory(prefix="matrix-") as name:
        folder = Path(name)
        build(folder, "--wheel")
        (wheel,) = folder.glob("*.whl")
        _copy_tests(folder / "repository")
        results = {each.name: _run(each, wheel, folder) for each in chosen}
    print(*(f"{name}: {result}" for name, result in results.items()), sep="\n")
    return int(not results or any(result != "passed" for result in results.values()))


def _run(leg: Leg, wheel: Path, folder: Path) -> str:
    """Run a leg, and return how it ended."""
    print(f"\n== {leg.name}", flush=True)
    python = find_pythons().get(leg.version)
    if python is None:
        return f"MISSING: no Python {leg.version} on the PATH or in pyenv; install it"
    commands = create_environment(folder / leg.name, python=python)
    try:
        _install(leg, wheel, commands, pins=folder / f"{leg.name}.txt")
        _step("the demo", folder / leg.name, commands / "prefect-seedance", "demo")
        _step(
            "the tests", folder / "repository", commands / "pytest", "-q", "-p", "no:cacheprovider", *_TESTS
        )
    except subprocess.SubprocessError as error:
        return f"FAILED: {error}"
    return "passed"


def _install(leg: Leg, wheel: Path, commands: Path, *, pins: Path) -> None:
    """Install the wheel, then the tests' tools, which do not change what the wheel was resolved to."""
    pins.write_text(resolve(leg.resolution, python=commands / "python"), encoding="utf-8")
    install(commands, "--constraints", pins, f"{wheel}[aws]")
    install(commands, "--constraints", pins, "--group", f"{ROOT / 'pyproject.toml'}:dev")
    print(versions(commands), flush=True)


def _step(name: str, folder: Path, *command: object) -> None:
    """Run a command in a folder that does not contain the package.

    Raises:
        SubprocessError: If it fails or takes too long.
    """
    print(f"-- {name}", flush=True)
    env = environment(folder / "prefect", PYTHONPATH=str(folder))
    subprocess.run([*map(str, command)], env=env, cwd=folder, check=True, timeout=_STEP_SECONDS)


def _copy_tests(folder: Path) -> None:
    """Copy the tests without the package, so that they import the installed one."""
    folder.mkdir()
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)


if __name__ == "__main__":
    sys.exit(app())
