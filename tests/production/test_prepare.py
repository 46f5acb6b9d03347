"""Checks that cost nothing, before a production runs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.errors import SetupError, StoryboardError
from prefect_seedance.options import Hosting, Loading, Output, Waiting
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.storage.store import Store
from prefect_seedance.video import decoders
from tests.processes import Sandbox
from tests.production.conftest import SOUNDS, prepare_sounds
from tests.records import record_archived


@pytest.fixture(autouse=True)
def _spends_nothing(sandbox: Sandbox) -> Any:  # noqa: ANN401  # a generator
    """Check after each test that nothing was sent to the API."""
    yield
    assert sandbox.totals()["submits_received"] == 0


async def test_plans_storyboard(board: Path, settings: RunSettings, archive: Path) -> None:
    """The clips are planned, the production is named, and nothing is left in the archive."""
    prepared = await prepare(board, settings)

    assert [clip.name for clip in prepared.plan.clips] == ["dawn → noon", "noon → dusk"]
    assert prepared.settings.production == "test-board"
    assert (prepared.archived, prepared.warning) == ({}, "")
    assert _files(archive) == []


async def test_name_overrules_title(board: Path, settings: RunSettings) -> None:
    """A given name replaces the title."""
    prepared = await prepare(board, settings, name="Été")

    assert prepared.settings.production == prepared.plan.name == "ete"


async def test_finds_archived_clips(settings: RunSettings, archive: Path) -> None:
    """Clips that the archive has are known before the run."""
    first, second = (await prepare_sounds(settings)).plan.clips
    clip = await record_archived(Store.open(str(archive)), first)

    prepared = await prepare_sounds(settings)

    assert prepared.archived == {first.fingerprint: clip}
    assert second.fingerprint not in prepared.archived


@pytest.mark.parametrize(
    ("chosen", "expected"), [(None, True), (False, False)], ids=["storyboard", "without a film"]
)
async def test_storyboard_becomes_film(
    chosen: bool | None,  # noqa: FBT001  # a column of the table
    expected: bool,  # noqa: FBT001
    board: Path,
    settings: RunSettings,
) -> None:
    """A storyboard is joined into a film unless the author declines it."""
    prepared = await prepare(board, settings, output=Output(film=chosen, gaps="slate"))

    assert (prepared.output.film, prepared.output.gaps) == (expected, "slate")


async def test_list_becomes_no_film(settings: RunSettings) -> None:
    """A list of separate clips is joined only on request."""
    by_default = await prepare(SOUNDS, settings)
    on_request = await prepare(SOUNDS, settings, output=Output(film=True))

    assert (by_default.output.film, on_request.output.film) == (False, True)


async def test_folder_takes_prompt(board: Path, settings: RunSettings) -> None:
    """A folder of images is a storyboard with one prompt."""
    prepared = await prepare(board.parent, settings, loading=Loading(prompt="drifting clouds"))

    assert {clip.prompt for clip in prepared.plan.clips} == {"drifting clouds"}


WRONG = [
    pytest.param({"archive": "block:films"}, SetupError, "a Prefect block", id="block"),
    pytest.param({"archive": "s4://films"}, SetupError, "s4", id="archive"),
    pytest.param({"hosting": Hosting()}, SetupError, "--images-url", id="images without URL"),
    pytest.param(
        {"waiting": Waiting(callback_url="http://studio.example")}, SetupError, "callback", id="callback URL"
    ),
]


@pytest.mark.parametrize(("changes", "error", "message"), WRONG)
async def test_wrong_setup_is_an_error(
    changes: Mapping[str, Any], error: type[Exception], message: str, board: Path, settings: RunSettings
) -> None:
    """An archive, a hosting or a callback URL that cannot work is an error."""
    with pytest.raises(error, match=message):
        await prepare(board, replace(settings, **changes))


async def test_missing_decoder_is_an_error(settings: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this machine cannot decode a clip, that is an error before anything is spent."""
    monkeypatch.setattr(decoders, "_REQUIRED", ("h264", "no-such-codec"))

    with pytest.raises(SetupError, match=r"cannot decode no-such-codec.*Nothing was spent.*pip install"):
        await prepare_sounds(settings)


async def test_unwritable_temporary_folder_is_an_error(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no temporary file can be written, that is an error before anything is spent."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")

    with pytest.raises(SetupError, match=r"/nowhere.*TMPDIR.*Nothing was spent"):
        await prepare_sounds(settings)


async def test_clips_without_images_need_no_hosting(settings: RunSettings) -> None:
    """Clips from text need no public URL."""
    prepared = await prepare(SOUNDS, replace(settings, hosting=Hosting()))

    assert prepared.warning == ""


async def test_storyboard_mistakes_come_together(tmp_path: Path, settings: RunSettings) -> None:
    """Every mistake of a storyboard is in one error."""
    path = tmp_path / "board.yaml"
    path.write_text("shots:\n- {image: nowhere.png, promt: waves}\n- {image: gone.png}\n", encoding="utf-8")

    with pytest.raises(StoryboardError, match=r"(?s)promt.*gone\.png|gone\.png.*promt"):
        await prepare(path, settings)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
