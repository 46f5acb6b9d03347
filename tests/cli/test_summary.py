"""The summary of a production."""

import io

import pytest
from rich.console import Console

from prefect_seedance.cli.summary import summary
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import (
    ContentRejectedError,
    DeadlineError,
    GenerationFailedError,
    InvalidRequestError,
    LinkExpiredError,
    SeedanceError,
    SubmissionUnresolvedError,
)
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.storyboard.plan import PlannedClip
from tests.records import archived_clip, manifest_of

PRODUCE = "prefect-seedance produce board.yaml --archive /films"


def printed(manifest: Manifest, *, width: int = 1000, again: str = PRODUCE) -> str:
    """Return the summary as text."""
    console = Console(file=io.StringIO(), width=width, no_color=True)
    with console.capture() as capture:
        console.print(*summary(manifest, again=again, width=width), sep="\n")
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_lists_files(clips: tuple[PlannedClip, ...]) -> None:
    """A complete production lists its files and findings, and needs no further command."""
    silent = archived_clip(clips[0], findings=("is silent",))
    first = Entry.of(clips[0], ClipStatus.made, archived=silent, billed_seconds=4)
    second = Entry.of(clips[1], ClipStatus.reused, archived=archived_clip(clips[1]))

    text = printed(manifest_of(first, second))

    assert f"1  dawn → noon  made    clips/{clips[0].fingerprint}/clip.mp4" in text
    assert "dawn → noon is silent" in text
    assert (
        "1 made, 1 reused. This run submitted 4 s of video. To see the cost, give --price-per-second." in text
    )
    assert text.endswith("Manifest  /films/productions/test-board/manifest.json")


@pytest.mark.parametrize(
    ("status", "error", "command"),
    [
        pytest.param(ClipStatus.failed, GenerationFailedError, f"{PRODUCE} --retry-failed", id="failed"),
        pytest.param(ClipStatus.failed, ContentRejectedError, f"{PRODUCE} --retry-rejected", id="rejected"),
        pytest.param(
            ClipStatus.unresolved, SubmissionUnresolvedError, "ledger /films --unresolved", id="unresolved"
        ),
        pytest.param(ClipStatus.in_flight, DeadlineError, PRODUCE, id="in flight"),
        pytest.param(ClipStatus.not_archived, LinkExpiredError, PRODUCE, id="not archived"),
        pytest.param(ClipStatus.not_submitted, DeadlineError, PRODUCE, id="not submitted"),
    ],
)
def test_ends_with_next_command(
    status: ClipStatus, error: type[SeedanceError], command: str, clips: tuple[PlannedClip, ...]
) -> None:
    """The last line is the command that continues."""
    text = printed(manifest_of(Entry.of(clips[0], status, error=error("Because."))))

    assert "\nBecause.\n" in text
    assert text.endswith(command)


def test_suggests_no_option_twice(clips: tuple[PlannedClip, ...]) -> None:
    """A run that had permission to pay again does not suggest the same option."""
    entry = Entry.of(clips[0], ClipStatus.failed, error=GenerationFailedError("Because."))

    text = printed(manifest_of(entry), again=f"{PRODUCE} --retry-failed")

    assert "Pay for another attempt" not in text


def test_shows_missing_film(clips: tuple[PlannedClip, ...]) -> None:
    """If the film or the report could not be made, the summary says why."""
    entry = Entry.of(clips[0], ClipStatus.made, archived=archived_clip(clips[0]))
    reasons = {"film_reason": "The disk is full", "report_reason": "The archive is read-only"}

    text = printed(manifest_of(entry).model_copy(update=reasons))

    assert "Film      none: The disk is full" in text
    assert "Report    none: The archive is read-only" in text


def test_repeats_no_remark(clips: tuple[PlannedClip, ...]) -> None:
    """A reason shared by a thousand clips is printed once; of many different ones, twenty."""
    same = [Entry.of(clips[0], ClipStatus.failed, error=InvalidRequestError("No key."))] * 1000
    different = [
        Entry.of(clips[0], ClipStatus.failed, error=InvalidRequestError(f"Reason {number}."))
        for number in range(50)
    ]

    assert printed(manifest_of(*same)).count("No key.") == 1
    assert "30 more remarks in manifest.json" in printed(manifest_of(*different))


def test_fits_eighty_columns(clips: tuple[PlannedClip, ...]) -> None:
    """A file's path is not cut on an ordinary terminal, however long the clip's name is."""
    clip = clips[0].model_copy(update={"name": "a name that goes on and on and on"})
    entry = Entry.of(clip, ClipStatus.made, archived=archived_clip(clips[0]))

    text = printed(manifest_of(entry), width=80)

    assert f"a name that…  made    clips/{clips[0].fingerprint}/clip.mp4\n" in text


@pytest.mark.parametrize("width", [80, 120, 1000])
def test_named_files_need_no_column(width: int, clips: tuple[PlannedClip, ...]) -> None:
    """Where files have the clips' names, the table shows no other names of them."""
    key = f"clips/{clips[0].fingerprint}/clip-{'0' * 12}.mp4"
    archived = archived_clip(clips[0]).model_copy(update={"key": key})
    clip = clips[0].model_copy(update={"name": "a name that goes on and on and on " * 3})
    manifest = manifest_of(Entry.of(clip, ClipStatus.made, archived=archived))

    text = printed(manifest.model_copy(update={"clips_folder": "productions/x/clips"}), width=width)

    row = text.splitlines()[3]
    assert key not in row
    assert len(row) <= width
    assert "Clips     /films/productions/x/clips/" in text
