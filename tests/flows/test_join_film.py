"""The flow that joins what a production has archived."""

from pathlib import Path

import pytest
from prefect import flow

from flows.join_film import join_production
from prefect_seedance import Manifest, Polling, produce
from prefect_seedance.errors import SetupError
from tests import films
from tests.flows.conftest import Api
from tests.processes import Sandbox


@flow
async def _produced(board: Path, archive: Path, sandbox: Sandbox) -> Manifest:
    return await produce(
        str(board),
        archive=str(archive),
        images_url=sandbox.hosted,
        pace=Polling(first_seconds=0.2, every_seconds=0.2),
    )


async def test_production_becomes_another_film(
    board: Path, archive: Path, sandbox: Sandbox, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a storyboard became is joined in another way without an account, and the report shows it."""
    for variable, value in sandbox.env.items():
        monkeypatch.setenv(variable, value)
    first = (await _produced(board, archive, sandbox)).film
    for variable in sandbox.env:
        monkeypatch.delenv(variable)

    state = await join_production(archive=str(archive), name="Test board", join="exact", return_state=True)

    film = await state.aresult()
    assert first is not None
    assert (first.join, film.join) == ("copied", "exact")
    assert state.message == f"{archive}/productions/test-board/film.mp4: 2 clips"
    assert len(films.frames((archive / film.key).read_bytes())) == 31
    report = (archive / "productions/test-board/report.html").read_text(encoding="utf-8")
    assert film.sha256 in report
    assert first.sha256 not in report
    assert [run["name"] for run in api.task_runs(state.state_details.flow_run_id)] == ["join Test board"]


async def test_unknown_production_is_told(archive: Path, api: Api) -> None:
    """Without a production there is nothing to join, and the message says what to do."""
    del api

    with pytest.raises(SetupError, match="make one with prefect-seedance produce"):
        await join_production(archive=str(archive), name="nix")
