"""What somebody's own flow gets from `produce`, seen through Prefect's API."""

import asyncio
import gc
import json
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect import State, flow
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.utilities.annotations import unmapped

from prefect_seedance import (
    ClipArchive,
    Manifest,
    Output,
    PlannedClip,
    Polling,
    RunSettings,
    archive_clip,
    plan,
    produce,
    submit_clip,
    wait_for_clip,
)
from prefect_seedance.orchestration.reporting import final_state
from prefect_seedance.storyboard.loader import load_storyboard
from tests.flows.conftest import Api, account, eventually
from tests.processes import Sandbox, sandboxes, write_board

QUICK = Polling(first_seconds=0.3, every_seconds=0.2)


@dataclass(frozen=True)
class Studio:
    """A board, an archive and a sandbox."""

    board: Path
    archive: Path
    sandbox: Sandbox

    @property
    def order(self) -> RunSettings:
        """What its tasks need."""
        return RunSettings(
            credentials=account(self.sandbox),
            archive=str(self.archive),
            images_url=self.sandbox.hosted,
            pace=QUICK,
        )

    async def clips(self) -> tuple[PlannedClip, ...]:
        """Return the board's clips."""
        reading = await load_storyboard(self.board)
        return plan(reading.clips, title=reading.title).clips


@pytest.fixture(scope="module")
def shared_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Set up a studio for tests that leave its board and what is archived alone."""
    folder = tmp_path_factory.mktemp("studio")
    with sandboxes(folder) as start:
        (folder / "archive/images").mkdir(parents=True)
        sandbox = start(serve=folder / "archive/images")
        yield Studio(write_board(folder / "board"), folder / "archive", sandbox)


@pytest.fixture
def studio(board: Path, archive: Path, sandbox: Sandbox) -> Studio:
    """Set up a studio for one test."""
    return Studio(board, archive, sandbox)


async def make(studio: Studio, *, name: str = "", deadline_seconds: float = 60) -> Manifest:
    """Produce the studio's board."""
    return await produce(
        studio.board,
        archive=str(studio.archive),
        name=name,
        credentials=account(studio.sandbox),
        deadline_seconds=deadline_seconds,
        images_url=studio.sandbox.hosted,
        pace=QUICK,
    )


@flow
async def their_flow(studio: Studio, name: str = "", deadline_seconds: float = 60) -> State[Manifest]:
    """Be somebody's flow, of which `produce` is a part."""
    return final_state(await make(studio, name=name, deadline_seconds=deadline_seconds))


@flow
def their_sync_flow(studio: Studio) -> tuple[str, Manifest]:
    """Be somebody's sync flow, which calls `produce` as its docstring says."""
    return flow_run.id, asyncio.run(make(studio))


@pytest.fixture(scope="module")
def made(shared_studio: Studio) -> State[Manifest]:
    """Produce the board once."""
    return asyncio.run(their_flow(shared_studio, name="made", return_state=True))


