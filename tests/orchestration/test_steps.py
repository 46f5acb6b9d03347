"""The steps of a production in a flow run."""

import asyncio
from contextlib import aclosing

from prefect import flow
from prefect.runtime import flow_run

from prefect_seedance import JoinStyle, Manifest, RunSettings
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.orchestration.session import shared_session
from prefect_seedance.orchestration.steps import TaskSteps
from prefect_seedance.production.steps import Steps
from prefect_seedance.report.manifest import Entry, read_manifest
from prefect_seedance.report.thumbnails import Thumbnails
from prefect_seedance.storage.store import Store
from tests.flows.conftest import Api
from tests.orchestration.conftest import CLIP
from tests.records import manifest_of


def test_steps_are_tasks_with_artifacts(server: Api, settings: RunSettings) -> None:
    """Each step runs as a task, and manifest and report are shown as artifacts."""

    @flow
    async def film() -> tuple[str, Manifest]:
        async with shared_session(settings) as shared:
            steps: Steps = TaskSteps.of(shared, settings)
            attempt = await steps.submit(CLIP, deadline_seconds=10)
            attempt = await steps.wait(attempt, deadline_seconds=30)
            clip = await steps.archive(attempt, deadline_seconds=30)
            await steps.inspect(clip, images=())
            manifest = manifest_of(Entry.of(CLIP, ClipStatus.made, archived=clip))
            joined = await steps.join(manifest, style=JoinStyle())
            manifest = manifest.model_copy(update={"film": joined})
            async with aclosing(Thumbnails(shared.session.store, clips=1)) as thumbnails:
                await steps.report(manifest, price_per_second=None, thumbnails=thumbnails)
            await steps.record(manifest)
            return str(flow_run.id), manifest

    run_id, manifest = asyncio.run(film())

    artifacts = server.artifacts(run_id)
    assert {"table", "markdown"} <= set(artifacts)
    assert manifest.film
    assert manifest.film.stable_key in artifacts["markdown"]["data"]
    assert asyncio.run(_stored(settings)) == manifest


async def _stored(settings: RunSettings) -> Manifest:
    return await read_manifest(Store.open(str(settings.archive)), "test-board")
