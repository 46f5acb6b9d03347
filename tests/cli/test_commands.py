"""The command line, as far as it goes without Prefect."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from prefect_seedance import Manifest, __version__
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.api.wire import GenerateRequest
from prefect_seedance.cli import app, main
from prefect_seedance.cli.printing import elapsed
from prefect_seedance.cli.progress import Board, Lines
from prefect_seedance.cli.summary import account
from prefect_seedance.clips.archive import Clip
from prefect_seedance.clips.ledger import Attempt, Intent, Ledger, Outcome, Result
from prefect_seedance.errors import (
    ContentRejectedError,
    DeadlineError,
    FailKind,
    GenerationFailedError,
    InvalidRequestError,
    SeedanceError,
    SubmissionUnresolvedError,
)
from prefect_seedance.orchestration.production import Progress
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.report.manifest import Entry
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import PlannedClip
from prefect_seedance.video.probe import VideoFacts

NOW = datetime.now(UTC)
PRODUCE = "prefect-seedance produce board.yaml --archive /films"
COMMANDS = ("demo", "plan", "produce", "report", "open", "ledger", "resolve", "sandbox")

REFUSED = Outcome.of_refusal(InvalidRequestError("too long"), kind=FailKind.input)
FAILED = Outcome(result=Result.failed, ended_at=NOW, kind=FailKind.passing, code="PROCESSING_TIMEOUT")
REJECTED = Outcome(result=Result.failed, ended_at=NOW, kind=FailKind.content, code="NSFW")
SUCCEEDED = Outcome(result=Result.success, ended_at=NOW, result_urls=("https://results.example/1.mp4",))


@pytest.fixture
def clips(board: Path) -> tuple[PlannedClip, ...]:
    reading = asyncio.run(load_storyboard(board))
    return planning.plan(reading.clips, title=reading.title).clips


async def begun(store: Store, clip: PlannedClip, *, settled: bool = True) -> Attempt:
    """Record that a clip was asked for; settled says that its author can only have died since."""
    pictures = (f"https://images.example/{number}.png" for number, _ in enumerate(clip.images))
    attempt = await Ledger(store).claim(
        Intent(
            fingerprint=clip.fingerprint,
            number=1,
            name=clip.name,
            production="test-board",
            model=DEFAULT_MODEL,
            base_url="https://api.example",
            request=GenerateRequest(input=clip.input(pictures)),
            asked_by="here process 7",
            asked_at=NOW - timedelta(hours=3),
            settles_by=NOW + timedelta(hours=-1 if settled else 1),
        )
    )
    assert attempt
    return attempt


async def ended(
    store: Store, clip: PlannedClip, outcome: Outcome | None, *, accepted: bool = True
) -> Attempt:
    """Record a whole attempt."""
    attempt = await begun(store, clip)
    if accepted:
        attempt = await Ledger(store).accept(attempt, f"task_{clip.number}")
    return await Ledger(store).conclude(attempt, outcome) if outcome else attempt


def archived(clip: PlannedClip, *, findings: tuple[str, ...] = ()) -> Clip:
    """Return what the archive records of a clip."""
    facts = VideoFacts(
        container="mp4",
        width=864,
        height=496,
        duration_seconds=4.0,
        frame_rate=24.0,
        frames=96,
        video_codec="h264",
    )
    return Clip(
        fingerprint=clip.fingerprint,
        name=clip.name,
        key=f"clips/{clip.fingerprint}/clip.mp4",
        sha256="0" * 64,
        size_bytes=1,
        facts=facts,
        findings=findings,
        attempt=1,
        generation_id="task_1",
        model=DEFAULT_MODEL,
        base_url="https://api.example",
        request=GenerateRequest(input=clip.input(["https://images.example/1.png"] * 2)),
        archived_at=NOW,
    )


def manifest_of(*entries: Entry) -> Manifest:
    return Manifest(
        production="test-board",
        title="Test board",
        model=DEFAULT_MODEL,
        archive="/films",
        began_at=NOW,
        ended_at=NOW,
        clips=entries,
    )


# Words and mistakes


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command says what it does, in the list and on its own page."""
    assert main(["--help"]) == 0
    assert f" {command} " in capsys.readouterr().out

    assert main([command, "--help"]) == 0
    assert f"Usage: prefect-seedance {command}" in capsys.readouterr().out


