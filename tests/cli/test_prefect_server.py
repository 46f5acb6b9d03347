"""A temporary Prefect server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.context import refresh_global_settings_context
from prefect.settings import get_current_settings

from prefect_seedance.cli.prefect_server import has_server, temporary_server
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.flow_runs import page_of


@pytest.fixture(autouse=True)
def _prefect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_prefect_database: Path) -> Iterator[None]:
    """Use no settings of the developer, and a database of the test's own."""
    shutil.copytree(empty_prefect_database, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    refresh_global_settings_context()
    yield
    monkeypatch.undo()
    refresh_global_settings_context()


def test_server_answers() -> None:
    """Within the block Prefect is configured to use a server that answers; afterwards it has stopped."""
    assert not has_server()

    with temporary_server():
        assert has_server()
        url = str(get_current_settings().api.url)
        assert httpx.get(f"{url}/health").json() is True
        assert page_of(UUID(int=7)) is None  # the archive would keep a link that ends with the server

    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_failed_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server cannot start, the error has its last words and a remedy."""
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////proc/none/prefect.db")
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # as produce sets it

    last_words = r"ended with exit code \d+ \(.*startup failed.*\)\. Start one with `prefect server start`"
    with pytest.raises(SetupError, match=last_words), temporary_server():
        pytest.fail("the server started")
