"""`produce` outside of a flow run; tests/flows shows it inside of one."""

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import flow, runtime

from prefect_seedance import (
    ClipArchive,
    ClipList,
    ClipSpec,
    Output,
    RunSettings,
    produce,
)
from prefect_seedance.errors import SetupError
from prefect_seedance.orchestration.produce import run_prepared, warn
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.progress import Progress
from tests.flows.conftest import Api, completed, eventually
from tests.orchestration.conftest import QUICK
from tests.processes import Sandbox, environment

MAX_EVENTS_OF_CLIP = 10
PLAIN = Output(film=False, report=False)
SOUNDS = ClipList(title="Sounds", clips=(ClipSpec(name="bell", prompt="a bell rings"),))

_SCRIPT = """
import asyncio, sys
from prefect_seedance import ClipList, ClipSpec, Output, Waiting, produce

manifest = asyncio.run(
    produce(
        ClipList(title="Sounds", clips=(ClipSpec(prompt="a bell rings"),)),
        waiting=Waiting(first_poll_seconds=0.1, poll_every_seconds=0.1),
        output=Output(film=False, report=False),
    )
)
print(manifest.is_complete, "prefect.server.api.server" in sys.modules)
"""


def test_starts_no_server(sandbox: Sandbox, archive: Path, tmp_path: Path) -> None:
    """Outside of a flow run, a production in one call needs no Prefect server and starts none."""
    variables = environment(tmp_path, **sandbox.env, SEEDANCE_ARCHIVE=str(archive))

    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == "True False\n"


@pytest.mark.usefixtures("no_server")
def test_archive_may_be_a_block(settings: RunSettings, archive: Path) -> None:
    """The archive may be a block, and the progress is reported."""
    seen: list[Progress] = []

    manifest = asyncio.run(
        produce(
            SOUNDS,
            archive=ClipArchive(url=str(archive)),
            credentials=settings.credentials,
            waiting=QUICK,
            output=PLAIN,
            on_progress=seen.append,
        )
    )

    assert (manifest.archive, manifest.is_complete) == (str(archive), True)
    assert [progress.is_final for progress in seen][-1]


def test_flow_run_is_in_ledger(server: Api, settings: RunSettings) -> None:
    """In a flow run the ledger names it, and each clip counts once it is final."""

    @flow(name="film", flow_run_name="dawn over the sea")
    async def film() -> str:
        prepared = await prepare(SOUNDS, settings, output=PLAIN)
        manifest = await run_prepared(prepared)
        return str(manifest.clips[0].status)

    assert server
    assert asyncio.run(film()) == "made"
    archive = Path(str(settings.archive))
    (path,) = archive.glob("clips/*/*/intent.json")
    intent = json.loads(path.read_text(encoding="utf-8"))
    manifest = json.loads((archive / "productions/sounds/manifest.json").read_text(encoding="utf-8"))
    (run,) = server.filter("/flow_runs", flow_runs={"name": {"any_": ["dawn over the sea"]}})
    assert intent["asked_by"].endswith("flow run dawn over the sea")
    assert intent["flow_run"]["id"] == run["id"]
    assert intent["flow_run"]["url"].endswith(f"/runs/flow-run/{run['id']}")
    assert manifest["flow_run"] == intent["flow_run"]


def test_clip_takes_one_task_run(server: Api, settings: RunSettings) -> None:
    """A clip takes one task run however often it is polled, and one that exists takes none."""

    @flow
    async def film() -> str:
        await run_prepared(await prepare(SOUNDS, settings, output=Output(film=True)))
        return str(runtime.flow_run.id)

    first, second = asyncio.run(film()), asyncio.run(film())

    names = sorted(run["name"] for run in eventually(lambda: completed(server, first, count=3)))
    assert names == ["join Sounds", "make bell", "report on Sounds"]
    names = sorted(run["name"] for run in eventually(lambda: completed(server, second, count=2)))
    assert names == ["join Sounds", "report on Sounds"]


def test_clip_takes_few_events(server: Api, settings: RunSettings) -> None:
    """A clip takes three events of its task run, one of each change of its generation, and one asset."""

    @flow
    async def film() -> str:
        await run_prepared(await prepare(SOUNDS, settings, output=PLAIN))
        return str(runtime.flow_run.id)

    flow_run_id = asyncio.run(film())

    eventually(lambda: "prefect.task-run.Completed" in server.events_of(flow_run_id))
    names = [name for name in server.events_of(flow_run_id) if not name.startswith("prefect.artifact")]
    assert len(set(names)) == len(names) <= MAX_EVENTS_OF_CLIP, names


@pytest.mark.usefixtures("no_server")
def test_wrong_account_is_an_error(settings: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an account nothing begins."""
    monkeypatch.delenv("SEEDANCE_API_KEY", raising=False)

    with pytest.raises(SetupError, match="SEEDANCE_API_KEY"):
        asyncio.run(produce(SOUNDS, archive=settings.archive))


@pytest.mark.usefixtures("no_server")
def test_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Outside of a flow run a warning goes to Python's log."""
    with caplog.at_level(logging.WARNING):
        warn("The images expire first: 100 %")

    assert caplog.messages == ["The images expire first: 100 %"]
