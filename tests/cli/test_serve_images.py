"""The command that serves an archive's images."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from tests.processes import Sandbox, environment, running

_PROGRAM = "import sys; from prefect_seedance.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def images_url(tmp_path: Path, archive: Path) -> Iterator[str]:
    """Run the server, and return the option's value that it prints."""
    command = (sys.executable, "-c", _PROGRAM, "serve-images", archive, "--port", "0")
    with running(*command, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(3)]
        yield lines[2].split()[1]


def test_folder_of_images_becomes_clips(
    images_url: str, board: Path, archive: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storyboard with images on the disk becomes a film in a folder, without a bucket."""
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    polls = ("--first-poll", "0.1", "--poll-every", "0.1", "--no-report")

    code = main(["produce", str(board), "--archive", str(archive), "--images-url", images_url, *polls])

    assert code == 0
    assert sandbox.totals()["accepted"] == 2
    names = sorted(path.name for path in (archive / "productions/test-board/clips").iterdir())
    assert names == ["01 dawn → noon.mp4", "02 noon → dusk.mp4"]


def test_bucket_needs_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """A bucket signs URLs, so the command refuses it."""
    assert main(["serve-images", "memory://films"]) == 2
    assert "no server is needed" in capsys.readouterr().err


def test_port_in_use_is_reported(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that another program uses is an error with a remedy."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve-images", str(archive), "--port", str(port)]) == 2

    assert f"127.0.0.1:{port}" in capsys.readouterr().err
