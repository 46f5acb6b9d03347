"""The command that resolves a submission with an unknown outcome."""

import asyncio
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt, Result
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.cli.conftest import Run
from tests.records import record_unresolved


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


@pytest.mark.parametrize("words", [[], ["--lost", "--adopt", "task_1"]], ids=["neither", "both"])
def test_needs_one_decision(
    words: list[str], unresolved: PlannedClip, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without exactly one decision nothing is recorded."""
    assert main(["resolve", str(archive), unresolved.fingerprint, *words]) == 2

    assert "Give either --adopt TASKID or --lost" in capsys.readouterr().err
    (attempt,) = asyncio.run(_attempts(archive, unresolved))
    assert attempt.undecided


def test_unknown_clip_is_refused(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fingerprint without an unresolved submission is an error."""
    assert main(["resolve", str(archive), "0123", "--lost"]) == 2
    assert "0123" in capsys.readouterr().err


async def _record(archive: Path, clip: PlannedClip) -> None:
    await record_unresolved(Store.open(str(archive)), clip)


async def _attempts(archive: Path, clip: PlannedClip) -> tuple[Attempt, ...]:
    return await Ledger(Store.open(str(archive))).attempts(clip.fingerprint)
