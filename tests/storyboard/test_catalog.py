from pathlib import Path

import pytest

from prefect_seedance.errors import StoryboardError
from prefect_seedance.storage.objects import Objects
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.catalog import Catalog, CatalogItem, read_catalog


async def _no_store(_: str) -> Store:
    raise AssertionError("a local catalogue needs no store")


async def read(catalog: Catalog) -> list[CatalogItem]:
    return list(await read_catalog(catalog, objects=Objects(_no_store)))


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


async def test_folder_has_files_and_subfolders(tmp_path: Path) -> None:
    """A folder's storyboards are its YAML and JSON files, and the storyboard file of each subfolder."""
    found = ("ep 10.yaml", "ep 2.yml", "ep 3.json", "one/storyboard.yaml", "two/storyboard.yml")
    others = ("a.png", ".hidden.yaml", "one/notes.yaml", "one/two/storyboard.yaml", ".git/storyboard.yaml")
    write(tmp_path, *found, *others, "one/storyboard.json")

    items = await read(str(tmp_path))

    in_order = ("ep 2.yml", "ep 3.json", "ep 10.yaml", "one/storyboard.yaml", "two/storyboard.yml")
    assert [each.storyboard for each in items] == [str(tmp_path / name) for name in in_order]


async def test_prefix_is_like_a_folder(tmp_path: Path) -> None:
    """Below a prefix in a bucket, the same names are storyboards."""
    store = Store.open(str(tmp_path))
    for key in (
        "films/b.yaml",
        "films/a/storyboard.yaml",
        "films/a/x.png",
        "films/a/b/storyboard.yaml",
        "c.yaml",
    ):
        await store.put(key, b"")

    async def opener(_: str) -> Store:
        return store

    items = await read_catalog("s3://studio/films/", objects=Objects(opener))

    assert [each.storyboard for each in items] == [
        "s3://studio/films/a/storyboard.yaml",
        "s3://studio/films/b.yaml",
    ]


async def test_csv_has_parameters(tmp_path: Path) -> None:
    """A CSV file names storyboards beside it, with their priorities and the parameters of their runs."""
    file = tmp_path / "season.csv"
    file.write_text(
        "storyboard,priority,max_seconds,prompt\n"
        'ep1,,,"waves, gulls"\n'
        "/films/ep2.yaml,2,,\n"
        "s3://studio/ep3.yaml,1,8,\n"
        ",,,\n",
        encoding="utf-8-sig",
    )

    items = await read(str(file))

    assert items == [
        CatalogItem(storyboard="s3://studio/ep3.yaml", priority=1, parameters={"max_seconds": "8"}),
        CatalogItem(storyboard="/films/ep2.yaml", priority=2),
        CatalogItem(storyboard=str(tmp_path / "ep1"), parameters={"prompt": "waves, gulls"}),
    ]


async def test_csv_shows_all_mistakes(tmp_path: Path) -> None:
    """All mistakes of a CSV file are reported together, with their lines."""
    file = tmp_path / "season.csv"
    file.write_text("storyboard,priority\na.yaml,soon\n,1\nb.yaml,1,waves, gulls\n", encoding="utf-8")

    with pytest.raises(StoryboardError) as caught:
        await read(str(file))

    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        f"season.csv, line {number}" for number in (2, 3, 4)
    ]
    assert "priority" in lines[0]
    assert "quote text that contains commas" in lines[2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,priority\na.yaml,1\n", "no column 'storyboard'"),
        (b"", "no column 'storyboard'"),
        (b"storyboard\n\xff\xfe\n", "not a CSV file in UTF-8"),
        (b"storyboard\n", "contains no storyboards"),
    ],
)
async def test_csv_must_be_usable(tmp_path: Path, content: bytes, message: str) -> None:
    """A CSV file without storyboards is refused with the reason."""
    file = tmp_path / "season.csv"
    file.write_bytes(content)

    with pytest.raises(StoryboardError, match=message):
        await read(str(file))


async def test_list_keeps_its_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The storyboards of a list are made in its order; their paths do not depend on where runs start."""
    monkeypatch.chdir(tmp_path)

    items = await read(["b.yaml", "https://cdn.example/a.yaml"])

    assert [each.storyboard for each in items] == [str(tmp_path / "b.yaml"), "https://cdn.example/a.yaml"]


async def test_single_file_is_a_catalogue(tmp_path: Path) -> None:
    """A storyboard's file is a catalogue of one."""
    write(tmp_path, "a.yaml")

    assert [each.storyboard for each in await read(str(tmp_path / "a.yaml"))] == [str(tmp_path / "a.yaml")]


async def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    """A folder without storyboards is refused."""
    with pytest.raises(StoryboardError, match="contains no storyboards"):
        await read(str(tmp_path))


async def test_missing_csv_is_an_error(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(StoryboardError, match=r"there is no CSV file .*nowhere\.csv"):
        await read(str(tmp_path / "nowhere.csv"))
