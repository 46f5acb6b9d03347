"""The command that copies clips to a folder."""

import asyncio
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.cli.export_record import FILE
from prefect_seedance.options import JoinStyle
from prefect_seedance.production.steps import join_production
from prefect_seedance.report.manifest import read_manifest, record
from prefect_seedance.storage.store import Store
from tests import films
from tests.cli.conftest import Run


def names_in(folder: Path) -> list[str]:
    """Return the names that a person sees."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


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


async def _edit(folder: Path) -> None:
    """Make the first clip again, and leave out the second one."""
    store = Store.open(str(folder))
    manifest = await read_manifest(store, "")
    again = await films.archived(store, films.clip(3), name="dawn")
    first = manifest.clips[0].model_copy(update={"clip": again})
    await record(manifest.model_copy(update={"clips": (first,)}), store)


def test_export_follows_production(
    lighthouse: Path, tmp_path: Path, run_json: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clip that was made again is replaced, one that is gone is removed, and the output says so."""
    to = tmp_path / "to"
    first = run_json("export", lighthouse, "--to", to)
    (to / "03 mine.mp4").write_bytes(b"the author's")
    old = (to / "01 dawn.mp4").read_bytes()
    asyncio.run(_edit(lighthouse))

    assert main(["export", str(lighthouse), "--to", str(to)]) == 0
    out = capsys.readouterr().out
    third = run_json("export", lighthouse, "--to", to)

    assert (first["replaced"], first["removed"]) == ([], [])
    assert "1 file; 1 replaced, 1 removed" in out
    assert "  replaced 01 dawn.mp4" in out
    assert "  removed 02 noon.mp4" in out
    assert names_in(to) == ["01 dawn.mp4", "03 mine.mp4"]
    assert (to / "01 dawn.mp4").read_bytes() != old
    assert (third["replaced"], third["removed"]) == ([], [])


@pytest.mark.parametrize("damage", ["changed file", "lost record", "damaged record"])
def test_export_keeps_what_it_did_not_write(
    damage: str, lighthouse: Path, tmp_path: Path, run_json: Run
) -> None:
    """A file that the author has changed, or of which nothing is known, is neither replaced nor removed."""
    to = tmp_path / "to"
    run_json("export", lighthouse, "--to", to)
    if damage == "changed file":
        for file in to.glob("*.mp4"):
            file.write_bytes(b"graded by the author")
    else:
        (to / FILE).write_text("[" if damage == "damaged record" else "{}", encoding="utf-8")
    before = {path.name: path.read_bytes() for path in to.glob("*.mp4")}
    asyncio.run(_edit(lighthouse))

    exported = run_json("export", lighthouse, "--to", to, code=1)

    assert "is another file" in exported["problems"]["01 dawn.mp4"]
    assert {path.name: path.read_bytes() for path in to.glob("*.mp4")} == before


def test_productions_share_a_folder(lighthouse: Path, tmp_path: Path, run_json: Run) -> None:
    """An export removes no file of another production's."""
    to = tmp_path / "to"
    run_json("export", lighthouse, "--to", to)
    manifest = lighthouse / "productions/lighthouse/manifest.json"
    other = lighthouse / "productions/other/manifest.json"
    other.parent.mkdir()
    text = manifest.read_text(encoding="utf-8").replace('"production": "lighthouse"', '"production": "other"')
    other.write_text(text.replace('"name": "dawn"', '"name": "dusk"'), encoding="utf-8")

    run_json("export", lighthouse, "other", "--to", to)

    assert names_in(to) == ["01 dawn.mp4", "01 dusk.mp4", "02 noon.mp4"]


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
