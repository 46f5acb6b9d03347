"""The list of submitted clips."""

import asyncio
import re
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.cli.conftest import Run
from tests.records import (
    FAILED,
    record_in_flight,
    record_outcome,
    record_submitting,
    record_unreadable,
    record_unresolved,
)


def test_unresolved_comes_first(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The clip that a person has to resolve comes first, and each failure has its reason."""
    asyncio.run(_record(archive, clips))

    assert main(["ledger", str(archive)]) == 0

    lines = capsys.readouterr().out.splitlines()
    first = f"{clips[1].fingerprint[:12]} unresolved 3 h 1 noon → dusk test-board"
    assert " ".join(lines[1].split()) == first
    assert lines[2].split()[1] == "failed"
    assert "task_1" in lines[2]
    assert "dawn → noon: PROCESSING_TIMEOUT" in lines
    assert lines[-1] == "2 clips: 1 unresolved, 1 failed"


def test_lists_unresolved_only(archive: Path, clips: tuple[PlannedClip, ...], run_json: Run) -> None:
    """With --unresolved a program gets only the unresolved clips."""
    asyncio.run(_record(archive, clips))

    (line,) = run_json("ledger", archive, "--unresolved")["clips"]

    assert (line["status"], line["name"]) == ("unresolved", "noon → dusk")
    assert line["asked_by"] == "host process 7"
    assert line["age_seconds"] >= 3 * 3600


def test_says_until_when_to_wait(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """With --unresolved a person reads until when a submission may still be answered."""
    asyncio.run(_record_submitting(archive, clips[0]))

    assert main(["ledger", str(archive), "--unresolved"]) == 0

    out = " ".join(capsys.readouterr().out.split())
    assert re.fullmatch(
        r"0 clips dawn → noon is being submitted by host process 7, which may record an answer until "
        r"\d\d:\d\d:\d\d UTC; afterwards it may be unresolved",
        out,
    )


def test_status_follows_records(archive: Path, clips: tuple[PlannedClip, ...], run_json: Run) -> None:
    """An accepted clip is in flight, with the API's id and no reason."""
    asyncio.run(_record_in_flight(archive, clips[0]))

    (line,) = run_json("ledger", archive)["clips"]

    assert (line["status"], line["generation_id"], line["reason"]) == ("in flight", "task_1", None)


def test_bad_record_is_a_row(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A clip with a damaged record is listed beside the others, with the record and the remedy."""
    asyncio.run(_record_unreadable(archive, clips))

    assert main(["ledger", str(archive)]) == 0

    out = " ".join(capsys.readouterr().out.split())
    prefix = clips[0].fingerprint[:12]
    assert f"{prefix} unreadable 0" in out
    assert f"{prefix}: The record {archive}/clips/{clips[0].fingerprint}/attempt-001/intent.json is" in out
    assert "restore it from a backup" in out
    assert "2 clips: 1 unreadable, 1 in flight" in out


def test_json_has_bad_record(archive: Path, clips: tuple[PlannedClip, ...], run_json: Run) -> None:
    """A program gets the clip with a damaged record too, with what is known of it."""
    asyncio.run(_record_unreadable(archive, clips))

    unreadable, other = run_json("ledger", archive)["clips"]

    assert (unreadable["status"], unreadable["attempts"], unreadable["asked_at"]) == ("unreadable", 0, None)
    assert "intent.json is missing or damaged" in unreadable["reason"]
    assert other["status"] == "in flight"


def test_empty_ledger_has_no_clips(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive without submissions is no error."""
    assert main(["ledger", str(archive)]) == 0
    assert capsys.readouterr().out == "0 clips\n"


async def _record(archive: Path, clips: tuple[PlannedClip, ...]) -> None:
    store = Store.open(str(archive))
    await record_outcome(store, clips[0], FAILED)
    await record_unresolved(store, clips[1])


async def _record_submitting(archive: Path, clip: PlannedClip) -> None:
    await record_submitting(Store.open(str(archive)), clip)


async def _record_in_flight(archive: Path, clip: PlannedClip) -> None:
    await record_in_flight(Store.open(str(archive)), clip)


async def _record_unreadable(archive: Path, clips: tuple[PlannedClip, ...]) -> None:
    store = Store.open(str(archive))
    await record_unreadable(store, clips[0])
    await record_in_flight(store, clips[1])
