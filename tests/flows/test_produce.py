"""`produce` in a user's own flow, checked through Prefect's API."""

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
from typing import Any, Literal

import pytest
from prefect import State, flow
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.utilities.annotations import unmapped

from prefect_seedance import (
    ClipArchive,
    Hosting,
    Manifest,
    Output,
    PlannedClip,
    RunSettings,
    Waiting,
    archive_clip,
    plan,
    produce,
    submit_clip,
    wait_for_clip,
)
from prefect_seedance.errors import StoryboardError
from prefect_seedance.flows import storyboard_to_transitions
from prefect_seedance.orchestration.states import final_state
from tests.flows.conftest import Api, account, eventually
from tests.processes import Sandbox, sandboxes, write_board

QUICK = Waiting(first_poll_seconds=0.3, poll_every_seconds=0.2)


@dataclass(frozen=True)
class Setup:
    """A storyboard, an archive and a sandbox."""

    board: Path
    archive: Path
    sandbox: Sandbox

    @property
    def hosting(self) -> Hosting:
        """The hosting of local images."""
        return Hosting(images_url=self.sandbox.hosted)

    @property
    def settings(self) -> RunSettings:
        """The settings of its tasks."""
        return RunSettings(
            credentials=account(self.sandbox),
            archive=str(self.archive),
            hosting=self.hosting,
            waiting=QUICK,
        )

    async def clips(self) -> tuple[PlannedClip, ...]:
        """Return the clips of the storyboard."""
        return (await plan(self.board)).clips


@pytest.fixture(scope="module")
def shared_setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """Return a setup shared by tests that change neither storyboard nor archive."""
    folder = tmp_path_factory.mktemp("studio")
    with sandboxes(folder) as start:
        (folder / "archive/images").mkdir(parents=True)
        sandbox = start(serve=folder / "archive/images")
        yield Setup(write_board(folder / "board"), folder / "archive", sandbox)


@pytest.fixture
def setup(board: Path, archive: Path, sandbox: Sandbox) -> Setup:
    """Return a setup for one test."""
    return Setup(board, archive, sandbox)


async def make(setup: Setup, *, name: str = "", deadline_seconds: float = 60) -> Manifest:
    """Produce the storyboard of a setup."""
    return await produce(
        setup.board,
        archive=str(setup.archive),
        name=name,
        credentials=account(setup.sandbox),
        hosting=setup.hosting,
        waiting=QUICK.model_copy(update={"deadline_seconds": deadline_seconds}),
        on_incomplete="return",
    )


@flow
async def their_flow(setup: Setup, name: str = "", deadline_seconds: float = 60) -> Manifest:
    """Call `produce` as a part of a flow."""
    manifest = await make(setup, name=name, deadline_seconds=deadline_seconds)
    return final_state(manifest)  # type: ignore[return-value]  # Prefect unwraps a returned state


@flow
def their_sync_flow(setup: Setup) -> tuple[str, Manifest]:
    """Call `produce` from a sync flow, as its docstring shows."""
    return flow_run.id, asyncio.run(make(setup))


@pytest.fixture(scope="module")
def made(shared_setup: Setup) -> State[Manifest]:
    """Produce the storyboard once."""

    async def run() -> State[Manifest]:
        return await their_flow(shared_setup, name="made", return_state=True)

    return asyncio.run(run())


