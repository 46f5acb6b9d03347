"""The command that writes the report."""

from pathlib import Path

import pytest

from prefect_seedance.cli import main
from tests.cli.conftest import Run


def test_writes_report(lighthouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report and its contact sheet are written, and the output says where they are."""
    assert main(["report", str(lighthouse), "--price-per-second", "0.5"]) == 0

    page, out = lighthouse / "productions/lighthouse/report.html", capsys.readouterr().out
    assert f"Report         {page}\n" in out
    assert f"open {lighthouse} lighthouse" in out
    assert "valid until" not in out
    assert "Cost at 0.5 a second</dt><dd>4.0</dd>" in page.read_text(encoding="utf-8")
    assert (lighthouse / "productions/lighthouse/contact-sheet.jpg").is_file()


def test_json_describes_report(lighthouse: Path, run_json: Run) -> None:
    """A program gets the report's key and size, and can name the production by its title."""
    printed = run_json("report", lighthouse, "--name", "Lighthouse")

    assert printed["key"] == "productions/lighthouse/report.html"
    assert printed["size_bytes"] == (lighthouse / printed["key"]).stat().st_size
    assert (printed["production"], printed["links_until"]) == ("lighthouse", None)


@pytest.mark.parametrize("command", ["report", "open", "film"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "has 2 productions; name one of: ete-a-nice, lighthouse"),
        ("Moon", "has no production 'Moon'; name one of: ete-a-nice, lighthouse"),
        ("Été à Nice", "/productions/ete-a-nice/manifest.json is missing or damaged; run produce again"),
    ],
    ids=["several", "unknown", "damaged"],
)
def test_production_must_be_clear(
    command: str, name: str, message: str, lighthouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If no production or several match, the error lists them; a damaged manifest has a remedy."""
    damaged = lighthouse / "productions/ete-a-nice/manifest.json"
    damaged.parent.mkdir()
    damaged.write_bytes(b"{")

    assert main([command, str(lighthouse), *([name] if name else [])]) == 2
    assert message.format(archive=lighthouse) in " ".join(capsys.readouterr().err.split())


def test_empty_archive_has_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive without productions has nothing to report, and the error says what to run."""
    assert main(["report", str(tmp_path)]) == 2

    error = " ".join(capsys.readouterr().err.split())
    assert "has 0 productions; produce one first" in error
