"""The command that resolves a submission with an unknown outcome."""

import asyncio
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Result
from prefect_seedance.report.manifest import Entry, record
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.cli.conftest import Run, record_in_flow
from tests.records import FAILED, manifest_of, record_outcome, record_unresolved


@pytest.fixture
def unresolved(archive: Path, clips: tuple[PlannedClip, ...]) -> PlannedClip:
    """Return a clip with an unresolved submission."""
    asyncio.run(_record(archive, clips[0]))
    return clips[0]


def test_declares_lost(unresolved: PlannedClip, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lost submission gets an outcome, and the output says what the next run will pay for."""
    assert main(["resolve", str(archive), unresolved.fingerprint[:12], "--lost"]) == 0

    (attempt,) = asyncio.run(_attempts(archive, unresolved))
    assert attempt.outcome
    assert attempt.outcome.result is Result.lost
    assert " on " in (attempt.outcome.resolved_by or "")
    assert capsys.readouterr().out == (
        "dawn → noon is declared lost; run produce again to pay for attempt 2\n"
    )


def test_json_describes_attempt(unresolved: PlannedClip, archive: Path, run_json: Run) -> None:
    """A program gets the attempt and its result."""
    assert run_json("resolve", archive, unresolved.fingerprint, "--lost") == {
        "clip": unresolved.fingerprint,
        "name": "dawn → noon",
        "attempt": 1,
        "result": "lost",
        "generation_id": None,
    }


def test_names_flow_run(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str], run_json: Run
) -> None:
    """The flow run that submitted the clip is named, with its page if that is known."""
    asyncio.run(record_in_flow(archive, clips[0], url="https://ui.example/runs/flow-run/7"))
    asyncio.run(record_in_flow(archive, clips[1], url=""))

    found = run_json("resolve", archive, clips[0].fingerprint, "--lost")
    assert main(["resolve", str(archive), clips[1].fingerprint, "--lost"]) == 0

    assert found["flow_run"]["url"] == "https://ui.example/runs/flow-run/7"
    assert capsys.readouterr().out.endswith("\nIt was submitted by flow run produce dawn: 7\n")


@pytest.mark.parametrize("words", [[], ["--lost", "--adopt", "task_1"]], ids=["neither", "both"])
def test_needs_one_decision(
    words: list[str], unresolved: PlannedClip, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without exactly one decision nothing is recorded."""
    assert main(["resolve", str(archive), unresolved.fingerprint, *words]) == 2

    assert "Give either --adopt TASKID or --lost" in capsys.readouterr().err
    (attempt,) = asyncio.run(_attempts(archive, unresolved))
    assert attempt.undecided


@pytest.mark.parametrize(
    "words",
    ["dawn → noon", "DAWN → noon", "1", "test-board/1", "Test board/dawn → noon", "01 dawn → noon.mp4"],
    ids=["name", "case", "number", "production", "title", "file"],
)
def test_accepts_what_people_know(words: str, archive: Path, clips: tuple[PlannedClip, ...]) -> None:
    """A clip is found by its name, its number or its file, also where only a run that died recorded it."""
    asyncio.run(_record_production(archive, clips))

    assert main(["resolve", str(archive), words, "--lost"]) == 0

    (attempt,) = asyncio.run(_attempts(archive, clips[0]))
    assert attempt.outcome


def test_number_of_another_is_refused(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that several productions have resolves none of them, and the error names all."""
    asyncio.run(_record_production(archive, clips, productions=("test-board", "other")))

    assert main(["resolve", str(archive), "1", "--lost"]) == 2

    err = capsys.readouterr().err
    assert "'1' describes 2 clips" in err
    assert f"{clips[0].fingerprint[:12]} is test-board/1 dawn → noon" in err
    (attempt,) = asyncio.run(_attempts(archive, clips[0]))
    assert attempt.undecided


def test_number_is_no_fingerprint(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A number of no clip is an error, even if a fingerprint begins with it."""
    named = clips[0].model_copy(update={"fingerprint": "7" * 32})
    asyncio.run(_record(archive, named))

    assert main(["resolve", str(archive), "7", "--lost"]) == 2

    assert "There is no clip '7'" in capsys.readouterr().err
    (attempt,) = asyncio.run(_attempts(archive, named))
    assert attempt.undecided


def test_name_prefers_unresolved(archive: Path, clips: tuple[PlannedClip, ...]) -> None:
    """Of two versions of a clip with the same name, the unresolved one is meant."""
    other = clips[1].model_copy(update={"name": clips[0].name})
    asyncio.run(_record(archive, clips[0]))
    asyncio.run(_record_done(archive, other))

    assert main(["resolve", str(archive), clips[0].name, "--lost"]) == 0

    (attempt,) = asyncio.run(_attempts(archive, clips[0]))
    assert attempt.outcome


def test_unknown_clip_is_refused(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fingerprint without an unresolved submission is an error."""
    assert main(["resolve", str(archive), "0123", "--lost"]) == 2
    assert "0123" in capsys.readouterr().err


async def _record(archive: Path, clip: PlannedClip) -> None:
    await record_unresolved(Store.open(str(archive)), clip)


async def _record_done(archive: Path, clip: PlannedClip) -> None:
    await record_outcome(Store.open(str(archive)), clip, FAILED)


async def _record_production(
    archive: Path, clips: tuple[PlannedClip, ...], *, productions: tuple[str, ...] = ("test-board",)
) -> None:
    """Record an unresolved clip, and manifests in which one of the clips is the first."""
    store = Store.open(str(archive))
    await record_unresolved(store, clips[0])
    for production, clip in zip(productions, clips, strict=False):
        entry = Entry.of(clip.model_copy(update={"number": 1}), ClipStatus.unresolved)
        await record(manifest_of(entry).model_copy(update={"production": production}), store)


async def _attempts(archive: Path, clip: PlannedClip) -> tuple[Attempt, ...]:
    return await Ledger(Store.open(str(archive))).attempts(clip.fingerprint)
