"""Fixtures for flow tests on a real Prefect server."""

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
from tests.processes import Sandbox, prefect_client, undeploy

_WAIT_SECONDS = 240.0
"""Prefect stores events some seconds after they occur, and later on a busy machine."""

_T = TypeVar("_T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ignore the warnings about sockets that Prefect's own clients leave open in any flow."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="module", autouse=True)
def _prefect(prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run the flows of a module on the tests' server, and leave no settings to tests of other folders."""
    settings = {
        PREFECT_API_URL: prefect_server,
        PREFECT_HOME: tmp_path_factory.mktemp("prefect-home"),
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(settings):
        yield
    with prefect_client(prefect_server) as server:
        undeploy(server)


@pytest.fixture(autouse=True)
def _collect_garbage() -> Iterator[None]:
    """Collect Prefect's open sockets here, where their warnings are ignored, not in another test."""
    yield
    gc.collect()


class Api:
    """A client of Prefect's API, to check the traces of a flow run."""

    def __init__(self, url: str) -> None:
        self._http = prefect_client(url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str) -> Any:  # noqa: ANN401 -- JSON
        """Read one object."""
        return self._http.get(path).raise_for_status().json()

    def post(self, path: str, body: object) -> httpx.Response:
        """Post a request that the server may refuse."""
        return self._http.post(path, json=body)

    def patch(self, path: str, body: object) -> None:
        """Change an object."""
        self._http.patch(path, json=body).raise_for_status()

    def undeploy(self) -> None:
        """Delete all deployments and automations."""
        undeploy(self._http)

    def delete(self, path: str) -> None:
        """Delete an object."""
        self._http.delete(path).raise_for_status()

    def filter(self, path: str, **filters: object) -> list[dict[str, Any]]:
        """Read the objects that match the filters."""
        response = self._http.post(f"{path}/filter", json={"limit": 200, **filters})
        return list(response.raise_for_status().json())

    def task_runs(self, flow_run_id: object) -> list[dict[str, Any]]:
        """Read the task runs of a flow run."""
        return self.filter("/task_runs", flow_runs={"id": {"any_": [str(flow_run_id)]}}, limit=200)

    def artifacts(self, flow_run_id: object) -> dict[str, dict[str, Any]]:
        """Read the artifacts of a flow run, by type."""
        found = self.filter("/artifacts", artifacts={"flow_run_id": {"any_": [str(flow_run_id)]}})
        return {artifact["type"]: artifact for artifact in found}

    def events_of(self, flow_run_id: object) -> list[str]:
        """Read the names of the events that are related to a flow run, in order."""
        body = {"filter": {"related": {"id": [f"prefect.flow-run.{flow_run_id}"]}}, "limit": 50}
        found = self.post("/events/filter", body).raise_for_status().json()["events"]
        return [str(event["event"]) for event in sorted(found, key=lambda event: str(event["occurred"]))]

    def events(self, production: str) -> list[dict[str, Any]]:
        """Read the latest events about one production."""
        return list(self.events_labelled("seedance.production", production)["events"])

    def events_labelled(self, label: str, value: str) -> dict[str, Any]:
        """Read the latest events whose resource has a label, and their total number."""
        body = {"filter": {"resource": {"labels": {label: [value]}}}, "limit": 50}
        return dict(self.post("/events/filter", body).raise_for_status().json())


@pytest.fixture(scope="session")
def api(prefect_server: str) -> Iterator[Api]:
    """Return a client of Prefect's API."""
    api = Api(prefect_server)
    yield api
    api.close()


def eventually(read: Callable[[], _T], *, seconds: float = _WAIT_SECONDS) -> _T:
    """Read until the result is true, and return it; after the time is over, return the last result."""
    latest = time.monotonic() + seconds
    while not (result := read()) and time.monotonic() < latest:
        time.sleep(0.3)
    return result


def completed(server: Api, run_id: str, *, count: int) -> list[dict[str, Any]]:
    """Return the completed task runs of a flow run, once there are as many as expected."""
    runs = [run for run in server.task_runs(run_id) if run["state_name"] == "Completed"]
    return runs if len(runs) == count else []


def account(sandbox: Sandbox) -> SeedanceCredentials:
    """Return credentials for the sandbox."""
    return SeedanceCredentials(api_key=SecretStr(sandbox.key), base_url=sandbox.url)