@pytest.mark.usefixtures("made")
class TestOneRun:
    """Looks at one run that made everything."""

    def test_state_holds_manifest(self, made: State[Manifest]) -> None:
        """A complete production is Completed and gives its manifest to the caller."""
        manifest = asyncio.run(made.aresult())

        assert made.name == "Completed"
        assert made.message == "Test board: 2 made; 8 s billed"
        assert [entry.standing for entry in manifest.clips] == ["made", "made"]

    def test_clips_have_three_tasks(self, made: State[Manifest], api: Api) -> None:
        """Each clip is seen being submitted, waited for and archived."""
        runs = eventually(lambda: _finished(api.task_runs(made.state_details.flow_run_id), count=6))

        assert sorted(run["name"] for run in runs) == [
            "archive dawn → noon",
            "archive noon → dusk",
            "submit dawn → noon",
            "submit noon → dusk",
            "wait for dawn → noon",
            "wait for noon → dusk",
        ]
        assert {run["state_name"] for run in runs} == {"Completed"}

    def test_events_tell_each_change(self, made: State[Manifest], api: Api) -> None:
        """Every state of a generation and every archived clip is an event, in order, tied to the flow run."""
        eventually(lambda: len(_of(api, "seedance.clip.archived")) == 2)

        told = _of(api, "dawn → noon", by="clip")
        names = [event["event"] for event in told]
        assert names[0] == "seedance.generation.submitted"
        assert names[-2:] == ["seedance.generation.succeeded", "seedance.clip.archived"]
        assert set(names[1:-2]) <= {"seedance.generation.queued", "seedance.generation.started"}
        assert len(set(names)) == len(names)
        flow_run_id = f"prefect.flow-run.{made.state_details.flow_run_id}"
        assert all(
            flow_run_id in [related["prefect.resource.id"] for related in event["related"]] for event in told
        )

    def test_table_shows_manifest(self, made: State[Manifest], api: Api) -> None:
        """People see a table with a row for each clip."""
        table = api.artifacts(made.state_details.flow_run_id)["table"]

        assert table["key"] == "seedance-made-manifest"
        assert r"2 made\; 8 s billed" in table["description"]
        rows = [(row["#"], row["clip"]) for row in json.loads(table["data"])]
        assert rows == [(1, "dawn → noon"), (2, "noon → dusk")]

    def test_assets_tell_lineage(self, made: State[Manifest], shared_studio: Studio, api: Api) -> None:
        """What was made of what can be followed: the storyboard's clips, and their film."""
        manifest = asyncio.run(made.aresult())
        place = f"file://{shared_studio.archive}"
        clips = {f"{place}/clips/{entry.fingerprint}" for entry in manifest.clips}
        film = f"{place}/productions/made/film.mp4"

        told = eventually(lambda: _assets(api, {*clips, film}))

        board = f"{place}/productions/made/storyboard.json"
        assert {key: sources for key, (sources, _) in told.items()} == {
            **{key: {board} for key in clips},
            film: clips,
        }
        assert told[film][1]["clips"] == 2
        assert {said["sha256"] for key, (_, said) in told.items() if key != film} == {
            entry.clip.sha256 for entry in manifest.clips
        }

    def test_leaflet_leads_on(self, made: State[Manifest], shared_studio: Studio, api: Api) -> None:
        """People find the way to film and report, and no picture that their browser could not fetch."""
        artifacts = api.artifacts(made.state_details.flow_run_id)

        assert set(artifacts) == {"table", "progress", "markdown"}
        folder = f"{shared_studio.archive}/productions/made"
        assert f"- Report: `{folder}/report.html`" in artifacts["markdown"]["data"]
        assert f"- Film: `{folder}/film-" in artifacts["markdown"]["data"]

    def test_progress_ends_full(self, made: State[Manifest], api: Api) -> None:
        """The progress bar is at its end when the production is."""
        progress = api.artifacts(made.state_details.flow_run_id)["progress"]

        assert progress["key"] == "seedance-made-progress"
        assert progress["data"] == 100

    async def test_second_run_buys_nothing(self, shared_studio: Studio, api: Api) -> None:
        """What is archived is neither asked for nor fetched, and costs no task run of its own."""
        before = shared_studio.sandbox.totals()

        state = await their_flow(shared_studio, return_state=True)

        after = shared_studio.sandbox.totals()
        assert state.message == "Test board: 2 reused; 0 s billed"
        assert _of_clips(api.task_runs(state.state_details.flow_run_id)) == []
        assert after == before

    async def test_edit_buys_one_clip(self, shared_studio: Studio, tmp_path: Path) -> None:
        """After one prompt was edited, that clip is bought, and nothing else."""
        folder = shutil.copytree(shared_studio.board.parent, tmp_path / "edited")
        board = folder / "board.yaml"
        board.write_text(board.read_text().replace("clouds after noon", "snow after noon"))
        before = shared_studio.sandbox.totals()

        manifest = await make(Studio(board, shared_studio.archive, shared_studio.sandbox))

        after = shared_studio.sandbox.totals()
        assert [entry.standing for entry in manifest.clips] == ["reused", "made"]
        assert after["submits_received"] - before["submits_received"] == 1