@pytest.mark.usefixtures("made")
class TestOneRun:
    """Checks of one run that made all clips."""

    def test_state_contains_manifest(self, made: State[Manifest]) -> None:
        """The state of a complete production is Completed and contains the manifest."""
        manifest = asyncio.run(made.aresult())

        assert made.name == "Completed"
        assert made.message == "Test board: 2 made; 8 s billed"
        assert [entry.status for entry in manifest.clips] == ["made", "made"]

    def test_clip_has_one_task_run(self, made: State[Manifest], api: Api) -> None:
        """Each clip has one task run for submitting, waiting and archiving."""
        runs = eventually(lambda: _finished(api.task_runs(made.state_details.flow_run_id), count=2))

        assert sorted(run["name"] for run in runs) == ["make dawn → noon", "make noon → dusk"]
        assert {run["state_name"] for run in runs} == {"Completed"}

    def test_events_for_each_change(self, made: State[Manifest], api: Api) -> None:
        """Every state of a generation and every archived clip emits an event related to the flow run."""
        eventually(lambda: len(_of(api, "seedance.clip.archived")) == 2)

        events = _of(api, "dawn → noon", by="clip")
        names = [event["event"] for event in events]
        assert names[0] == "seedance.generation.submitted"
        assert names[-2:] == ["seedance.generation.succeeded", "seedance.clip.archived"]
        assert set(names[1:-2]) <= {"seedance.generation.queued", "seedance.generation.started"}
        assert len(set(names)) == len(names)
        flow_run_id = f"prefect.flow-run.{made.state_details.flow_run_id}"
        assert all(
            flow_run_id in [related["prefect.resource.id"] for related in event["related"]]
            for event in events
        )

    def test_table_shows_manifest(self, made: State[Manifest], api: Api) -> None:
        """The table artifact has a row for each clip."""
        table = api.artifacts(made.state_details.flow_run_id)["table"]

        assert table["key"] == "seedance-made-manifest"
        assert r"2 made\; 8 s billed" in table["description"]
        rows = [(row["#"], row["clip"]) for row in json.loads(table["data"])]
        assert rows == [(1, "dawn → noon"), (2, "noon → dusk")]

    def test_assets_show_lineage(self, made: State[Manifest], shared_setup: Setup, api: Api) -> None:
        """The clips are derived from the storyboard, and the film from the clips."""
        manifest = asyncio.run(made.aresult())
        place = f"file://{shared_setup.archive}"
        clips = {f"{place}/clips/{entry.fingerprint}" for entry in manifest.clips}
        film = f"{place}/productions/made/film.mp4"

        assets = eventually(lambda: _assets(api, {*clips, film}))

        board = f"{place}/productions/made/storyboard.json"
        assert {key: sources for key, (sources, _) in assets.items()} == {
            **{key: {board} for key in clips},
            film: clips,
        }
        assert assets[film][1]["clips"] == 2
        assert {metadata["sha256"] for key, (_, metadata) in assets.items() if key != film} == {
            entry.clip.sha256 for entry in manifest.clips if entry.clip
        }

    def test_markdown_links_results(self, made: State[Manifest], shared_setup: Setup, api: Api) -> None:
        """The Markdown artifact names film and report, without images that a browser could not load."""
        artifacts = api.artifacts(made.state_details.flow_run_id)

        assert set(artifacts) == {"table", "progress", "markdown"}
        folder = f"{shared_setup.archive}/productions/made"
        assert f"- Report: `{folder}/report.html`" in artifacts["markdown"]["data"]
        assert f"- Film: `{folder}/film.mp4`" in artifacts["markdown"]["data"]

    def test_progress_ends_full(self, made: State[Manifest], api: Api) -> None:
        """The progress artifact ends at 100 %."""
        progress = api.artifacts(made.state_details.flow_run_id)["progress"]

        assert progress["key"] == "seedance-made-progress"
        assert progress["data"] == 100

    async def test_second_run_buys_nothing(self, shared_setup: Setup, api: Api) -> None:
        """Archived clips cause no requests and no task runs."""
        before = shared_setup.sandbox.totals()

        state = await their_flow(shared_setup, return_state=True)

        after = shared_setup.sandbox.totals()
        assert state.message == "Test board: 2 reused; 0 s billed"
        assert _of_clips(api.task_runs(state.state_details.flow_run_id)) == []
        assert after == before

    async def test_edit_buys_one_clip(self, shared_setup: Setup, tmp_path: Path) -> None:
        """After an edit of one prompt, only that clip is bought."""
        folder = shutil.copytree(shared_setup.board.parent, tmp_path / "edited")
        board = folder / "board.yaml"
        board.write_text(board.read_text().replace("clouds after noon", "snow after noon"))
        before = shared_setup.sandbox.totals()

        manifest = await make(Setup(board, shared_setup.archive, shared_setup.sandbox))

        after = shared_setup.sandbox.totals()
        assert [entry.status for entry in manifest.clips] == ["reused", "made"]
        assert after["submits_received"] - before["submits_received"] == 1


def _finished(runs: list[dict[str, Any]], *, count: int) -> list[dict[str, Any]]:
    """Return the task runs of the clips once all have completed; Prefect stores them with a delay."""
    ended = [run for run in _of_clips(runs) if run["state_name"] == "Completed"]
    return ended if len(ended) == count else []


