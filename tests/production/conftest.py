"""An account at a sandbox and an archive, for productions without Prefect."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from prefect_seedance.api.credentials import Credentials
from prefect_seedance.options import Hosting, Output, Waiting
from prefect_seedance.production.prepare import Prepared, prepare
from prefect_seedance.production.progress import OnProgress, ignore
from prefect_seedance.production.run import run
from prefect_seedance.production.session import Session
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.production.steps import PlainSteps
from prefect_seedance.report.manifest import Manifest
from prefect_seedance.storyboard.schema import ClipList, ClipSpec, Defaults
from tests.processes import Sandbox, sandboxes

QUICK = Waiting(first_poll_seconds=0.1, poll_every_seconds=0.1, deadline_seconds=60, timeout_seconds=5)
PLAIN = Output(film=False, report=False)
SOUNDS = ClipList(
    title="Sounds",
    defaults=Defaults(resolution="480p"),
    clips=(ClipSpec(name="bell", prompt="a bell rings"), ClipSpec(name="sea", prompt="waves break")),
)


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    """Run one sandbox for all tests of a module, with the folder that it serves."""
    home = tmp_path_factory.mktemp("sandbox")
    images = home / "images"
    images.mkdir()
    with sandboxes(home) as start:
        yield start(serve=images), images


@pytest.fixture
def sandbox(_shared: tuple[Sandbox, Path]) -> Sandbox:
    """Return the sandbox with empty books and no faults."""
    sandbox, _ = _shared
    sandbox.faults()
    httpx.post(f"{sandbox.url}/sandbox/reset").raise_for_status()
    return sandbox


@pytest.fixture
def archive(_shared: tuple[Sandbox, Path], tmp_path: Path) -> Path:
    """Return an empty archive, whose images the sandbox serves."""
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "images").symlink_to(_shared[1])
    return folder


@pytest.fixture
def credentials(sandbox: Sandbox) -> Credentials:
    """Return the sandbox's account."""
    return Credentials(api_key=SecretStr(sandbox.key), base_url=sandbox.url)


@pytest.fixture
def settings(credentials: Credentials, sandbox: Sandbox, archive: Path) -> RunSettings:
    """Return settings for quick runs into a folder."""
    return RunSettings(
        credentials=credentials,
        archive=str(archive),
        hosting=Hosting(images_url=sandbox.hosted),
        waiting=QUICK,
    )


async def prepare_sounds(settings: RunSettings, *, output: Output = PLAIN) -> Prepared:
    """Prepare two clips that need no images."""
    return await prepare(SOUNDS, settings, output=output)


@asynccontextmanager
async def opened(prepared: Prepared) -> AsyncIterator[tuple[Session, PlainSteps]]:
    """Open the session and the steps of a production."""
    async with Session.open(prepared.settings) as session:
        yield session, PlainSteps(session=session, settings=prepared.settings)


async def make(prepared: Prepared, *, on_progress: OnProgress = ignore) -> Manifest:
    """Run a prepared production."""
    async with opened(prepared) as (session, steps):
        return await run(prepared, session=session, steps=steps, on_progress=on_progress)