def test_tells_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["plam"], 'Unknown command "plam". Did you mean "plan"?', id="command"),
        pytest.param(["plan"], "STORYBOARD requires an argument", id="missing"),
        pytest.param(["plan", "x", "--arch", "y"], "Did you mean --archive?", id="option"),
        pytest.param(["produce", "x", "--archive", "y", "--deadline", "soon"], "like 90m or 2h", id="time"),
        pytest.param(["produce", "x", "--archive", "y", "--deadline", "0"], "more than 0", id="no time"),
        pytest.param(["plan", "x", "--price-per-second", "cheap"], "--price-per-second", id="price"),
        pytest.param(["plan", "nowhere.yaml"], "nowhere.yaml: cannot be read", id="storyboard"),
        pytest.param(["ledger", "nowhere"], "There is no archive at nowhere", id="archive"),
        pytest.param(["plan", "x", "--json=perhaps"], "perhaps", id="flag"),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake ends with exit code 2 and a line that says what to mend; nothing is printed as a result."""
    assert main(words) == 2

    out, err = capsys.readouterr()
    assert said in err
    assert err.startswith("prefect-seedance: ")
    assert err.count("\n") == 1
    assert not out or json.loads(out)["exit_code"] == 2


def test_programs_get_their_error(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json a mistake is one object too, and people still read it."""
    assert main(["plan", "nowhere.yaml", "--json"]) == 2

    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["error"]["kind"] == "StoryboardError"
    assert told["error"]["message"] in err
    assert told["exit_code"] == 2


@pytest.fixture
def broken() -> Iterator[None]:
    """Have a command with a programmer's mistake in it."""

    def boom(*, verbose: bool = False) -> int:  # noqa: ARG001 -- an option of every command that runs long
        raise ZeroDivisionError("by zero")

    app.command(boom, name="boom")
    yield
    del app["boom"]


@pytest.mark.usefixtures("broken")
def test_unexpected_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody foresaw is one line with the way to learn more, and with that way a traceback."""
    assert main(["boom"]) == 1

    said = capsys.readouterr().err
    assert "ZeroDivisionError: by zero" in said
    assert "--verbose" in said
    assert "Traceback" not in said
    with pytest.raises(ZeroDivisionError):
        main(["boom", "--verbose"])


def test_closed_pipe_is_no_error(board: Path) -> None:
    """Whoever reads only the beginning, as `head` does, sees no complaint."""
    program = f"from prefect_seedance.cli import main; main(['plan', {str(board)!r}])"
    reader, writer = os.pipe()
    os.close(reader)

    run = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )

    os.close(writer)
    assert run.stderr == ""


@pytest.mark.parametrize("words", [["--help"], ["plan", "{board}"], ["produce", "--help"]])
def test_does_not_load_prefect(words: list[str], board: Path) -> None:
    """What needs no Prefect does not wait for it."""
    words = [word.format(board=board) for word in words]
    program = f"import sys; from prefect_seedance.cli import main; main({words}); print(*sys.modules)"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "prefect_seedance.cli" in run.stdout.split()
    assert "prefect" not in run.stdout.split()


# Plan


def plan(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """Run `plan --json` and return what it says."""
    assert main(["plan", *map(str, words), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_plan_says_what_it_costs(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an archive everything would be made, and each second is billed."""
    assert main(["plan", str(board), "--price-per-second", "0.05"]) == 0

    said = capsys.readouterr().out
    assert "Test board: 2 clips" in said
    assert "1  dawn → noon  made         4 s" in said
    assert "2 made. 8 s of video would be billed, which costs 0.40." in said


async def _asking(store: Store, clip: PlannedClip) -> None:
    await begun(store, clip, settled=False)


async def _unresolved(store: Store, clip: PlannedClip) -> None:
    await begun(store, clip)


async def _in_flight(store: Store, clip: PlannedClip) -> None:
    await ended(store, clip, None)


async def _made(store: Store, clip: PlannedClip) -> None:
    await ended(store, clip, SUCCEEDED)


async def _archived(store: Store, clip: PlannedClip) -> None:
    await store.create(f"clips/{clip.fingerprint}/clip.json", archived(clip).model_dump_json().encode())


