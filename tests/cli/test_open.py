"""The command that opens the report."""

from pathlib import Path

import pytest

from prefect_seedance.cli import main
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("no_display")


def test_prints_url(lighthouse: Path, run_json: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a display the URL is printed, and the report is written only if there is none."""
    page = lighthouse / "productions/lighthouse/report.html"

    assert main(["open", str(lighthouse)]) == 0
    assert capsys.readouterr().out == f"{page.as_uri()}\n"
    written = page.stat().st_mtime_ns
    printed = run_json("open", lighthouse)

    assert printed == {"production": "lighthouse", "url": page.as_uri(), "until": None, "is_open": False}
    assert page.stat().st_mtime_ns == written


def test_missing_archive_is_not_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that does not exist is an error."""
    assert main(["open", str(tmp_path / "nowhere")]) == 2
    assert "There is no archive" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
