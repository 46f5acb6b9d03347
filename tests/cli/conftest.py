"""Fixtures for tests of the command line."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.cli import main
from prefect_seedance.clips.flow_run_ref import FlowRunRef
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.report.manifest import Entry, record
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard import plan as planning
from prefect_seedance.storyboard.loader import load_storyboard
from prefect_seedance.storyboard.plan import PlannedClip
from tests import films
from tests.records import intent_of, manifest_of, record_success

Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Restore the environment and the handlers that a command sets for its process."""
    variables, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    yield
    os.environ.clear()
    os.environ.update(variables)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def clips(board: Path) -> tuple[PlannedClip, ...]:
    """Return the two clips of the storyboard."""
    parsed = asyncio.run(load_storyboard(board))
    return planning.plan(parsed.clips, title=parsed.title).clips


@pytest.fixture
def run_json(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command with --json, and returns the object that it prints."""

    def run(*words: object, code: int = 0) -> dict[str, Any]:
        assert main([*map(str, words), "--json"]) == code
        return dict(json.loads(capsys.readouterr().out))

    return run


async def record_in_flow(archive: Path, clip: PlannedClip, *, url: str) -> None:
    """Record a submission of a flow run without an answer."""
    run = FlowRunRef(name="produce dawn", id="7", deployment_id="3", url=url)
    intent = intent_of(clip).model_copy(update={"flow_run": run})
    assert await Ledger(Store.open(str(archive))).claim(intent)


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no browser that a command could open."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def lighthouse(tmp_path: Path) -> Path:
    """Return an archive with one production: two clips of one second, and no film yet."""
    folder = tmp_path / "films"
    asyncio.run(_produce(folder))
    return folder


async def _produce(folder: Path) -> None:
    store = Store.open(str(folder))
    entries = []
    for number, name in enumerate(("dawn", "noon"), 1):
        archived = await films.archived(store, films.clip(number), name=name)
        await record_success(store, archived, production="lighthouse")
        entries.append(
            Entry(
                number=number,
                name=name,
                fingerprint=archived.fingerprint,
                status=ClipStatus.made,
                duration_seconds=4,
                billed_seconds=4,
                clip=archived,
            )
        )
    manifest = manifest_of(*entries)
    await record(manifest.model_copy(update={"production": "lighthouse", "title": "Lighthouse"}), store)
