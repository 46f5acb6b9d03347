"""Checks that cost nothing, before a production runs."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefect_seedance.clips.records import Outcome, Result
from prefect_seedance.errors import FailKind, SetupError, StoryboardError
from prefect_seedance.options import Hosting, Loading, Output, RetryPolicy, Waiting
from prefect_seedance.production.prepare import check_without_account, prepare
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.schema import ClipList, ClipSpec
from prefect_seedance.video import decoders
from tests.processes import Sandbox
from tests.production.conftest import QUICK, SOUNDS, prepare_sounds
from tests.records import NOW, record_archived, record_outcome


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
    pytest.param({"hosting": Hosting()}, SetupError, "images_url of Hosting", id="images without URL"),
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


@pytest.fixture
def other_host() -> Iterator[str]:
    """Serve a web page at every path, and return the URL."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_checks_images_url(board: Path, settings: RunSettings, sandbox: Sandbox) -> None:
    """If nothing is served at the public URL of the images, that is an error before anything is submitted."""
    settings = replace(settings, hosting=Hosting(images_url=f"{sandbox.hosted}/elsewhere"))

    with pytest.raises(SetupError, match=r"elsewhere/\w+\.png answers 404.*spent.*images_url of Hosting"):
        await prepare(board, settings)


async def test_compares_hosted_image(board: Path, settings: RunSettings, other_host: str) -> None:
    """If the public URL serves something else, that is an error, too."""
    with pytest.raises(SetupError, match="serves something else"):
        await prepare(board, replace(settings, hosting=Hosting(images_url=other_host)))


async def test_unreachable_images_url_warns(board: Path, settings: RunSettings) -> None:
    """If this machine cannot reach the public URL, the API may still reach it, so the run continues."""
    prepared = await prepare(board, replace(settings, hosting=Hosting(images_url="http://images.invalid")))

    assert "cannot be fetched from here (" in prepared.warning
    assert "check images_url of Hosting" in prepared.warning


async def test_stopped_image_server_is_an_error(board: Path, settings: RunSettings) -> None:
    """If nothing listens at a URL of this machine, the error names the command that serves images."""
    with pytest.raises(SetupError, match=r"Nothing serves images at http://127\.0\.0\.1:9 .*serve-images /"):
        await prepare(board, replace(settings, hosting=Hosting(images_url="http://127.0.0.1:9")))


async def test_images_of_archived_clips_are_not_checked(settings: RunSettings) -> None:
    """A production that needs no local image may have any images URL."""
    settings = replace(settings, hosting=Hosting(images_url="http://127.0.0.1:9"))

    assert (await prepare_sounds(settings)).warning == ""


async def test_missing_image_is_not_paid_twice(settings: RunSettings, sandbox: Sandbox) -> None:
    """A clip whose image the API could not fetch is not bought again while the image is still missing."""
    url = f"{sandbox.hosted}/lost.png"
    board = ClipList(title="Lost", clips=(ClipSpec(prompt="waves", images=(url,)),))
    (clip,) = (await prepare(board, settings)).plan.clips
    outcome = Outcome(result=Result.failed, ended_at=NOW, kind=FailKind.image, code="INVALID_IMAGE_URL")
    await record_outcome(Store.open(str(settings.archive)), clip, outcome)

    again = replace(settings, retry=RetryPolicy(retry_failed=True))
    with pytest.raises(SetupError, match=r"could not fetch .*/lost\.png, and it still leads to nothing"):
        await prepare(board, again)
    assert (await prepare(board, settings)).warning == ""


async def test_mistakes_are_reported_together(settings: RunSettings, archive: Path) -> None:
    """All mistakes of a set-up are one error, and nothing is stored."""
    wrong = replace(
        settings,
        archive="s4://films",
        waiting=QUICK.model_copy(update={"callback_url": "http://studio.example"}),
    )

    with pytest.raises(SetupError) as found:
        await prepare("nowhere.yaml", wrong)

    assert [line.partition(" ")[0] for line in str(found.value).splitlines()] == [
        "Callbacks",
        "'s4://films'",
        "nowhere.yaml:",
    ]
    assert await Store.open(str(archive)).keys("probes/") == ()


async def test_missing_key_hides_no_mistake(archive: Path) -> None:
    """Without credentials, the mistakes that show without them are reported, too."""
    with pytest.raises(SetupError, match=r"(?s)^There is no API key.*\nnowhere\.yaml: cannot be read"):
        await check_without_account(
            SetupError("There is no API key"), "nowhere.yaml", str(archive), loading=Loading()
        )


async def test_wrong_key_is_found_for_free(settings: RunSettings) -> None:
    """A key that the API refuses is an error before anything is submitted."""
    wrong = settings.credentials.model_copy(update={"api_key": SecretStr("wrong")})

    with pytest.raises(
        SetupError, match=r"401.*\(api_key of Credentials or SEEDANCE_API_KEY\)\. Nothing was"
    ):
        await prepare_sounds(replace(settings, credentials=wrong))


async def test_complete_production_sends_nothing(settings: RunSettings, sandbox: Sandbox) -> None:
    """If nothing is to be bought, the key is not checked, and the API is not called."""
    for clip in (await prepare_sounds(settings)).plan.clips:
        await record_archived(Store.open(str(settings.archive)), clip)
    requests = sandbox.totals()["worst_minute_requests"]

    await prepare_sounds(settings)

    assert sandbox.totals()["worst_minute_requests"] == requests
