"""The wheel, installed with the newest release of every dependency for the oldest and the newest Python."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import prefect_seedance
from tests.processes import Sandbox, environment, prefect_client, running, undeploy
from tests.pythons import build, create_environment, find_pythons, install

ROOT = Path(__file__).parents[2]
_PYTHONS = sorted({*list(find_pythons())[:1], *list(find_pythons())[-1:]}, key=list(find_pythons()).index)
_COMMAND_SECONDS = 180.0
_INSTALLED = {"PYTHONPATH": ""}
"""Import the installed package, also where the checkout is on the path."""


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build(folder, "--wheel")
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def install_for(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that installs the wheel once for a Python, and returns the folder of its commands."""
    folder = tmp_path_factory.mktemp("environments")

    def installed(version: str) -> Path:
        if not (folder / version).exists():
            install(create_environment(folder / version, python=find_pythons()[version]), wheel)
        return folder / version / "bin"

    return installed


@pytest.fixture
def installed(install_for: Callable[[str], Path]) -> Path:
    """Install the wheel for the oldest Python, and return the folder of its commands."""
    return install_for(_PYTHONS[0])


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Return a function that runs one of its commands outside the repository."""

    def ran(command: str, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        return run_in(tmp_path, installed / command, *arguments, **env)

    return ran


def run_in(folder: Path, *command: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder outside of the repository."""
    return subprocess.run(
        [*map(str, command)],
        env=environment(folder / "prefect", **_INSTALLED, **env),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )


def test_prints_version(run: Run) -> None:
    """The command prints the version that was built."""
    assert run("prefect-seedance", "--version").stdout == f"{prefect_seedance.__version__}\n"


def test_exports_public_names(run: Run) -> None:
    """All public names and flows can be imported, and the package is typed."""
    program = (
        "import prefect_seedance as p, pathlib, sys\n"
        "assert p.__file__.startswith(sys.prefix)\n"
        "assert (pathlib.Path(p.__file__).parent / 'py.typed').is_file()\n"
        "from prefect_seedance import *\n"
        "from prefect_seedance.flows import *\n"
        "print(*p.__all__, *(each.name for each in (generate_clips, storyboard_to_transitions)))"
    )

    ran = run("python", "-c", program)

    assert ran.stderr == ""
    assert ran.stdout.split() == [
        *prefect_seedance.__all__,
        "generate-clips",
        "storyboard-to-transitions",
    ]


def test_types_reach_users(installed: Path, tmp_path: Path) -> None:
    """A program that uses the installed package passes a type checker, and a wrong one does not.

    mypy checks the same program with the linters, and the wheel in `make release-check`.
    """
    program = (ROOT / "tests/typing/consumer.py").read_text(encoding="utf-8")
    (tmp_path / "right.py").write_text(program, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(program.replace('images_url="', 'image_url="'), encoding="utf-8")

    checked = run_in(tmp_path, sys.executable, "-m", "pyright", "--pythonpath", installed / "python")

    errors = re.findall(r"(\w+)\.py:\d+.* error: (.*)", checked.stdout)
    assert [file for file, _ in errors] == ["wrong"], checked.stdout
    assert "image_url" in errors[0][1]


def test_plans(run: Run, board: Path) -> None:
    """The command plans a storyboard."""
    assert "8 s of video would be billed" in run("prefect-seedance", "plan", board).stdout


def test_serves_the_sandbox(installed: Path, tmp_path: Path) -> None:
    """The sandbox starts and stops."""
    command = (installed / "prefect-seedance", "sandbox", "--port", "0")
    env = environment(tmp_path, **_INSTALLED)
    with running(*command, env=env, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("Sandbox API on http://127.0.0.1:")


@pytest.mark.parametrize("version", _PYTHONS)
def test_makes_a_clip(
    version: str, install_for: Callable[[str], Path], tmp_path: Path, sandbox: Sandbox
) -> None:
    """The command makes, verifies and joins a clip."""
    (tmp_path / "clips.yaml").write_text("clips: [{prompt: a bell rings over the sea}]", encoding="utf-8")
    command = install_for(version) / "prefect-seedance"
    options = ("--archive", "archive", "--first-poll", "0.5", "--poll-every", "0.5", "--json")

    ran = run_in(tmp_path, command, "produce", "clips.yaml", *options, "--film", **sandbox.env)

    assert (ran.returncode, ran.stderr.count("error")) == (0, 0), ran.stderr
    manifest = json.loads(ran.stdout)
    assert [clip["status"] for clip in manifest["clips"]] == ["made"]
    assert list((tmp_path / "archive").glob("clips/*/clip-*.mp4"))
    assert list((tmp_path / "archive").glob("productions/*/film.mp4"))


def test_registers_its_blocks(run: Run, prefect_server: str) -> None:
    """Prefect registers the blocks by the package's name."""
    ran = run("prefect", "block", "register", "-m", "prefect_seedance", PREFECT_API_URL=prefect_server)

    assert ran.returncode == 0
    assert "Seedance Credentials" in ran.stdout


def test_demo_works(run: Run, prefect_server: str, tmp_path: Path) -> None:
    """The demo works from the installed wheel."""
    ran = run("prefect-seedance", "demo", PREFECT_API_URL=prefect_server)

    assert ran.returncode == 0
    assert "3 made" in ran.stdout
    folder = tmp_path / "films/productions/lighthouse"
    assert all((folder / file).is_file() for file in ("manifest.json", "film.mp4", "report.html"))
    assert all(f"{folder}/{file}" in ran.stdout for file in ("film.mp4", "report.html"))


@pytest.fixture
def pool(prefect_server: str) -> Iterator[str]:
    """Name a work pool on a server without deployments: an existing one would keep its folder."""
    with prefect_client(prefect_server) as server:
        undeploy(server)
        yield "wheel"
        undeploy(server)


def test_deployed_flow_runs(
    pool: str, run: Run, installed: Path, prefect_server: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A worker that has only the wheel runs the deployments that the wheel's command created."""
    env = {"PREFECT_API_URL": prefect_server, "PREFECT_WORKER_QUERY_SECONDS": "1", **sandbox.env}
    (tmp_path / "clips.yaml").write_text("clips: [{prompt: a bell rings over the sea}]", encoding="utf-8")
    worker = (installed / "prefect", "worker", "start", "--pool", pool)
    parameters = ("--param", "clips=clips.yaml")

    deployed = run("prefect-seedance", "deploy", "--pool", pool, PREFECT_API_URL=prefect_server)
    with running(
        *worker,
        env=environment(tmp_path / "worker", **_INSTALLED, **env),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    ):
        name = "generate-clips/clips"
        watched = run("prefect", "deployment", "run", name, "--watch", *parameters, **env)

    assert deployed.returncode == 0, deployed.stderr
    assert f"prefect worker start --pool {pool}" in deployed.stdout
    assert "Completed" in watched.stdout, watched.stdout + watched.stderr
    assert list((tmp_path / "productions").glob("clips/*/clip-*.mp4"))
