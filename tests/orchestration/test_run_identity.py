"""The identity of a run that Prefect starts several times, on a real server."""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from prefect import Flow, flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Failed, Scheduled

from prefect_seedance import (
    ClipList,
    ClipSpec,
    Manifest,
    Output,
    RetryPolicy,
    RunSettings,
    produce,
    submit_clip,
    wait_for_clip,
)
from prefect_seedance.errors import GenerationFailedError, SetupError
from prefect_seedance.orchestration import run_identity
from prefect_seedance.orchestration.child_runs import ChildRuns
from prefect_seedance.orchestration.run_identity import lasting_run_id
from tests.orchestration.conftest import CLIP, QUICK
from tests.processes import Sandbox

_SOUNDS = ClipList(title="Sounds", clips=(ClipSpec(name="bell", prompt="a bell rings"),))
_PAY_AGAIN = RetryPolicy(retry_failed=True)
_FAIL = {"kind": "generation", "fault": "fail", "code": "PROCESSING_TIMEOUT"}


async def _scheduled(deployed: Flow[..., Any]) -> FlowRun:
    """Create a run of a deployment of a flow."""
    async with get_client() as client:
        flow_id = await client.create_flow(deployed)
        deployment = await client.create_deployment(flow_id=flow_id, name="identity")
        return await client.create_flow_run_from_deployment(deployment)


async def _start(deployed: Flow[..., Any], run: FlowRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start a flow run, again if it has ended, as a new process does."""
    monkeypatch.setattr(run_identity, "_starts", {})
    async with get_client() as client:
        await client.set_flow_run_state(run.id, Scheduled(), force=True)
        current = await client.read_flow_run(run.id)
    with suppress(asyncio.CancelledError, GenerationFailedError, RuntimeError):
        await run_flow_async(deployed, flow_run=current, parameters={})


async def _make(settings: RunSettings, *, retry: RetryPolicy) -> Manifest:
    return await produce(
        _SOUNDS,
        archive=settings.archive,
        credentials=settings.credentials,
        waiting=QUICK,
        retry=retry,
        output=Output(film=False, report=False),
        on_incomplete="return",
    )


@pytest.mark.usefixtures("server")
async def test_crash_renews_no_permission(
    settings: RunSettings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that starts again after a crash pays for a failed clip once; one that a person retries, again."""
    sandbox.faults(_FAIL)
    bought, crashes = [], [True, False, False]

    @flow
    async def film() -> None:
        manifest = await _make(settings, retry=_PAY_AGAIN)
        bought.append((sandbox.totals()["accepted"], manifest.billed_seconds))
        raise asyncio.CancelledError if crashes.pop(0) else RuntimeError

    await _make(settings, retry=RetryPolicy())
    run = await _scheduled(film)
    for _ in range(3):
        await _start(film, run, monkeypatch)

    assert bought == [(2, 4), (2, 4), (3, 4)]


@pytest.mark.usefixtures("server")
async def test_task_renews_no_permission(
    settings: RunSettings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds for the tasks of a flow of one's own, whose settings are new in each process."""
    sandbox.faults(_FAIL)

    @flow
    async def film() -> None:
        own = replace(settings, retry=_PAY_AGAIN, run_id=secrets.token_hex(8))
        await wait_for_clip(await submit_clip(CLIP, settings=own), settings=own)
        raise asyncio.CancelledError

    run = await _scheduled(film)
    for _ in range(2):
        await _start(film, run, monkeypatch)

    assert sandbox.totals()["accepted"] == 1


@pytest.mark.usefixtures("server")
async def test_retry_renews_no_permission(settings: RunSettings, sandbox: Sandbox) -> None:
    """A flow that Prefect retries in the same process pays for a failed clip once."""
    sandbox.faults(_FAIL)
    bought = []

    @flow(retries=1)
    async def film() -> None:
        manifest = await _make(settings, retry=_PAY_AGAIN)
        bought.append((sandbox.totals()["accepted"], manifest.billed_seconds))
        raise RuntimeError

    await _make(settings, retry=RetryPolicy())
    with suppress(RuntimeError):
        await film()

    assert bought == [(2, 4), (2, 4)]


@pytest.mark.usefixtures("server")
async def test_order_of_clips_renews_no_permission(
    settings: RunSettings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each clip is paid for once, even if the tasks begin in another order after a crash."""
    sandbox.faults(_FAIL)
    clips = [CLIP, CLIP.model_copy(update={"name": "gong", "fingerprint": "a" * 32})]

    @flow
    async def film() -> None:
        for clip in clips:
            own = replace(settings, retry=_PAY_AGAIN, run_id=secrets.token_hex(8))
            with suppress(GenerationFailedError):
                await wait_for_clip(await submit_clip(clip, settings=own), settings=own)
        clips.reverse()
        raise asyncio.CancelledError

    run = await _scheduled(film)
    for _ in range(2):
        await _start(film, run, monkeypatch)

    assert sandbox.totals()["accepted"] == 2


@pytest.mark.usefixtures("server")
async def test_crash_of_a_catalogue_renews_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ended before the catalogue crashed does not run, and so pay, again."""
    found: list[UUID] = []

    @flow
    async def produce() -> None:
        """Make a production."""

    async def fail(run: FlowRun) -> None:
        async with get_client() as client:
            await client.set_flow_run_state(run.id, Failed(), force=True)

    @flow
    async def catalog() -> None:
        failing: list[asyncio.Task[None]] = []

        def started(run: FlowRun) -> None:
            found.append(run.id)
            failing.append(asyncio.create_task(fail(run)))

        async with ChildRuns.open("produce/identity", catalog="season") as runs:
            await runs.run("sea.yaml", {"retry_failed": True}, title="sea", started=started)
        raise asyncio.CancelledError

    await _scheduled(produce)
    run = await _scheduled(catalog)
    for _ in range(2):
        await _start(catalog, run, monkeypatch)

    assert len(found) == 2
    assert len(set(found)) == 1


@pytest.mark.usefixtures("server")
async def test_runs_of_one_flow_run_differ() -> None:
    """Productions that a flow run makes one after the other have permissions of their own."""

    @flow
    async def film() -> list[str]:
        return [await lasting_run_id(each, of="lighthouse") for each in ("first", "second", "first")]

    first, second, third = await film()

    assert first == third != second


@pytest.mark.usefixtures("server")
async def test_unknown_past_permits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server does not say how often a flow run has ended, nothing is paid for."""
    monkeypatch.setattr(run_identity, "get_client", lambda: PrefectClient("http://127.0.0.1:9/api"))

    @flow
    async def film() -> str:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            return await lasting_run_id("first", of="lighthouse")

    with pytest.raises(SetupError, match="nothing was spent"):
        await film()


@pytest.mark.usefixtures("no_server")
async def test_runs_outside_differ() -> None:
    """Outside of a flow run, a run has the id of its settings."""
    assert await lasting_run_id("first", of="lighthouse") == "first"
