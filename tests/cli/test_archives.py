"""Archives named on the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from prefect_seedance.cli.archives import open_archive, open_existing, open_if_exists
from prefect_seedance.doors import ARCHIVE_VARIABLE
from prefect_seedance.errors import SetupError


async def test_opens_folder_or_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is opened as it is; an empty name means the environment's archive."""
    monkeypatch.setenv(ARCHIVE_VARIABLE, str(tmp_path / "studio"))

    opened = [await open_archive(name) for name in (str(tmp_path / "films"), "")]

    assert [store.url for store in opened] == [str(tmp_path / "films"), str(tmp_path / "studio")]


async def test_existing_archive_is_opened(archive: Path) -> None:
    """A folder or bucket that exists is opened."""
    assert (await open_existing(str(archive))).url == str(archive)
    assert await open_if_exists("memory://films")


async def test_missing_folder_is_not_created(tmp_path: Path) -> None:
    """A command that only reads reports a missing folder, and does not create it."""
    missing = tmp_path / "nowhere"

    assert await open_if_exists(str(missing)) is None
    with pytest.raises(SetupError, match=f"There is no archive at {missing}"):
        await open_existing(str(missing))
    assert not missing.exists()


@pytest.mark.parametrize(("archive", "is_loaded"), [("memory://films", False), ("block:films", True)])
def test_only_block_loads_prefect(archive: str, is_loaded: bool) -> None:  # noqa: FBT001  # a column
    """Prefect is imported only to load a stored block."""
    program = f"""
import asyncio, sys
from prefect_seedance.cli.archives import open_archive
from prefect_seedance.errors import SetupError
try:
    asyncio.run(open_archive({archive!r}))
except SetupError:
    pass
print("prefect" in sys.modules)
"""
    environment = {"PREFECT_API_URL": "http://127.0.0.1:1/api"}

    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert run.stdout == f"{is_loaded}\n"
