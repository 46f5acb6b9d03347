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


def show(
    screen: Screen, clip: PlannedClip, *statuses: str, detail: str = "", left: float | None = None
) -> None:
    """Show steps of a clip."""
    for status in map(ClipStatus, statuses):
        screen.show(Progress(clip, status, detail, is_final=status in FINAL, seconds_left=left))


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


@pytest.mark.parametrize(
    ("left", "said"),
    [(50.0, "in flight, about 0:50 left"), (-65.0, "in flight, 1:05 longer than usual")],
    ids=["usual", "late"],
)
def test_lines_show_expected_time(left: float, said: str, clips: tuple[PlannedClip, ...]) -> None:
    """A line says when a generation probably ends."""
    out = io.StringIO()

    show(Lines(out), clips[0], "in flight", left=left)

    assert out.getvalue().rstrip().endswith(f"  dawn → noon  {said}")


def test_states_repeat_no_time(clips: tuple[PlannedClip, ...]) -> None:
    """The expected time is said once, and not with every state of the generation."""
    out = io.StringIO()

    show(Lines(out), clips[0], "in flight", detail="processing", left=50.0)

    assert out.getvalue().rstrip().endswith("  dawn → noon  processing")


@pytest.mark.parametrize("status", ["submitting", "in flight"])
def test_submissions_spend(status: str, clips: tuple[PlannedClip, ...]) -> None:
    """Before a submission may have been sent, nothing counts as spent."""
    lines = Lines(io.StringIO())
    board = Board("Test board", console=console())

    with board:
        show(lines, clips[0], "queued", "reused")
        show(board, clips[0], "queued", "reused")
        before = (lines.has_spent, board.has_spent)
        show(board, clips[0], status)

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
    assert lines[4].split() == ["2", "noon", "→", "dusk", "queued,", "0", "ahead"]
    assert lines[6] == "1\N{NO-BREAK SPACE}queued · 1\N{NO-BREAK SPACE}made"


def test_board_counts_down(clips: tuple[PlannedClip, ...]) -> None:
    """A generation's row shows the time left, through all its states, and says if it is late."""
    screen, clock = console(width=80), Clock()
    board = Board("Test board", console=screen, clock=clock)

    with board:
        show(board, clips[0], "in flight", left=50.0)
        clock.now = 20.0
        show(board, clips[0], "in flight", detail="processing")
        early = rendered(board, screen)[3]
        clock.now = 51.0
        late = rendered(board, screen)[3]
        show(board, clips[0], "made")
        made = rendered(board, screen)[3]

    assert early.split()[4:] == ["processing", "0:20", "~0:30"]
    assert late.split()[4:] == ["processing", "0:51", "late"]
    assert made.split()[4:] == ["made", "0:51"]


def test_board_shows_queue(clips: tuple[PlannedClip, ...]) -> None:
    """A clip that waits for a slot shows how many clips are before it, and moves up."""
    screen = console(width=80)
    board = Board("Test board", console=screen)
    queue = [clips[0].model_copy(update={"number": number, "name": "x"}) for number in (1, 2, 3)]

    with board:
        for clip in queue:
            show(board, clip, "queued")
        before = rendered(board, screen)
        show(board, queue[0], "submitting")
        after = rendered(board, screen)

    assert [line.split()[2:] for line in before[3:6]] == [["queued,", f"{n}", "ahead"] for n in range(3)]
    assert [line.split()[2:] for line in after[4:6]] == [["queued,", f"{n}", "ahead"] for n in range(2)]


@pytest.mark.parametrize("width", [80, 120])
def test_board_lines_are_whole(width: int, clips: tuple[PlannedClip, ...]) -> None:
    """On ordinary terminals, the longest status and long names take one line."""
    screen = console(width=width)
    board = Board("Test board", console=screen)

    with board:
        clip = clips[0].model_copy(update={"name": "a long name " * 20, "number": 1000})
        show(board, clip, "submitting", detail="submitted by another run", left=3700.0)
        show(board, clip, "in flight", detail="in flight, resumed", left=3700.0)
        lines = rendered(board, screen)

    assert "in flight, resumed" in lines[3]
    assert lines[4] == ""
    assert all(len(line) <= width for line in lines)


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
    """Without a terminal, steps are lines on standard error, and nothing mixes with the result."""
    with screen_for("Test board", plain=False) as screen:
        show(screen, clips[0], "submitting")
        with screen.busy("Starting"):
            pass

    out, err = capsys.readouterr()
    assert isinstance(screen, Lines)
    assert out == ""
    assert [line.split("  ", 1)[-1] for line in err.splitlines()] == ["dawn → noon  submitting", "Starting"]
