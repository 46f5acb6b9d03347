"""The wheel, installed into an empty environment."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import prefect_seedance
from tests.processes import environment, running

ROOT = Path(__file__).parents[2]

_BUILD = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir")
_QUIETLY = ("--quiet", "--quiet", "--disable-pip-version-check")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it into an empty environment, and return the folder of its commands."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*_BUILD, folder, ROOT], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    commands = folder / "venv/bin"
    subprocess.run(
        [commands / "pip", "install", *_QUIETLY, "-c", ROOT / "constraints.txt", wheel],
        check=True,
        capture_output=True,
    )
    return commands


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Return a function that runs one of its commands outside the repository."""

    def ran(command: str, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [installed / command, *map(str, arguments)],
            env=environment(tmp_path / "prefect", **env),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return ran


def test_prints_version(run: Run) -> None:
    """The command prints the version that was built."""
    assert run("prefect-seedance", "--version").stdout == f"{prefect_seedance.__version__}\n"


def test_exports_public_names(run: Run) -> None:
    """All public names can be imported, and the package is typed."""
    program = (
        "import prefect_seedance as p, pathlib\n"
        "assert (pathlib.Path(p.__file__).parent / 'py.typed').is_file()\n"
        "print(*(getattr(p, name).__name__ for name in p._HOMES))"
    )

    ran = run("python", "-c", program)

    assert ran.stderr == ""
    assert len(ran.stdout.split()) == len(prefect_seedance._HOMES)


def test_plans(run: Run, board: Path) -> None:
    """The command plans a storyboard."""
    assert "8 s of video would be billed" in run("prefect-seedance", "plan", board).stdout


def test_serves_the_sandbox(installed: Path, tmp_path: Path) -> None:
    """The sandbox starts and stops."""
    command = (installed / "prefect-seedance", "sandbox", "--port", "0")
    with running(*command, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("Sandbox API on http://127.0.0.1:")


def test_registers_its_blocks(run: Run, prefect_server: str) -> None:
    """Prefect registers the blocks by the package's name."""
    ran = run("prefect", "block", "register", "-m", "prefect_seedance", PREFECT_API_URL=prefect_server)

    assert ran.returncode == 0
    assert "Seedance Credentials" in ran.stdout


def test_demo_works(run: Run, prefect_server: str, tmp_path: Path) -> None:
    """The demo works from the installed wheel."""
    ran = run("prefect-seedance", "demo", PREFECT_API_URL=prefect_server)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "3 made" in ran.stdout
    folder = tmp_path / "productions/productions/lighthouse"
    assert all((folder / file).is_file() for file in ("manifest.json", "film.mp4", "report.html"))
    assert all(f"{folder}/{file}" in ran.stdout for file in ("film.mp4", "report.html"))
