"""The commands `report` and `open`, as far as they go without a browser."""

import asyncio
import json
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.report.manifest import Manifest, production_key
from prefect_seedance.storage.store import Store
from tests.report.test_render import made, manifest_of


@pytest.fixture(autouse=True)
def _without_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


async def stored(films: Path, manifest: Manifest) -> None:
    """Put a manifest into an archive."""
    key = production_key(manifest.production, "manifest.json")
    await Store.open(str(films)).put(key, manifest.model_dump_json().encode())


async def _lighthouse(films: Path) -> None:
    manifest = manifest_of(await made(Store.open(str(films)), 1), title="Lighthouse")
    await stored(films, manifest.model_copy(update={"production": "lighthouse"}))


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """An archive with one production."""
    asyncio.run(_lighthouse(tmp_path / "films"))
    return tmp_path / "films"


def test_report_is_written(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes the report and says where it is, and what shows it."""
    assert main(["report", str(films), "--price-per-second", "0.5"]) == 0

    page, said = films / "productions/lighthouse/report.html", capsys.readouterr().out
    assert f"Report         {page}\n" in said
    assert f"open {films} lighthouse" in said
    assert "hold until" not in said
    assert "Cost at 0.5 a second</dt><dd>2.0</dd>" in page.read_text(encoding="utf-8")
    assert (films / "productions/lighthouse/contact-sheet.jpg").is_file()


def test_report_for_programs(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program is told the same, and the production can be named by its title."""
    assert main(["report", str(films), "--name", "Lighthouse", "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["key"] == "productions/lighthouse/report.html"
    assert said["size_bytes"] == (films / said["key"]).stat().st_size
    assert (said["production"], said["links_until"]) == ("lighthouse", None)


def test_open_says_where(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a screen, the report is written if there is none, and its address is said."""
    page = films / "productions/lighthouse/report.html"

    assert main(["open", str(films)]) == 0
    assert capsys.readouterr().out == f"{page.as_uri()}\n"
    before = page.stat().st_mtime_ns
    assert main(["open", str(films), "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said == {"production": "lighthouse", "url": page.as_uri(), "until": None, "is_open": False}
    assert page.stat().st_mtime_ns == before


@pytest.mark.parametrize("command", ["report", "open"])
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "has 2 productions; name one of: ete-a-nice, lighthouse"),
        ("Nobody", "has no production 'Nobody'; name one of: ete-a-nice, lighthouse"),
        ("Été à Nice", "The manifest of 'ete-a-nice' in {films} is damaged; produce it again"),
    ],
    ids=["several", "unknown", "damaged"],
)
def test_what_production_is_said(
    command: str, name: str, complaint: str, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the production cannot be told or read, the error says which there are, or what to do."""
    damaged = films / "productions/ete-a-nice/manifest.json"
    damaged.parent.mkdir()
    damaged.write_bytes(b"{")

    assert main([command, str(films), *([name] if name else [])]) == 2
    assert complaint.format(films=films) in " ".join(capsys.readouterr().err.split())


def test_empty_archive_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing was produced there is nothing to report, and the error says what to do."""
    assert main(["report", str(tmp_path)]) == 2
    assert "has 0 productions; make one with prefect-seedance produce" in " ".join(
        capsys.readouterr().err.split()
    )


def test_missing_archive_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is a mistake, and no archive."""
    assert main(["open", str(tmp_path / "nowhere")]) == 2
    assert "There is no archive" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
