"""The command that copies clips to a folder."""

import asyncio
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.options import JoinStyle
from prefect_seedance.production.steps import join_production
from prefect_seedance.report.manifest import read_manifest, record
from prefect_seedance.storage.store import Store
from tests.cli.conftest import Run


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def _join(folder: Path) -> None:
    store = Store.open(str(folder))
    manifest = await read_manifest(store, "")
    film = await join_production(manifest, store, style=JoinStyle())
    await record(manifest.model_copy(update={"film": film}), store)


def test_copies_have_names(lighthouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clips and film are copied under their names; a second export finds them."""
    asyncio.run(_join(lighthouse))

    codes = [main(["export", str(lighthouse), "--to", str(tmp_path / "to")]) for _ in range(2)]

    assert codes == [0, 0]
    assert names_in(tmp_path / "to") == ["01 dawn.mp4", "02 noon.mp4", "Lighthouse.mp4"]
    copied = {path.read_bytes() for path in (tmp_path / "to").iterdir()}
    assert {path.read_bytes() for path in lighthouse.glob("clips/*/clip-*.mp4")} <= copied
    assert "3 files" in capsys.readouterr().out


def test_other_file_is_kept(lighthouse: Path, tmp_path: Path, run_json: Run) -> None:
    """A file of the author is not replaced, and the other clips are copied."""
    (tmp_path / "01 dawn.mp4").write_bytes(b"the author's")

    exported = run_json("export", lighthouse, "--to", tmp_path, code=1)

    assert exported["files"] == ["02 noon.mp4"]
    assert "is another file" in exported["problems"]["01 dawn.mp4"]
    assert (tmp_path / "01 dawn.mp4").read_bytes() == b"the author's"


def test_damaged_clip_is_not_copied(lighthouse: Path, tmp_path: Path, run_json: Run) -> None:
    """A clip that has changed in the archive is reported, and leaves no file."""
    for path in lighthouse.glob("clips/*/clip-*.mp4"):
        path.write_bytes(b"changed")

    exported = run_json("export", lighthouse, "--to", tmp_path / "to", code=1)

    assert exported["files"] == []
    assert all("has changed since it was archived" in each for each in exported["problems"].values())
    assert names_in(tmp_path / "to") == []


def test_folder_cannot_be_written(
    lighthouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that cannot be created is an error with a remedy."""
    (tmp_path / "file").write_bytes(b"")

    assert main(["export", str(lighthouse), "--to", str(tmp_path / "file")]) == 2
    assert "choose another --to" in capsys.readouterr().err