def _finished(runs: list[dict[str, object]], *, count: int) -> list[dict[str, object]]:
    """Return the clips' runs once all are there and have ended; Prefect hears of them a little later."""
    ended = [run for run in _of_clips(runs) if run["state_name"] == "Completed"]
    return ended if len(ended) == count else []


def _assets(api: Api, keys: set[str]) -> dict[str, tuple[set[str], dict[str, Any]]]:
    """Return the sources of these assets, and what is said of each, once all are told of."""
    body = {"filter": {"event": {"prefix": ["prefect.asset.materialization.succeeded"]}}, "limit": 50}
    events = api.post("/events/filter", body).raise_for_status().json()["events"]
    found = {
        key: (
            {
                related["prefect.resource.id"]
                for related in event["related"]
                if related["prefect.resource.role"] == "asset"
            },
            event["payload"],
        )
        for event in events
        if (key := event["resource"]["prefect.resource.id"]) in keys
    }
    return found if found.keys() == keys else {}


def _of_clips(runs: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the runs that make single clips, not what they are made into."""
    steps = ("submit ", "wait ", "archive ")
    return [run for run in runs if str(run["name"]).startswith(steps)]


def _of(api: Api, value: str, *, by: str = "event") -> list[dict[str, object]]:
    """Return the run's events of this name, or about this clip, in order."""
    events = sorted(api.events("made"), key=lambda event: event["occurred"])
    return [event for event in events if value in (event[by] if by == "event" else event["payload"][by])]


async def test_failure_names_clip(studio: Studio) -> None:
    """A rejected clip fails the run and is named; the other one is archived."""
    studio.sandbox.faults(
        {"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION", "clip": "dawn"}
    )

    state = await their_flow(studio, return_state=True)

    assert state.name == "Failed"
    assert state.message
    assert state.message.startswith(
        "Test board: 1 made, 1 failed; 8 s billed\ndawn → noon: CONTENT_VIOLATION"
    )
    assert len(list(studio.archive.glob("clips/*/clip-*.mp4"))) == 1


async def test_failure_reaches_caller(studio: Studio) -> None:
    """Whoever awaits a flow that failed gets an error that says why."""
    studio.sandbox.faults({"kind": "submit", "fault": "answer", "status": 402, "message": "no money"})

    with pytest.raises(Exception, match=r"dawn → noon: .*no money"):
        await their_flow(studio)


async def test_lost_report_changes_nothing(studio: Studio, api: Api) -> None:
    """If the report cannot be written, the clips are archived all the same, and the account says why."""
    (studio.archive / "productions/test-board/report.html/in-its-way").mkdir(parents=True)

    state = await their_flow(studio, return_state=True)

    manifest = await state.aresult()
    assert (state.name, state.message) == ("Completed", "Test board: 2 made; 8 s billed")
    assert manifest.report is None
    assert "Could not write" in manifest.report_reason
    stored = Manifest.model_validate_json(
        (studio.archive / "productions/test-board/manifest.json").read_bytes()
    )
    assert stored == manifest
    assert "markdown" not in api.artifacts(state.state_details.flow_run_id)


async def test_report_can_be_left_out(studio: Studio) -> None:
    """Who wants no report gets none."""

    @flow
    async def plain() -> Manifest:
        return await produce(
            studio.board,
            archive=str(studio.archive),
            credentials=account(studio.sandbox),
            images_url=studio.sandbox.hosted,
            pace=QUICK,
            presentation=Output(film=False, report=False),
        )

    manifest = await plain()

    assert manifest.is_complete
    assert (manifest.report, manifest.report_reason) == (None, None)
    assert not (studio.archive / "productions/test-board/report.html").exists()


async def test_deadline_leaves_in_flight(studio: Studio) -> None:
    """What is not ready at the deadline has not failed, and the next run archives it unpaid."""
    studio.sandbox.faults({"kind": "generation", "fault": "take-longer", "factor": 5})

    early = await their_flow(studio, deadline_seconds=1.5, return_state=True)
    late = await their_flow(studio, return_state=True)

    assert (early.type.value, early.name) == ("COMPLETED", "InFlight")
    assert (late.name, late.message) == ("Completed", "Test board: 2 made; 0 s billed")
    assert studio.sandbox.totals()["accepted"] == 2


def test_sync_flow_attaches_tasks(studio: Studio, api: Api) -> None:
    """In a sync flow, `asyncio.run(produce(...))` works, and its task runs belong to the flow run."""
    flow_run_id, manifest = their_sync_flow(studio)

    assert manifest.is_complete
    assert eventually(lambda: _finished(api.task_runs(flow_run_id), count=6))
    assert set(api.artifacts(flow_run_id)) == {"table", "progress", "markdown"}


async def test_storyboard_lies_in_stored_archive(studio: Studio) -> None:
    """A flow takes a storyboard by the name of the archive that it lies in, with its images."""
    await ClipArchive(url=str(studio.board.parent)).asave("boards", overwrite=True)

    @flow
    async def stored() -> State[Manifest]:
        manifest = await produce(
            "block:boards/board.yaml",
            archive=str(studio.archive),
            credentials=account(studio.sandbox),
            images_url=studio.sandbox.hosted,
            pace=QUICK,
        )
        return final_state(manifest)

    manifest = await (await stored(return_state=True)).aresult()

    assert [entry.standing for entry in manifest.clips] == ["made", "made"]
    assert {path.read_bytes() for path in (studio.archive / "images").iterdir()} == {
        path.read_bytes() for path in studio.board.parent.glob("*.png")
    }


def test_two_runs_pay_once(studio: Studio) -> None:
    """Two flow runs at once, each in its own thread and event loop, pay for each clip once."""
    with ThreadPoolExecutor() as threads:
        runs = [threads.submit(copy_context().run, asyncio.run, their_flow(studio)) for _ in range(2)]
        manifests = [run.result(timeout=60) for run in runs]

    totals = studio.sandbox.totals()
    assert all(manifest.is_complete for manifest in manifests)
    assert sum(manifest.billed_seconds for manifest in manifests) == 8
    assert (totals["accepted"], totals["duplicates"]) == (2, 0)


def test_tasks_run_in_threads(studio: Studio) -> None:
    """The tasks work by themselves, mapped over clips, each in a thread and loop that leaves nothing open."""

    @flow
    def own_way() -> list[str]:
        clips = asyncio.run(studio.clips())
        order = unmapped(studio.order)
        accepted = submit_clip.map(clips, order=order)
        ended = wait_for_clip.map(accepted, order=order)
        archived = archive_clip.map(ended, order=order)
        wait(archived, timeout=60)
        return [clip.key for clip in archived.result()]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        keys = own_way()
        gc.collect()

    port = studio.sandbox.url.rpartition(":")[2]
    assert [text for warning in caught if f"{port})" in (text := str(warning.message))] == []
    assert [(studio.archive / key).is_file() for key in keys] == [True, True]
    assert studio.sandbox.totals()["accepted"] == 2


async def test_task_runs_in_async_flow(studio: Studio) -> None:
    """In an async flow, `submit` hands a clip to a thread while the flow's own loop awaits another."""

    @flow
    async def own_way() -> int:
        first, second = await studio.clips()
        future = submit_clip.submit(first, order=studio.order)
        await submit_clip(second, order=studio.order)
        return future.result(timeout=30).intent.number

    assert await own_way() == 1
    assert studio.sandbox.totals()["accepted"] == 2
