"""The forecast of a run, which costs nothing."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prefect_seedance.cli import main
from prefect_seedance.cli.forecast import Action
from prefect_seedance.clips.records import Outcome
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.cli.conftest import Run
from tests.records import (
    FAILED,
    LOST,
    REFUSED,
    REJECTED,
    SUCCEEDED,
    record_archived,
    record_in_flight,
    record_outcome,
    record_submitting,
    record_unreadable,
    record_unresolved,
)

Record = Callable[[Store, PlannedClip], Awaitable[Any]]


def ended(outcome: Outcome) -> Record:
    return partial(record_outcome, outcome=outcome)


def test_forecasts_cost(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an archive every clip would be made, and each second billed."""
    assert main(["plan", str(board), "--price-per-second", "0.05"]) == 0

    out = capsys.readouterr().out
    assert "Test board: 2 clips" in out
    assert "1  dawn → noon  make       4 s" in out
    assert "2 made. 8 s of video would be billed, at a cost of 0.40." in out


HISTORIES = [
    pytest.param(record_submitting, [], "wait", 0, id="submitting"),
    pytest.param(record_unresolved, [], "leave unresolved", 0, id="unresolved"),
    pytest.param(record_unresolved, ["--on-unresolved", "resubmit"], "make", 4, id="unresolved, resubmitted"),
    pytest.param(record_unreadable, [], "leave unreadable", 0, id="unreadable"),
    pytest.param(record_in_flight, [], "wait", 0, id="in flight"),
    pytest.param(ended(SUCCEEDED), [], "archive", 0, id="not archived"),
    pytest.param(record_archived, [], "reuse", 0, id="archived"),
    pytest.param(ended(REFUSED), [], "make", 4, id="refused"),
    pytest.param(ended(LOST), [], "make", 4, id="lost"),
    pytest.param(ended(FAILED), [], "leave failed", 0, id="failed"),
    pytest.param(ended(FAILED), ["--retry-failed"], "make", 4, id="failed, retried"),
    pytest.param(ended(REJECTED), ["--retry-failed"], "leave failed", 0, id="rejected"),
    pytest.param(ended(REJECTED), ["--retry-rejected"], "make", 4, id="rejected, retried"),
]


@pytest.mark.parametrize(("record", "words", "action", "billed"), HISTORIES)
def test_action_follows_history(
    record: Record,
    words: list[str],
    action: str,
    billed: int,
    board: Path,
    archive: Path,
    clips: tuple[PlannedClip, ...],
    run_json: Run,
) -> None:
    """A clip's records and the permitted retries decide what a run would do with it."""
    asyncio.run(_record(record, archive, clips[0]))

    forecast = run_json("plan", board, "--archive", archive, *words)

    first, second = forecast["clips"]
    assert (first["action"], first["billed_seconds"]) == (action, billed)
    has_reason = action.startswith("leave") or record is record_submitting
    assert (first["reason"] is not None) == has_reason
    assert second["action"] == "make"
    assert forecast["billed_seconds"] == billed + 4


def test_histories_cover_actions() -> None:
    """The table above has a row for every action."""
    assert {row.values[2] for row in HISTORIES} == {str(action) for action in Action}


def test_equal_clips_are_billed_once(tmp_path: Path, run_json: Run) -> None:
    """Clips with equal fingerprints are made once."""
    board = tmp_path / "waves.yaml"
    board.write_text("clips:\n  - prompt: waves\n  - prompt: waves\n", encoding="utf-8")

    forecast = run_json("plan", board)

    assert [clip["billed_seconds"] for clip in forecast["clips"]] == [4, 0]


def test_lists_changed_images(tmp_path: Path, run_json: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Each image that is changed before it is hosted is listed once for each change."""
    sideways = Image.Exif()
    sideways[0x0112] = 6
    Image.new("RGB", (64, 32)).save(tmp_path / "a.jpg", exif=sideways.tobytes())
    Image.new("RGB", (64, 36)).save(tmp_path / "b.png")
    shots = "[{image: a.jpg, prompt: waves}, {image: b.png, prompt: gulls}, {image: a.jpg}]"
    board = tmp_path / "board.yaml"
    board.write_text(f"defaults: {{fit: pad, aspect_ratio: '16:9'}}\nshots: {shots}\n", encoding="utf-8")

    (first, _) = run_json("plan", board)["clips"]
    assert main(["plan", str(board)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert first["images"] == [
        {
            "source": str(tmp_path / "a.jpg"),
            "width": 32,
            "height": 64,
            "changes": ["rotated upright", "padded to 16:9"],
            "sent_width": 1280,
            "sent_height": 720,
        },
        {
            "source": str(tmp_path / "b.png"),
            "width": 64,
            "height": 36,
            "changes": [],
            "sent_width": 64,
            "sent_height": 36,
        },
    ]
    assert [line for line in lines if "a.jpg" in line] == [
        "a.jpg  32×64  rotated upright, padded to 16:9, 1280×720"
    ]
    assert not any("b.png" in line for line in lines)


def test_creates_no_folder(board: Path, tmp_path: Path, run_json: Run) -> None:
    """Planning for an archive that does not exist leaves nothing behind."""
    run_json("plan", board, "--archive", tmp_path / "later")

    assert not (tmp_path / "later").exists()


async def _record(record: Record, archive: Path, clip: PlannedClip) -> None:
    await record(Store.open(str(archive)), clip)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[str]:
    """Serve a list of clips on this machine, and return its URL."""
    (tmp_path / "board.yaml").write_text("clips: [{prompt: waves at dawn}]", encoding="utf-8")
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://localhost:{server.server_port}/board.yaml"
        server.shutdown()


@pytest.mark.parametrize(("options", "code"), [((), 2), (("--allow-host", "localhost"), 0)])
def test_internal_host_is_a_choice(
    options: tuple[str, ...],
    code: int,
    studio: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A storyboard is read from a host that is not public only if its name is given."""
    monkeypatch.delenv("SEEDANCE_BASE_URL", raising=False)

    assert main(["plan", studio, *options]) == code

    assert ("not a public host" in capsys.readouterr().err) == (code == 2)
