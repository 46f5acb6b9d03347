"""The demonstration, as far as it fails; journeys show it at work."""

from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.cli.demo import _example, _folder
from prefect_seedance.errors import SetupError


def test_finds_example() -> None:
    """The example is found beside the package."""
    assert _example().is_file()


def test_creates_folders(tmp_path: Path) -> None:
    """The archive's folder is created, with the one that the stand-in serves."""
    folder = _folder(str(tmp_path / "films"))

    assert folder == tmp_path / "films"
    assert (folder / "images").is_dir()


def test_needs_a_folder(tmp_path: Path) -> None:
    """A bucket, or a folder that cannot be created, is an error."""
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(SetupError, match="needs a folder as its archive"):
        _folder("s3://films")
    with pytest.raises(SetupError, match="cannot be created"):
        _folder(str(tmp_path / "file"))


def test_reports_bad_storyboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The author's own storyboard is checked before anything is made."""
    storyboard = tmp_path / "board.yaml"
    storyboard.write_text("shots: []\n", encoding="utf-8")

    assert main(["demo", str(storyboard), "--archive", str(tmp_path / "films")]) == 2
    assert "board.yaml" in capsys.readouterr().err
