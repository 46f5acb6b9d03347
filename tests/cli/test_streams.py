"""Output in every encoding, and to readers that have left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = "import sys; from prefect_seedance.cli import main; sys.exit(main())"


def _run(
    *words: object, encoding: str = "utf-8", stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PREFECT_LOGGING_LEVEL": "CRITICAL"}
    command = [sys.executable, "-c", _PROGRAM, *map(str, words)]
    return subprocess.run(command, env=env, stdout=stdout, stderr=subprocess.PIPE, timeout=120, check=False)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    path = tmp_path / "clips.yaml"
    path.write_text("title: Été 🌊 灯\nclips:\n- prompt: dusk → dawn — the sea 🌊\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        pytest.param("ascii", "dusk -> dawn - the sea ?", id="ASCII"),
        pytest.param("cp1252", "dusk -> dawn — the sea ?", id="cp1252"),
        pytest.param("latin-1", "dusk -> dawn - the sea ?", id="Latin-1"),
        pytest.param("utf-8", "dusk → dawn — the sea 🌊", id="UTF-8"),
    ],
)
def test_encoding_replaces_characters(board: Path, encoding: str, name: str) -> None:
    """A terminal that lacks a character shows another one, and the exit code stays true."""
    ran = _run("plan", board, encoding=encoding)

    assert ran.returncode == 0, ran.stderr
    assert name in ran.stdout.decode(encoding)


def test_json_keeps_characters(board: Path) -> None:
    """Programs read the same JSON in every encoding."""
    ran = _run("plan", board, "--json", encoding="ascii")

    assert ran.returncode == 0
    assert json.loads(ran.stdout)["clips"][0]["name"] == "dusk → dawn — the sea 🌊"


def test_error_keeps_its_code(tmp_path: Path) -> None:
    """An error message that cannot be printed as it is has its exit code."""
    ran = _run("plan", tmp_path / "灯.yaml", encoding="ascii")

    assert ran.returncode == 2
    assert b"?.yaml" in ran.stderr


@pytest.mark.parametrize("words", [["plan", "{board}"], ["--help"], ["plan", "--help"]])
def test_closed_pipe_decides_nothing(board: Path, words: list[str]) -> None:
    """A reader that leaves early, as head does, changes no exit code."""
    reader, writer = os.pipe()
    os.close(reader)

    ran = _run(*(word.format(board=board) for word in words), stdout=writer)

    os.close(writer)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_decides_nothing(board: Path) -> None:
    """Output to a full disk changes no exit code."""
    full = os.open("/dev/full", os.O_WRONLY)

    ran = _run("plan", board, stdout=full)

    os.close(full)
    assert (ran.returncode, ran.stderr) == (0, b"")
