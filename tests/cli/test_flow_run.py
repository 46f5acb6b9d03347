"""A production of the command as a flow run."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from pydantic import SecretStr

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.cli.flow_run import run_as_flow
from prefect_seedance.cli.progress import Lines
from prefect_seedance.errors import ArchiveError, SetupError
from prefect_seedance.options import Hosting, Output, Waiting
from prefect_seedance.production.prepare import Prepared, prepare
from prefect_seedance.production.settings import RunSettings
from tests.processes import Sandbox

pytestmark = [
    # Prefect's own clients leave sockets open, as in any flow.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    """Find Prefect's open sockets here, where they are expected."""
    yield
    gc.collect()


@pytest.fixture
def _server(prefect_server: str, tmp_path: Path) -> Iterator[None]:
    settings = {
        PREFECT_API_URL: prefect_server,
        PREFECT_HOME: tmp_path,
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(settings):
        yield


@pytest.fixture
def prepared(board: Path, archive: Path, sandbox: Sandbox) -> Prepared:
    """Return the storyboard's production, ready to run."""
    settings = RunSettings(
        credentials=Credentials(api_key=SecretStr(sandbox.key), base_url=sandbox.url),
        archive=str(archive),
        hosting=Hosting(images_url=sandbox.hosted),
        waiting=Waiting(first_poll_seconds=0.1, poll_every_seconds=0.1),
    )
    return asyncio.run(prepare(board, settings, name=archive.parent.name, output=Output(report=False)))


def flow_runs(url: str, name: str) -> list[dict[str, Any]]:
    body = {"flow_runs": {"name": {"any_": [name]}}}
    return list(httpx.post(f"{url}/flow_runs/filter", json=body).raise_for_status().json())


@pytest.mark.usefixtures("_server")
def test_flow_run_bears_name(
    prepared: Prepared, prefect_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The production is a completed flow run of its name, and its progress is shown."""
    with Lines(sys.stdout) as screen:
        manifest = run_as_flow(prepared, screen)

    (flow_run,) = flow_runs(prefect_server, f"produce {prepared.plan.name}")
    assert manifest
    assert manifest.is_complete
    assert flow_run["state_name"] == "Completed"
    assert "dawn → noon  made" in capsys.readouterr().out


@pytest.mark.usefixtures("_server")
def test_error_reaches_caller(prepared: Prepared, archive: Path, prefect_server: str) -> None:
    """An error that ends the production fails the flow run, and is raised as it is."""
    (archive / f"productions/{prepared.plan.name}/storyboard.json/in-its-way").mkdir(parents=True)

    with pytest.raises(ArchiveError), Lines(sys.stdout) as screen:
        run_as_flow(prepared, screen)

    (flow_run,) = flow_runs(prefect_server, f"produce {prepared.plan.name}")
    assert flow_run["state_name"] == "Failed"


def test_unreachable_server_spends_nothing(prepared: Prepared, sandbox: Sandbox, tmp_path: Path) -> None:
    """A configured server that does not answer is an error with a remedy, before anything is submitted."""
    settings = {PREFECT_API_URL: "http://127.0.0.1:1/api", PREFECT_HOME: tmp_path}

    with (
        temporary_settings(settings),
        pytest.raises(SetupError, match=r"does not answer .*unset PREFECT_API_URL"),
        Lines(sys.stdout) as screen,
    ):
        run_as_flow(prepared, screen)

    assert sandbox.totals()["submits_received"] == 0
