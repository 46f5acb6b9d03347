"""The command that archives paid clips."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.cli.conftest import Run
from tests.processes import Sandbox
from tests.records import age_acceptances, record_unresolved

_PROGRAM = "import sys; from prefect_seedance.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def _account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in sandbox.env.items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
def submitted(board: Path, archive: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return an archive with two generations in flight."""
    words = ["produce", board, "--archive", archive, "--images-url", sandbox.hosted, "--no-wait"]
    assert main([*map(str, words), "--no-film", "--no-report"]) == 4
    capsys.readouterr()
    return archive


def test_rescues_clips(submitted: Path, run_json: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Generations in flight are waited for and archived; the next rescue has nothing to do."""
    age_acceptances(submitted)

    assert main(["rescue", str(submitted)]) == 0
    assert "2 clips rescued, 0 left" in capsys.readouterr().out

    assert run_json("rescue", submitted) == {"archive": str(submitted), "clips": [], "exit_code": 0}


def test_deadline_leaves_in_flight(submitted: Path, run_json: Run) -> None:
    """Generations that do not end before the deadline stay in flight, with the reason."""
    found = run_json("rescue", submitted, "--deadline", "0.01s", code=4)

    assert [clip["status"] for clip in found["clips"]] == ["in flight"] * 2
    assert all("continues" in clip["reason"] for clip in found["clips"])


def test_unresolved_needs_person(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """An unresolved submission is listed, because only a person can resolve it."""
    asyncio.run(_unresolved(archive, clips[0]))

    assert main(["rescue", str(archive)]) == 3

    assert "unresolved" in capsys.readouterr().out


def test_prefect_prevents_no_account(archive: Path, clips: tuple[PlannedClip, ...], tmp_path: Path) -> None:
    """If Prefect's settings are wrong, the command warns, and shows and returns what it has found."""
    asyncio.run(_unresolved(archive, clips[0]))
    settings = {"PREFECT_API_URL": "http://[nowhere/api", "PREFECT_HOME": str(tmp_path)}

    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "rescue", str(archive)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 3
    assert "unresolved" in run.stdout
    assert "warning: Prefect got no events of this rescue; check its settings" in run.stderr


def test_archive_must_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that does not exist is not created."""
    assert main(["rescue", str(tmp_path / "none")]) == 2

    assert "There is no archive" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_several_archives_are_rescued(
    submitted: Path, tmp_path: Path, run_json: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing archive has its own line and decides the exit code, and the others are rescued."""
    age_acceptances(submitted)
    missing = tmp_path / "none"

    assert main(["rescue", str(missing), str(submitted)]) == 2

    shown = capsys.readouterr().out
    assert f"There is no archive at {missing}" in shown
    assert str(submitted) in shown
    assert "2 clips rescued, 0 left" in shown
    found = run_json("rescue", submitted, missing, code=2)
    assert [(each["archive"], each["clips"], each["cause"]) for each in found["archives"]] == [
        (str(submitted), [], None),
        (str(missing), [], "SetupError"),
    ]


async def _unresolved(archive: Path, clip: PlannedClip) -> None:
    await record_unresolved(Store.open(str(archive)), clip)
