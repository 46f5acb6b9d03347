"""The flow that joins the archived clips of a production."""

from pathlib import Path
from typing import cast

import pytest
from prefect import flow

from flows.join_film import join_production
from prefect_seedance import Hosting, Manifest, Waiting, produce
from prefect_seedance.errors import SetupError
from prefect_seedance.film.scenes import Film
from tests import films
from tests.flows.conftest import Api, completed, eventually
from tests.processes import Sandbox


@flow
async def _produced(board: Path, archive: Path, sandbox: Sandbox) -> Manifest:
    return await produce(
        str(board),
        archive=str(archive),
        hosting=Hosting(images_url=sandbox.hosted),
        waiting=Waiting(first_poll_seconds=0.2, poll_every_seconds=0.2),
    )


async def test_production_is_joined_again(
    board: Path, archive: Path, sandbox: Sandbox, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A production is joined with other options without an account, and the report shows the new film."""
    for variable, value in sandbox.env.items():
        monkeypatch.setenv(variable, value)
    first = (await _produced(board, archive, sandbox)).film
    for variable in sandbox.env:
        monkeypatch.delenv(variable)

    state = await join_production(archive=str(archive), name="Test board", join="exact", return_state=True)

    film = cast("Film", await state.aresult())  # Prefect unwraps the returned state
    assert first is not None
    assert (first.join, film.join) == ("copied", "exact")
    assert state.message == f"{archive}/productions/test-board/film.mp4: 2 clips"
    assert len(films.frames((archive / film.key).read_bytes())) == 31
    report = (archive / "productions/test-board/report.html").read_text(encoding="utf-8")
    assert film.sha256 in report
    assert first.sha256 not in report
    run_id = state.state_details.flow_run_id
    task_runs = eventually(lambda: completed(api, str(run_id), count=2))
    assert sorted(run["name"] for run in task_runs) == ["join Test board", "report on Test board"]


async def test_unknown_production_is_refused(archive: Path, api: Api) -> None:
    """An unknown production raises an error that names the next step."""
    del api

    with pytest.raises(SetupError, match="produce one first"):
        await join_production(archive=str(archive), name="nix")
