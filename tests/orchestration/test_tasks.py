"""The steps as Prefect tasks."""

import asyncio
from typing import Any

import pytest
from prefect import Task, flow
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from prefect_seedance import (
    Clip,
    Manifest,
    RunSettings,
    archive_clip,
    inspect_clip,
    join_film,
    submit_clip,
    wait_for_clip,
    write_report,
)
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.film.inspections import ClipInspection
from prefect_seedance.report.manifest import Entry
from prefect_seedance.storage.store import Store
from tests.flows.conftest import Api, completed, eventually
from tests.orchestration.conftest import CLIP
from tests.processes import Sandbox
from tests.records import manifest_of

TASKS = (submit_clip, wait_for_clip, archive_clip, inspect_clip, join_film, write_report)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task.name))
def test_ledger_decides_not_prefect(task: Task[..., Any]) -> None:
    """No task has a cache, or retries that would multiply with the client's."""
    assert task.cache_policy is NO_CACHE
    assert task.retries == 0
    assert not task.persist_result


def test_names_are_stable() -> None:
    """The names by which concurrency limits and automations know the tasks do not change."""
    assert [task.name for task in TASKS] == ["submit", "wait", "archive", "inspect", "join", "report"]


def test_tasks_make_a_film(server: Api, settings: RunSettings, sandbox: Sandbox) -> None:
    """A flow of the user's own makes a clip, a film and a report of the tasks."""

    @flow
    async def film() -> tuple[str, Clip, ClipInspection, Manifest]:
        accepted = await submit_clip(CLIP, settings=settings)
        clip = await archive_clip(await wait_for_clip(accepted, settings=settings), settings=settings)
        inspection = await inspect_clip(clip, settings=settings)
        manifest = manifest_of(Entry.of(CLIP, ClipStatus.made, archived=clip))
        joined = await join_film(manifest, archive=settings.archive)
        manifest = manifest.model_copy(update={"film": joined})
        report = await write_report(manifest, archive=settings.archive)
        manifest = manifest.model_copy(update={"report": report.key})
        return str(flow_run.id), clip, inspection, manifest

    run_id, clip, inspection, manifest = asyncio.run(film())

    runs = eventually(lambda: completed(server, run_id, count=6))
    assert {run["name"] for run in runs} == {
        "submit bell",
        "wait for bell",
        "archive bell",
        "inspect bell",
        "join Test board",
        "report on Test board",
    }
    assert inspection.inspection.sha256 == clip.sha256
    assert manifest.film
    (attempt,) = asyncio.run(_attempts(settings))
    name = server.get(f"/flow_runs/{run_id}")["name"]
    assert f"flow run {name}" in attempt.intent.asked_by
    assert sandbox.totals()["accepted"] == 1


def test_task_runs_outside_of_flow(server: Api, settings: RunSettings, sandbox: Sandbox) -> None:
    """A task that runs by itself submits too, and the ledger names the process."""

    async def submit() -> Attempt:
        return await submit_clip(CLIP, settings=settings)

    assert server
    attempt = asyncio.run(submit())

    assert attempt.generation_id
    assert "flow run" not in attempt.intent.asked_by
    assert sandbox.totals()["accepted"] == 1


async def _attempts(settings: RunSettings) -> tuple[Attempt, ...]:
    return await Ledger(Store.open(str(settings.archive))).attempts(CLIP.fingerprint)
