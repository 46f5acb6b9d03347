"""Resolution of unresolved submissions in Prefect's UI, simulated over its API."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.input import keyset_from_paused_state

from flows.resolve_submissions import resolve_submissions
from prefect_seedance.api.client import SeedanceClient
from prefect_seedance.api.wire import ClipInput, GenerateRequest
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Intent, Result
from prefect_seedance.storage.store import Store
from tests.processes import Sandbox

_WAIT_SECONDS = 60.0


def _intent(name: str, *, base_url: str) -> Intent:
    """Return an intent whose run can no longer record a response."""
    then = datetime.now(UTC) - timedelta(hours=1)
    clip_input = ClipInput(mode="text-to-video", prompt=f"drifting clouds over {name}", resolution="480p")
    return Intent(
        fingerprint=f"{name:0>32}",
        number=1,
        name=name,
        production="clouds",
        model="seedance-1-5-pro",
        base_url=base_url,
        request=GenerateRequest(input=clip_input),
        asked_by="a process that died",
        asked_at=then,
        settles_by=then,
    )


async def _answer(question: str, **answer: str) -> str:
    """Wait until the run asks a question, answer it, and return the whole question."""
    paused = FlowRunFilter.model_validate({"state": {"type": {"any_": ["PAUSED"]}}})
    async with get_client() as client, asyncio.timeout(_WAIT_SECONDS):
        while True:
            for run in await client.read_flow_runs(flow_run_filter=paused):
                question_text = await _question(client, run)
                if question in question_text:
                    await client.resume_flow_run(run.id, run_input=answer)
                    return question_text
            await asyncio.sleep(0.2)


async def _question(client: PrefectClient, run: FlowRun) -> str:
    """Return the question of a paused run, or an empty string if it has none yet."""
    assert run.state
    try:
        return await client.read_flow_run_input(run.id, keyset_from_paused_state(run.state)["description"])
    except (PrefectHTTPStatusError, RuntimeError):
        return ""


@pytest.fixture
def sandbox_env(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    return sandbox


async def test_each_submission_is_decided(sandbox_env: Sandbox, archive: Path) -> None:
    """One submission is left open, one declared lost, and one adopted after an unknown id is refused."""
    ledger = Ledger(Store.open(str(archive)))
    intents = {name: _intent(name, base_url=sandbox_env.url) for name in ("adopted", "lost", "left")}
    for intent in intents.values():
        await ledger.claim(intent)
    async with SeedanceClient(sandbox_env.key, base_url=sandbox_env.url) as client:
        generation_id = await client.submit(intents["adopted"].request)

    flow_run = asyncio.create_task(resolve_submissions(str(archive)))
    await _answer("clouds over left", decision="leave")
    await _answer("clouds over lost", decision="lost")
    await _answer("clouds over adopted", decision="adopt", generation_id="task_unknown")
    again = await _answer("knows no generation", decision="adopt", generation_id=generation_id)
    results = await flow_run

    assert "clouds over adopted" in again
    assert len(results) == 3
    ((adopted,), (left,), (lost,)) = [
        await ledger.attempts(intents[name].fingerprint) for name in ("adopted", "left", "lost")
    ]
    assert adopted.acceptance
    assert adopted.acceptance.generation_id == generation_id
    assert adopted.acceptance.resolved_by
    assert left.undecided
    assert lost.outcome
    assert lost.outcome.result is Result.lost