def _assets(api: Api, keys: set[str]) -> dict[str, tuple[set[str], dict[str, Any]]]:
    """Return the sources and metadata of the given assets once all events are stored."""
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


def _of_clips(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the task runs of single clips."""
    return [run for run in runs if str(run["name"]).startswith("make ")]


def _of(api: Api, value: str, *, by: str = "event") -> list[dict[str, Any]]:
    """Return the events with this name, or about this clip, in order."""
    events = sorted(api.events("made"), key=lambda event: event["occurred"])
    return [event for event in events if value == (event[by] if by == "event" else event["payload"].get(by))]


async def test_failure_names_clip(setup: Setup) -> None:
    """A rejected clip fails the run and is named in the message; the other clip is archived."""
    setup.sandbox.faults({"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION", "clip": "dawn"})

    state = await their_flow(setup, return_state=True)

    assert state.name == "Failed"
    assert state.message
    assert state.message.startswith(
        "Test board: 1 made, 1 failed; 8 s billed\ndawn → noon: CONTENT_VIOLATION"
    )
    assert len(list(setup.archive.glob("clips/*/clip-*.mp4"))) == 1


async def test_failure_reaches_caller(setup: Setup) -> None:
    """Awaiting a failed flow raises an error with the reason."""
    setup.sandbox.faults({"kind": "submit", "fault": "answer", "status": 402, "message": "no money"})

    with pytest.raises(Exception, match=r"dawn → noon: .*no money"):
        await their_flow(setup)


async def test_incomplete_production_fails_flow(setup: Setup) -> None:
    """A flow that only calls `produce` fails if a clip is missing, with the reason; `return` changes that."""
    setup.sandbox.faults({"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION", "clip": "dawn"})

    @flow
    async def own(on_incomplete: Literal["raise", "return"] | None) -> str:
        return (
            await produce(
                setup.board,
                archive=str(setup.archive),
                credentials=account(setup.sandbox),
                hosting=setup.hosting,
                waiting=QUICK,
                output=Output(film=False, report=False),
                on_incomplete=on_incomplete,
            )
        ).summary()

    failed = await own(None, return_state=True)
    returned = await own("return")

    assert failed.name == "Failed"
    assert "IncompleteError: Test board: 1 made, 1 failed; 8 s billed\ndawn → noon: CONTENT" in str(
        failed.message
    )
    assert returned.startswith("Test board: 1 reused, 1 failed")


async def test_mistake_logs_no_traceback(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shipped flow with a wrong storyboard fails with one message, and its caller gets the error."""
    monkeypatch.setenv("SEEDANCE_API_KEY", "key-of-no-account")
    with caplog.at_level("INFO", logger="prefect"):
        state = await storyboard_to_transitions("nowhere.yaml", archive=str(tmp_path), return_state=True)
        with pytest.raises(StoryboardError, match=r"nowhere\.yaml: cannot be read"):
            await storyboard_to_transitions("nowhere.yaml", archive=str(tmp_path))

    assert state.name == "Failed"
    assert str(state.message).startswith("nowhere.yaml: cannot be read")
    assert "Traceback" not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


async def test_missing_report_is_harmless(setup: Setup, api: Api) -> None:
    """If the report cannot be written, the clips are still archived and the manifest has the reason."""
    (setup.archive / "productions/test-board/report.html/in-its-way").mkdir(parents=True)

    state = await their_flow(setup, return_state=True)

    manifest = await state.aresult()
    assert (state.name, state.message) == ("Completed", "Test board: 2 made; 8 s billed")
    assert manifest.report is None
    assert "Could not write" in (manifest.report_reason or "")
    stored = Manifest.model_validate_json(
        (setup.archive / "productions/test-board/manifest.json").read_bytes()
    )
    assert stored == manifest
    assert "markdown" not in api.artifacts(state.state_details.flow_run_id)


async def test_report_is_optional(setup: Setup) -> None:
    """Without the report option, no report is written."""

    @flow
    async def plain() -> Manifest:
        return await produce(
            setup.board,
            archive=str(setup.archive),
            credentials=account(setup.sandbox),
            hosting=setup.hosting,
            waiting=QUICK,
            output=Output(film=False, report=False),
        )

    manifest = await plain()

    assert manifest.is_complete
    assert (manifest.report, manifest.report_reason) == (None, None)
    assert not (setup.archive / "productions/test-board/report.html").exists()


async def test_deadline_leaves_in_flight(setup: Setup) -> None:
    """Clips not ready at the deadline stay in flight, and the next run archives them without payment."""
    setup.sandbox.faults({"kind": "status", "fault": "step-back"})

    early = await their_flow(setup, deadline_seconds=5, return_state=True)
    setup.sandbox.faults()
    late = await their_flow(setup, return_state=True)

    assert (early.type.value, early.name) == ("COMPLETED", "InFlight")
    assert (late.name, late.message) == ("Completed", "Test board: 2 made; 0 s billed")
    assert setup.sandbox.totals()["accepted"] == 2


def test_sync_flow_attaches_tasks(setup: Setup, api: Api) -> None:
    """In a sync flow, `asyncio.run(produce(...))` creates task runs of the flow run."""
    flow_run_id, manifest = their_sync_flow(setup)

    assert manifest.is_complete
    assert eventually(lambda: _finished(api.task_runs(flow_run_id), count=2))
    assert set(api.artifacts(flow_run_id)) == {"table", "progress", "markdown"}


async def test_storyboard_in_stored_archive(setup: Setup) -> None:
    """A flow reads a storyboard and its images from a stored archive block."""
    await ClipArchive(url=str(setup.board.parent)).asave("boards", overwrite=True)

    @flow
    async def stored() -> Manifest:
        manifest = await produce(
            "block:boards/board.yaml",
            archive=str(setup.archive),
            credentials=account(setup.sandbox),
            hosting=setup.hosting,
            waiting=QUICK,
        )
        return final_state(manifest)  # type: ignore[return-value]  # Prefect unwraps a returned state

    manifest = await (await stored(return_state=True)).aresult()

    assert [entry.status for entry in manifest.clips] == ["made", "made"]
    assert {path.read_bytes() for path in (setup.archive / "images").iterdir()} == {
        path.read_bytes() for path in setup.board.parent.glob("*.png")
    }


def test_two_runs_pay_once(setup: Setup) -> None:
    """Two concurrent flow runs, each in its own thread and event loop, pay for each clip once."""
    with ThreadPoolExecutor() as threads:
        runs = [threads.submit(copy_context().run, asyncio.run, their_flow(setup)) for _ in range(2)]
        manifests = [run.result(timeout=60) for run in runs]

    totals = setup.sandbox.totals()
    assert all(manifest.is_complete for manifest in manifests)
    assert sum(manifest.billed_seconds for manifest in manifests) == 8
    assert (totals["accepted"], totals["duplicates"]) == (2, 0)


def test_tasks_run_in_threads(setup: Setup) -> None:
    """Mapped tasks run in their own threads and loops, and close their connections."""

    @flow
    def own_way() -> list[str]:
        clips = asyncio.run(setup.clips())
        settings = unmapped(setup.settings)
        accepted = submit_clip.map(clips, settings=settings)
        ended = wait_for_clip.map(accepted, settings=settings)
        archived = archive_clip.map(ended, settings=settings)
        wait(archived, timeout=60)
        return [clip.key for clip in archived.result()]  # type: ignore[attr-defined]  # Prefect awaits results

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        keys = own_way()
        gc.collect()

    port = setup.sandbox.url.rpartition(":")[2]
    assert [text for warning in caught if f"{port})" in (text := str(warning.message))] == []
    assert [(setup.archive / key).is_file() for key in keys] == [True, True]
    assert setup.sandbox.totals()["accepted"] == 2


async def test_task_runs_in_async_flow(setup: Setup) -> None:
    """In an async flow, `submit` runs a task in a thread while the flow awaits another task."""

    @flow
    async def own_way() -> int:
        first, second = await setup.clips()
        future = submit_clip.submit(first, settings=setup.settings)
        await submit_clip(second, settings=setup.settings)
        attempt: Any = future.result(timeout=30)  # Prefect awaits results
        return int(attempt.intent.number)

    assert await own_way() == 1
    assert setup.sandbox.totals()["accepted"] == 2