async def _refused(store: Store, clip: PlannedClip) -> None:
    await ended(store, clip, REFUSED, accepted=False)


async def _failed(store: Store, clip: PlannedClip) -> None:
    await ended(store, clip, FAILED)


async def _rejected(store: Store, clip: PlannedClip) -> None:
    await ended(store, clip, REJECTED)


@pytest.mark.parametrize(
    ("history", "words", "will", "billed"),
    [
        pytest.param(_asking, [], "wait", 0, id="another run is asking"),
        pytest.param(_unresolved, [], "unresolved", 0, id="unresolved"),
        pytest.param(_unresolved, ["--on-unresolved", "resubmit"], "make", 4, id="unresolved, resubmitted"),
        pytest.param(_in_flight, [], "wait", 0, id="in flight"),
        pytest.param(_made, [], "fetch", 0, id="made"),
        pytest.param(_archived, [], "reuse", 0, id="archived"),
        pytest.param(_refused, [], "make", 4, id="refused"),
        pytest.param(_failed, [], "failed", 0, id="failed"),
        pytest.param(_failed, ["--retry-failed"], "make", 4, id="failed, retried"),
        pytest.param(_rejected, ["--retry-failed"], "failed", 0, id="rejected"),
        pytest.param(_rejected, ["--retry-rejected"], "make", 4, id="rejected, retried"),
    ],
)
def test_plan_knows_history(
    history: Any,  # noqa: ANN401 -- one of the above
    words: list[str],
    will: str,
    billed: int,
    board: Path,
    archive: Path,
    clips: tuple[PlannedClip, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What would become of a clip follows from its history and from what may be paid for again."""
    asyncio.run(history(Store.open(str(archive)), clips[0]))

    forecast = plan(capsys, board, "--archive", archive, *words)

    first, second = forecast["clips"]
    assert (first["will"], first["billed_seconds"]) == (will, billed)
    assert (first["reason"] is None) == (will not in {"unresolved", "failed"})
    assert second["will"] == "make"
    assert forecast["billed_seconds"] == billed + 4


def test_plan_bills_equal_clips_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clips that are the same in all that decides them are one."""
    board = tmp_path / "waves.yaml"
    board.write_text("clips:\n  - prompt: waves\n  - prompt: waves\n", encoding="utf-8")

    forecast = plan(capsys, board)

    assert [clip["billed_seconds"] for clip in forecast["clips"]] == [4, 0]


def test_plan_tells_what_is_done_to_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each image that the API would not get as it is stands there once a way it is changed."""
    sideways = Image.Exif()
    sideways[0x0112] = 6
    Image.new("RGB", (64, 32)).save(tmp_path / "a.jpg", exif=sideways.tobytes())
    Image.new("RGB", (64, 36)).save(tmp_path / "b.png")
    shots = "[{image: a.jpg, prompt: waves}, {image: b.png, prompt: gulls}, {image: a.jpg}]"
    board = tmp_path / "board.yaml"
    board.write_text(f"defaults: {{fit: pad, aspect_ratio: '16:9'}}\nshots: {shots}\n", encoding="utf-8")

    (first, _) = plan(capsys, board)["clips"]
    assert main(["plan", str(board)]) == 0
    said = capsys.readouterr().out.splitlines()

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
    assert [line for line in said if "a.jpg" in line] == [
        "a.jpg  32×64  rotated upright, padded to 16:9, 1280×720"
    ]
    assert not any("b.png" in line for line in said)


def test_plan_makes_no_folder(board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To plan for an archive that is not there yet leaves nothing behind."""
    plan(capsys, board, "--archive", tmp_path / "later")

    assert not (tmp_path / "later").exists()


# Ledger


def test_ledger_begins_with_unresolved(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What needs settling comes first, with all that helps to settle it; the reason of a failure is told."""
    store = Store.open(str(archive))
    asyncio.run(_failed(store, clips[0]))
    asyncio.run(_unresolved(store, clips[1]))

    assert main(["ledger", str(archive)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert (
        " ".join(lines[1].split()) == f"{clips[1].fingerprint[:12]} unresolved 3 h 1 noon → dusk test-board"
    )
    assert lines[2].split()[1] == "failed"
    assert "task_1" in lines[2]
    assert "dawn → noon: PROCESSING_TIMEOUT" in lines
    assert lines[-1] == "2 clips: 1 unresolved, 1 failed"


def test_ledger_lists_unresolved_only(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs can ask for what is unresolved."""
    store = Store.open(str(archive))
    asyncio.run(_in_flight(store, clips[0]))
    asyncio.run(_unresolved(store, clips[1]))

    assert main(["ledger", str(archive), "--unresolved", "--json"]) == 0

    (line,) = json.loads(capsys.readouterr().out)["clips"]
    assert (line["state"], line["name"], line["asked_by"]) == ("unresolved", "noon → dusk", "here process 7")
    assert line["age_seconds"] >= 3 * 3600


def test_empty_ledger_is_told(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive in which nothing was asked for yet is no error."""
    assert main(["ledger", str(archive)]) == 0
    assert capsys.readouterr().out == "0 clips\n"


# Screens


def spoken(clip: PlannedClip, *stages: str) -> Iterator[Progress]:
    for stage in stages:
        yield Progress(clip, stage, is_final=stage in set(ClipStatus))


def test_lines_tell_every_step(clips: tuple[PlannedClip, ...]) -> None:
    """In a pipe each step is a line with its time; that a clip is queued is none."""
    out = io.StringIO()
    lines = Lines(out, now=lambda: datetime(2026, 11, 1, 12, 3, 4))  # noqa: DTZ001 -- local

    with lines:
        for progress in spoken(clips[0], "queued", "submitting", "processing", "made"):
            lines.hear(progress)

    assert out.getvalue().splitlines() == [
        "12:03:04  dawn → noon  submitting",
        "12:03:04  dawn → noon  processing",
        "12:03:04  dawn → noon  made",
    ]


def test_lines_outlive_their_reader(clips: tuple[PlannedClip, ...]) -> None:
    """That nobody reads any more does not disturb what is being paid for."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:  # noqa: PTH123 -- a file descriptor
        lines = Lines(pipe)
        for progress in spoken(clips[0], "submitting", "made"):
            lines.hear(progress)

    assert lines.has_spent


def test_only_submitting_spends(clips: tuple[PlannedClip, ...]) -> None:
    """Until a submission may have been sent, an error is one of set-up."""
    lines = Lines(io.StringIO())
    for progress in spoken(clips[0], "queued", "reused"):
        lines.hear(progress)

    assert not lines.has_spent


class Clock:
    """A clock that stands until it is told to go on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def seen(board: Board, console: Console) -> list[str]:
    """Look at the board through a second console, for the first is written to by the board itself."""
    paper = Console(file=io.StringIO(), width=console.width, height=console.height)
    with paper.capture() as capture:
        paper.print(board.look())
    return [line.rstrip() for line in capture.get().splitlines()]


def screen(width: int = 60, height: int = 24) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True)


def test_board_shows_state_and_time(clips: tuple[PlannedClip, ...]) -> None:
    """Each clip has a row with the time since it left the queue, which stands still once it is done."""
    console, clock = screen(), Clock()
    board = Board("Test board", console=console, clock=clock)

    with board:
        for progress in (*spoken(clips[0], "submitting"), *spoken(clips[1], "queued")):
            board.hear(progress)
        clock.now = 65.0
        for progress in spoken(clips[0], "made"):
            board.hear(progress)
        clock.now = 70.0
        lines = seen(board, console)

    assert lines[0] == "Test board  1:10"
    assert lines[3].split() == ["1", "dawn", "→", "noon", "made", "1:05"]
    assert lines[4].split() == ["2", "noon", "→", "dusk", "queued"]


@pytest.mark.parametrize("height", [10, 24, 50])
def test_board_fits_the_screen(height: int, clips: tuple[PlannedClip, ...]) -> None:
    """Of a thousand clips those are seen that move or went wrong, and the rest is counted."""
    console = screen(height=height)
    board = Board("Test board", console=console)
    stages = {7: "processing", 500: "failed", 999: "archiving"}

    with board:
        for number in range(1, 1001):
            clip = clips[0].model_copy(update={"number": number, "name": f"clip {number}"})
            for progress in spoken(clip, stages.get(number, "queued" if number > 300 else "made")):
                board.hear(progress)
        text = "\n".join(seen(board, console))

    assert text.count("\n") + 1 < height
    assert all(f"clip {number} " in text for number in stages if height > 10)
    assert "299\N{NO-BREAK SPACE}made" in text
    assert "not shown)" in text


def test_board_keeps_to_the_width(clips: tuple[PlannedClip, ...]) -> None:
    """On a narrow terminal names are cut, and no row needs two lines."""
    console = screen(width=40)
    board = Board("Test board", console=console)

    with board:
        for progress in spoken(clips[0].model_copy(update={"name": "x" * 60}), "processing"):
            board.hear(progress)
        lines = seen(board, console)

    assert lines[3].split() == ["1", "x" * 11 + "…", "processing", "0:00"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0:00"), (7, "0:07"), (59.99, "0:59"), (760, "12:40"), (3723, "1:02:03"), (36_000, "10:00:00")],
)
def test_elapsed_reads_like_a_clock(seconds: float, text: str) -> None:
    """A time is read as off a clock, however long it takes."""
    assert elapsed(seconds) == text


# The account


def told(manifest: Manifest, *, width: int = 1000) -> str:
    """Return the account as text."""
    console = Console(file=io.StringIO(), width=width, no_color=True)
    with console.capture() as capture:
        console.print(*account(manifest, again=PRODUCE, width=width), sep="\n")
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_account_tells_where_clips_are(clips: tuple[PlannedClip, ...]) -> None:
    """Of what succeeded the files are told, how they differ from what was asked, and nothing to do."""
    first = Entry.of(
        clips[0], ClipStatus.made, archived=archived(clips[0], findings=("is silent",)), billed_seconds=4
    )
    second = Entry.of(clips[1], ClipStatus.reused, archived=archived(clips[1]))

    text = told(manifest_of(first, second))

    assert f"1  dawn → noon  made    clips/{clips[0].fingerprint}/clip.mp4" in text
    assert "dawn → noon is silent" in text
    assert "1 made, 1 reused. This run submitted 4 s of video." in text
    assert text.endswith("Manifest  /films/productions/test-board/manifest.json")


@pytest.mark.parametrize(
    ("status", "error", "command"),
    [
        pytest.param(ClipStatus.failed, GenerationFailedError, f"{PRODUCE} --retry-failed", id="failed"),
        pytest.param(ClipStatus.failed, ContentRejectedError, f"{PRODUCE} --retry-rejected", id="rejected"),
        pytest.param(
            ClipStatus.unresolved,
            SubmissionUnresolvedError,
            "ledger /films --unresolved",
            id="unresolved",
        ),
        pytest.param(ClipStatus.in_flight, DeadlineError, PRODUCE, id="in flight"),
        pytest.param(ClipStatus.not_submitted, DeadlineError, PRODUCE, id="not submitted"),
    ],
)
def test_account_says_what_is_next(
    status: ClipStatus, error: type[SeedanceError], command: str, clips: tuple[PlannedClip, ...]
) -> None:
    """What is left to do is the last thing on the screen: a command to be copied."""
    text = told(manifest_of(Entry.of(clips[0], status, error=error("Because."))))

    assert "\nBecause.\n" in text
    assert text.endswith(command)


def test_account_says_things_once(clips: tuple[PlannedClip, ...]) -> None:
    """What is true of a thousand clips is said once; many different remarks are left to the manifest."""
    same = [Entry.of(clips[0], ClipStatus.failed, error=InvalidRequestError("No key."))] * 1000
    different = [
        Entry.of(clips[0], ClipStatus.failed, error=InvalidRequestError(f"Reason {number}."))
        for number in range(50)
    ]

    assert told(manifest_of(*same)).count("No key.") == 1
    assert "30 more remarks in manifest.json" in told(manifest_of(*different))


def test_account_fits_eighty_columns(clips: tuple[PlannedClip, ...]) -> None:
    """A file's path can be copied from an ordinary terminal, however long the clip's name is."""
    clip = clips[0].model_copy(update={"name": "a name that goes on and on and on"})
    entry = Entry.of(clip, ClipStatus.made, archived=archived(clips[0]))

    text = told(manifest_of(entry), width=80)

    assert f"a name that…  made    clips/{clips[0].fingerprint}/clip.mp4\n" in text
