"""The command that joins the clips."""

import json
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from tests.cli.conftest import Run


def test_joins_clips(lighthouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The film is joined in order, and the output says where it is and how it was made."""
    assert main(["film", str(lighthouse)]) == 0

    out = capsys.readouterr().out
    assert f"Film  {lighthouse}/productions/lighthouse/film.mp4" in out
    assert "2 clips, 0:02, 192×96, copied." in out
    assert f"report {lighthouse} lighthouse" in out


def test_json_describes_film(lighthouse: Path, run_json: Run) -> None:
    """A program gets the film, which is in the manifest too."""
    printed = run_json("film", lighthouse, "--join", "exact")

    manifest = json.loads((lighthouse / "productions/lighthouse/manifest.json").read_text(encoding="utf-8"))
    assert printed["archive"] == str(lighthouse)
    assert printed["join"] == "exact"
    assert manifest["film"]["sha256"] == printed["sha256"]


def test_lists_missing_clips(lighthouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing clip is named with its time and its reason."""
    path = lighthouse / "productions/lighthouse/manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["clips"][1] |= {"clip": None, "status": "failed", "reason": "the prompt was rejected"}
    path.write_text(json.dumps(manifest), encoding="utf-8")

    assert main(["film", str(lighthouse), "--gaps", "slate"]) == 0

    out = capsys.readouterr().out
    assert "Clip 2, noon, is missing at 0:01" in out
    assert "the prompt was rejected" in out
    assert "Re-encoded because" in out
