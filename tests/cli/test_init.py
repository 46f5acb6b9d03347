"""The command that writes a first storyboard."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.cli import main
from tests.cli.conftest import Run
from tests.processes import environment

_PROGRAM = "import sys; from prefect_seedance.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


def draw(*names: str) -> None:
    """Store images in the folder ``images``."""
    Path("images").mkdir()
    for name in names:
        Image.new("RGB", (640, 360), "orange").save(f"images/{name}")


def test_default_needs_no_images(capsys: pytest.CaptureFixture[str], run_json: Run) -> None:
    """Without answers, it writes a clip from text, which can be planned, and prints the next commands."""
    assert main(["init"]) == 0

    out = capsys.readouterr().out
    forecast = run_json("plan", "storyboard.yaml", "--archive", "films")
    assert "produce storyboard.yaml --archive films\n" in out
    assert "serve-images" not in out
    assert (forecast["title"], forecast["billed_seconds"]) == ("My first film", 4)


@pytest.mark.parametrize(("archive", "serves"), [("films", True), ("s3://films", False)])
def test_folder_of_images_is_listed(
    archive: str, *, serves: bool, capsys: pytest.CaptureFixture[str], run_json: Run
) -> None:
    """Images on the disk become shots in the order of their names, and need a server or a bucket."""
    draw("b.png", "a.jpg", "c.webp")
    Path("images/notes.txt").write_text("no image", encoding="utf-8")

    assert main(["init", "board.yaml", "--images", "images", "--title", "Sea", "--archive", archive]) == 0

    out = capsys.readouterr().out
    forecast = run_json("plan", "board.yaml")
    assert [clip["name"] for clip in forecast["clips"]] == ["a → b", "b → c"]
    assert ("serve-images films" in out) == serves


def test_urls_become_shots(run_json: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Images on the web are named by their URLs, and need no server."""
    assert main(["init", "--images", "https://example.com/a.png https://example.com/b.png"]) == 0

    assert "serve-images" not in capsys.readouterr().out
    assert [clip["name"] for clip in run_json("plan", "storyboard.yaml")["clips"]] == ["a → b"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["init", "taken.yaml"], "taken.yaml exists"),
        (["init", "--images", "nowhere"], "nowhere cannot be listed"),
        (["init", "nowhere/board.yaml"], "nowhere/board.yaml cannot be written"),
    ],
    ids=["file", "images", "folder"],
)
def test_mistake_writes_nothing(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is one line, and no file is written or replaced."""
    Path("taken.yaml").write_text("mine", encoding="utf-8")

    assert main(words) == 2

    assert expected in capsys.readouterr().err
    assert Path("taken.yaml").read_text(encoding="utf-8") == "mine"
    assert not Path("storyboard.yaml").exists()


def test_asks_at_a_terminal(tmp_path: Path) -> None:
    """At a terminal it asks, again after a mistake, and an empty answer takes the default."""
    master, slave = pty.openpty()
    command = [sys.executable, "-c", _PROGRAM, "init"]
    os.write(master, b"Harbour\nnowhere\n\n\n")

    done = subprocess.run(
        command,
        stdin=slave,
        stdout=subprocess.PIPE,
        env=environment(tmp_path),
        cwd=tmp_path,
        check=True,
        text=True,
    )

    os.close(slave)
    os.close(master)
    assert done.stdout.startswith("Title [My first film]: Your images: ")
    assert "nowhere cannot be listed" in done.stdout
    assert "title: Harbour\n" in (tmp_path / "storyboard.yaml").read_text(encoding="utf-8")
