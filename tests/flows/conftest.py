"""A Prefect server to run flows on, in this process and in others."""

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from pydantic import SecretStr

from prefect_seedance import SeedanceCredentials
from tests.processes import Sandbox

_PATIENCE_SECONDS = 60.0
"""Prefect writes events down some seconds after they happened, and later on a busy machine."""

_T = TypeVar("_T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pass that Prefect's own clients leave sockets open, as any flow shows."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session", autouse=True)
def _prefect(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run this process's flows on the server of the tests."""
    settings = {
        PREFECT_API_URL: prefect_server,
        PREFECT_HOME: tmp_path_factory.mktemp("prefect-home"),
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(settings):
        yield


@pytest.fixture(autouse=True)
def _swept() -> Iterator[None]:
    """Let Prefect's open sockets be found here, not in the middle of somebody else's test."""
    yield
    gc.collect()


class Api:
    """Prefect's API, to look at what a flow left there."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def get(self, path: str) -> Any:  # noqa: ANN401 -- JSON
        """Read one thing."""
        return self._http.get(path).raise_for_status().json()

    def post(self, path: str, body: object) -> httpx.Response:
        """Ask for what may be refused."""
        return self._http.post(path, json=body)

    def filter(self, path: str, **filters: object) -> list[dict[str, Any]]:
        """Read what fits."""
        answer = self._http.post(f"{path}/filter", json={"limit": 200, **filters})
        return list(answer.raise_for_status().json())

    def task_runs(self, flow_run_id: object) -> list[dict[str, Any]]:
        """Read a flow run's task runs."""
        return self.filter("/task_runs", flow_runs={"id": {"any_": [str(flow_run_id)]}}, limit=200)

    def artifacts(self, flow_run_id: object) -> dict[str, dict[str, Any]]:
        """Read a flow run's artifacts, by type."""
        found = self.filter("/artifacts", artifacts={"flow_run_id": {"any_": [str(flow_run_id)]}})
        return {artifact["type"]: artifact for artifact in found}

    def events(self, prefix: str) -> list[dict[str, Any]]:
        """Read our events about one production."""
        body = {"filter": {"event": {"prefix": ["seedance."]}}, "limit": 50}
        answer = self._http.post("/events/filter", json=body)
        return [
            event
            for event in answer.raise_for_status().json()["events"]
            if event["resource"]["seedance.production"] == prefix
        ]


@pytest.fixture(scope="session")
def api(prefect_server: str) -> Iterator[Api]:
    """Return Prefect's API."""
    api = Api(prefect_server)
    yield api
    api.close()


def eventually(look: Callable[[], _T], *, seconds: float = _PATIENCE_SECONDS) -> _T:
    """Look until there is something to see, and return it; or the last look, for the assertion to show."""
    latest = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < latest:
        time.sleep(0.3)
    return seen


def account(sandbox: Sandbox) -> SeedanceCredentials:
    """Return the sandbox's account."""
    return SeedanceCredentials(api_key=SecretStr(sandbox.key), base_url=sandbox.url)
