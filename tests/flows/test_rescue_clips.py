"""The flow that archives paid clips."""

from pathlib import Path

import pytest

from flows.rescue_clips import rescue_clips
from prefect_seedance.options import Hosting, Waiting
from prefect_seedance.production.produce import produce
from prefect_seedance.storage.store import Store
from tests.processes import Sandbox
from tests.records import age_acceptances


@pytest.fixture(autouse=True)
def _account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in sandbox.env.items():
        monkeypatch.setenv(variable, value)


async def _submit(board: Path, archive: Path, sandbox: Sandbox) -> None:
    await produce(
        str(board),
        archive=str(archive),
        hosting=Hosting(images_url=sandbox.hosted),
        waiting=Waiting(wait=False),
    )


async def test_flow_rescues_clips(board: Path, archive: Path, sandbox: Sandbox) -> None:
    """A run archives all generations in flight and is Completed."""
    await _submit(board, archive, sandbox)
    age_acceptances(archive)

    state = await rescue_clips(archive=str(archive), return_state=True)

    assert (state.type.value, state.message) == ("COMPLETED", "2 rescued, 0 left")
    assert (
        len([key for key in await Store.open(str(archive)).keys("clips/") if key.endswith("clip.json")]) == 2
    )


async def test_flow_waits_for_generations(board: Path, archive: Path, sandbox: Sandbox) -> None:
    """A run whose deadline comes first is Completed, named InFlight."""
    await _submit(board, archive, sandbox)

    state = await rescue_clips(archive=str(archive), deadline_seconds=0.01, return_state=True)

    assert (state.type.value, state.name) == ("COMPLETED", "InFlight")
    assert state.message == "0 rescued, 2 left"


async def test_expired_clip_fails_flow(board: Path, archive: Path, sandbox: Sandbox) -> None:
    """A run that cannot archive a paid clip fails, and names it."""
    await _submit(board, archive, sandbox)
    age_acceptances(archive)
    sandbox.faults({"kind": "file", "fault": "answer", "status": 403})

    state = await rescue_clips(archive=str(archive), return_state=True)

    assert state.type.value == "FAILED"
    assert "2 left" in (state.message or "")
