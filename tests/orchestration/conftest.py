"""A real Prefect server for tests of the adapter."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from pydantic import SecretStr

from prefect_seedance import ClipSettings, Hosting, PlannedClip, RunSettings, SeedanceCredentials, Waiting
from tests.flows.conftest import Api
from tests.orchestration.limits import Limits, served
from tests.processes import Sandbox

QUICK = Waiting(first_poll_seconds=0.1, poll_every_seconds=0.1, deadline_seconds=60)

CLIP = PlannedClip(
    name="bell",
    prompt="a bell rings",
    images=(),
    settings=ClipSettings(resolution="480p"),
    number=1,
    fingerprint="f" * 32,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Accept that Prefect's own clients leave sockets open."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture
def server(prefect_server: str, tmp_path: Path) -> Iterator[Api]:
    """Use the tests' Prefect server, and return its API."""
    settings = {
        PREFECT_API_URL: prefect_server,
        PREFECT_HOME: tmp_path / "prefect",
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    api = Api(prefect_server)
    with temporary_settings(settings):
        yield api
    api.close()
    gc.collect()  # so that Prefect's open sockets are found here


@pytest.fixture
def limits() -> Iterator[Limits]:
    """Use a server of limits, one of them with two slots and the name studio."""
    with served() as limits:
        yield limits


@pytest.fixture
def no_server(tmp_path: Path) -> Iterator[None]:
    """Configure no Prefect server."""
    with temporary_settings({PREFECT_HOME: tmp_path / "prefect"}, restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture
def settings(sandbox: Sandbox, archive: Path) -> RunSettings:
    """Return the settings of quick runs with the sandbox's account."""
    return RunSettings(
        credentials=SeedanceCredentials(api_key=SecretStr(sandbox.key), base_url=sandbox.url),
        archive=str(archive),
        production="sounds",
        hosting=Hosting(images_url=sandbox.hosted),
        waiting=QUICK,
    )
