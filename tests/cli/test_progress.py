"""Progress on a terminal and in a pipe."""

import io
from datetime import datetime

import pytest
from rich.console import Console

from prefect_seedance.cli.progress import Board, Lines, Screen, screen_for
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.production.progress import Progress
from prefect_seedance.storyboard.plan import PlannedClip

FINAL = {ClipStatus.made, ClipStatus.reused, ClipStatus.failed, ClipStatus.unresolved}


def show(screen: Screen, clip: PlannedClip, *statuses: str, detail: str = "") -> None:
    """Show steps of a clip."""
    for status in map(ClipStatus, statuses):
        screen.show(Progress(clip, status, detail, is_final=status in FINAL))


def test_lines_show_every_step(clips: tuple[PlannedClip, ...]) -> None:
    """In a pipe each step is a line with its time, in the API's words while in flight; queueing is none."""
    out = io.StringIO()
    lines = Lines(out, now=lambda: datetime(2026, 11, 1, 12, 3, 4))  # noqa: DTZ001  # local time is shown

    with lines:
        show(lines, clips[0], "queued", "submitting")
        show(lines, clips[0], "in flight", detail="processing")
        show(lines, clips[0], "made")

    assert out.getvalue().splitlines() == [
        "12:03:04  dawn → noon  submitting",
        "12:03:04  dawn → noon  processing",
        "12:03:04  dawn → noon  made",
    ]


def test_only_submitting_spends(clips: tuple[PlannedClip, ...]) -> None:
    """Before a submission may have been sent, nothing counts as spent."""
    lines = Lines(io.StringIO())
    board = Board("Test board", console=console())

    with board:
        show(lines, clips[0], "queued", "reused")
        show(board, clips[0], "queued", "reused")
        before = (lines.has_spent, board.has_spent)
        show(board, clips[0], "submitting")

    assert before == (False, False)
    assert board.has_spent


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def console(width: int = 60, height: int = 24) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True)


def rendered(board: Board, screen: Console) -> list[str]:
    """Render the board on a second console, because the board itself writes to the first."""
    paper = Console(file=io.StringIO(), width=screen.width, height=screen.height)
    with paper.capture() as capture:
        paper.print(board.render())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_board_shows_status_and_time(clips: tuple[PlannedClip, ...]) -> None:
    """Each clip has a row with the time since it left the queue, which stops when it is final."""
    screen, clock = console(), Clock()
    board = Board("Test board", console=screen, clock=clock)

    with board:
        show(board, clips[0], "submitting")
        show(board, clips[1], "queued")
        clock.now = 65.0
        show(board, clips[0], "made")
        clock.now = 70.0
        lines = rendered(board, screen)

    assert lines[0] == "Test board  1:10"
    assert lines[3].split() == ["1", "dawn", "→", "noon", "made", "1:05"]
    assert lines[4].split() == ["2", "noon", "→", "dusk", "queued"]
    assert lines[6] == "1\N{NO-BREAK SPACE}queued · 1\N{NO-BREAK SPACE}made"


@pytest.mark.parametrize("height", [10, 24, 50])
def test_board_fits_the_screen(height: int, clips: tuple[PlannedClip, ...]) -> None:
    """Clips in progress and failed clips get the rows; the others are counted."""
    screen = console(height=height)
    board = Board("Test board", console=screen)
    active = {7: "in flight", 500: "failed", 999: "archiving"}

    with board:
        for number in range(1, 1001):
            clip = clips[0].model_copy(update={"number": number, "name": f"clip {number}"})
            show(board, clip, active.get(number, "queued" if number > 300 else "made"))
        text = "\n".join(rendered(board, screen))

    assert text.count("\n") + 1 < height
    assert all(f"clip {number} " in text for number in active if height > 10)
    assert "299\N{NO-BREAK SPACE}made" in text
    assert "not shown)" in text


def test_board_fits_the_width(clips: tuple[PlannedClip, ...]) -> None:
    """On a narrow terminal long names are cut, so that each clip takes one line."""
    screen = console(width=40)
    board = Board("Test board", console=screen)

    with board:
        show(board, clips[0].model_copy(update={"name": "x" * 60}), "in flight", detail="processing")
        lines = rendered(board, screen)

    assert lines[3].split() == ["1", "x" * 11 + "…", "processing", "0:00"]


def test_board_shows_note(clips: tuple[PlannedClip, ...]) -> None:
    """A note is shown below the table."""
    screen = console()
    board = Board("Test board", console=screen)

    with board:
        show(board, clips[0], "submitting")
        board.note("Stopping …")
        lines = rendered(board, screen)

    assert lines[-1] == "Stopping …"


def test_pipe_gets_lines(capsys: pytest.CaptureFixture[str], clips: tuple[PlannedClip, ...]) -> None:
    """Without a terminal, steps are lines, on standard error if a program reads the output."""
    with screen_for("Test board", plain=False, error=True) as screen:
        show(screen, clips[0], "submitting")
        with screen.busy("Starting"):
            pass

    out, err = capsys.readouterr()
    assert isinstance(screen, Lines)
    assert out == ""
    assert [line.split("  ", 1)[-1] for line in err.splitlines()] == ["dawn → noon  submitting", "Starting"]
