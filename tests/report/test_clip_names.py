"""Names of clips and films for people."""

from pathlib import Path

import pytest

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.report.clip_names import clip_file, film_file, name_clips
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.storage.store import Store
from tests import films
from tests.records import manifest_of


@pytest.fixture
def store(archive: Path) -> Store:
    """Return an archive in a folder."""
    return Store.open(str(archive))


def entry(number: int, *, name: str = "dawn → noon") -> Entry:
    return Entry(number=number, name=name, fingerprint=f"{number}", status=ClipStatus.failed)


def production(clips: int) -> Manifest:
    return manifest_of(*(entry(number) for number in range(1, clips + 1)))


@pytest.mark.parametrize(
    ("clips", "name"), [(9, "01 dawn → noon.mp4"), (99, "01 dawn → noon.mp4"), (100, "001 dawn → noon.mp4")]
)
def test_number_sorts_names(clips: int, name: str) -> None:
    """A name begins with the clip's number, so that a file manager sorts clips in order."""
    assert clip_file(production(clips), entry(1)) == name


def test_empty_name_is_number() -> None:
    """A name without a usable character leaves the number."""
    assert clip_file(production(1), entry(1, name="...")) == "01.mp4"


@pytest.mark.parametrize(("title", "name"), [("Ep. 2/3", "Ep. 2-3.mp4"), ("...", "test-board.mp4")])
def test_film_has_title(title: str, name: str) -> None:
    """A film is named by its title, or else by its production."""
    assert film_file(production(1).model_copy(update={"title": title})) == name


async def test_archived_clips_get_names(store: Store, archive: Path) -> None:
    """Each archived clip of a folder gets a name, also if it occurs twice; missing clips get none."""
    clip = await films.archived(store, films.clip(1), name="dawn")
    first, again = (
        entry(number, name="dawn").model_copy(update={"clip": clip, "status": ClipStatus.made})
        for number in (1, 3)
    )

    manifest = await name_clips(manifest_of(first, entry(2), again), store)

    assert manifest.clips_folder == "productions/test-board/clips"
    names = sorted(path.name for path in (archive / manifest.clips_folder).iterdir())
    assert names == ["01 dawn.mp4", "03 dawn.mp4"]


async def test_nothing_archived_needs_no_folder(store: Store, archive: Path) -> None:
    """Without an archived clip there is no folder."""
    manifest = await name_clips(production(2), store)

    assert manifest.clips_folder is None
    assert not (archive / "productions").exists()
