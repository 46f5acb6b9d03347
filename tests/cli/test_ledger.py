"""The list of submitted clips."""

import asyncio
import re
from pathlib import Path

import pytest

from prefect_seedance.cli import main
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.report.clip_names import name_clips
from prefect_seedance.report.manifest import Entry, read_manifest, record
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import PlannedClip
from tests.cli.conftest import Run, record_in_flow
from tests.records import (
    FAILED,
    intent_of,
    manifest_of,
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
    assert " ".join(lines[0].split()) == f"{clips[1].fingerprint[:12]} unresolved 3 h noon → dusk"
    assert lines[3].split()[1] == "failed"
    assert "  generation task_1" in lines
    assert "dawn → noon: PROCESSING_TIMEOUT" in lines
    assert lines[-1] == "2 clips: 1 unresolved, 1 failed"


def test_shows_what_a_clip_is(lighthouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each clip has its place, settings, prompt and file, under its name for people if it has one."""
    asyncio.run(_archive(lighthouse, named=False))
    assert main(["ledger", str(lighthouse)]) == 0
    before = capsys.readouterr().out
    asyncio.run(_archive(lighthouse, named=True))
    assert main(["ledger", str(lighthouse), "lighthouse/2"]) == 0
    after = capsys.readouterr().out

    assert "  lighthouse/1, 4 s, 720p, “" in before
    assert re.search(r"^  clips/\w+/clip-\w+\.mp4$", before, re.MULTILINE)
    assert "  productions/lighthouse/clips/02 noon.mp4\n" in after
    assert after.endswith("1 clip: 1 archived\n")


def test_former_clip_is_marked(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str], run_json: Run
) -> None:
    """A clip that its storyboard no longer has says so, and its take is known."""
    asyncio.run(_record_edit(archive, clips))

    assert main(["ledger", str(archive)]) == 0
    out = capsys.readouterr().out
    lines = {line["name"]: line for line in run_json("ledger", archive)["clips"]}

    assert "  no longer in test-board, 4 s, 480p, take 3, “drifting clouds after dawn”\n" in out
    assert (lines["dawn → noon"]["in_storyboard"], lines["dawn → noon"]["places"]) == (False, [])
    assert (lines["noon → dusk"]["in_storyboard"], lines["noon → dusk"]["places"]) == (True, ["test-board/2"])


def test_damaged_manifest_has_no_places(archive: Path, clips: tuple[PlannedClip, ...], run_json: Run) -> None:
    """Without a readable manifest, it is unknown whether a storyboard still has a clip."""
    asyncio.run(_record_edit(archive, clips))
    (archive / "productions/test-board/manifest.json").write_bytes(b"{")

    lines = run_json("ledger", archive)["clips"]

    assert [line["in_storyboard"] for line in lines] == [None, None]


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_fit_terminals(
    columns: int,
    archive: Path,
    clips: tuple[PlannedClip, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On ordinary terminals no line is longer than the terminal is wide."""
    long = clips[0].model_copy(update={"name": "a long name " * 20, "prompt": "a long prompt " * 20})
    asyncio.run(_record(archive, (long, clips[1])))
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": f"{columns}", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)

    assert main(["ledger", str(archive)]) == 0

    assert max(map(len, capsys.readouterr().out.splitlines())) <= columns


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
    assert f"{prefix} unreadable" in out
    assert "0 attempts" in out
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


def test_links_flow_run(
    archive: Path, clips: tuple[PlannedClip, ...], capsys: pytest.CaptureFixture[str], run_json: Run
) -> None:
    """A clip has the flow run that submitted it, with its page; one of an older version has none."""
    page = "https://ui.example/runs/flow-run/7"
    asyncio.run(record_in_flow(archive, clips[0], url=page))
    asyncio.run(_record_in_flight(archive, clips[1]))

    assert main(["ledger", str(archive)]) == 0
    out = capsys.readouterr().out
    lines = {line["name"]: line for line in run_json("ledger", archive)["clips"]}

    assert f"  flow run produce dawn  {page}\n" in out
    assert lines["dawn → noon"]["flow_run"] == {
        "name": "produce dawn",
        "id": "7",
        "deployment_id": "3",
        "url": page,
    }
    assert lines["noon → dusk"]["flow_run"] is None


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


async def _archive(folder: Path, *, named: bool) -> None:
    """Store the records of a production's clips, and give them names for people."""
    store = Store.open(str(folder))
    manifest = await read_manifest(store, "lighthouse")
    for entry in manifest.clips:
        assert entry.clip
        await store.put(f"clips/{entry.fingerprint}/clip.json", entry.clip.model_dump_json().encode())
    if named:
        await name_clips(manifest, store)


async def _record_edit(archive: Path, clips: tuple[PlannedClip, ...]) -> None:
    """Record two clips, of which the storyboard has only the second one now."""
    store = Store.open(str(archive))
    intent = intent_of(clips[0]).model_copy(update={"take": 3})
    await Ledger(store).claim(intent)
    await record_in_flight(store, clips[1])
    await record(manifest_of(Entry.of(clips[1], ClipStatus.in_flight)), store)


async def _record_in_flight(archive: Path, clip: PlannedClip) -> None:
    await record_in_flight(Store.open(str(archive)), clip)


async def _record_unreadable(archive: Path, clips: tuple[PlannedClip, ...]) -> None:
    store = Store.open(str(archive))
    await record_unreadable(store, clips[0])
    await record_in_flight(store, clips[1])
