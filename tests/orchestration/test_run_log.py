"""What is logged, and what is not; tests/flows shows the log of a flow run."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

import pytest
from prefect import task
from prefect.cache_policies import NO_CACHE

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.errors import GenerationFailedError
from prefect_seedance.orchestration.run_log import log_end, log_settled, quiet, run_logger
from prefect_seedance.production.progress import Progress
from prefect_seedance.report.manifest import Entry
from prefect_seedance.storage.store import Store
from tests.flows.conftest import Api
from tests.orchestration.conftest import CLIP
from tests.records import archived_clip, manifest_of


@task(name="ours", cache_policy=NO_CACHE)
@quiet
async def ours(error: Exception | None = None) -> str:
    """Return, or raise the error."""
    if error:
        raise error
    return "done"


async def _run(error: Exception | None, *, retries: int) -> None:
    with suppress(GenerationFailedError, ValueError):
        await ours.with_options(retries=retries)(error)


@pytest.mark.parametrize(
    ("error", "retries", "lines"),
    [
        (None, 0, []),
        (GenerationFailedError("no"), 0, ["Finished in state Failed("]),
        (GenerationFailedError("no"), 1, ["Task run failed with exception", "Finished in state Failed("]),
        (ValueError("no"), 0, ["Task run failed with exception", "Finished in state Failed("]),
    ],
    ids=["normal end", "expected error", "retry", "unexpected error"],
)
def test_task_logs_what_matters(
    error: Exception | None, retries: int, lines: list[str], server: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """A task of ours logs no normal end, an expected error once, each retry, and any other error."""
    assert server
    with caplog.at_level(logging.INFO, logger="prefect.task_runs"):
        asyncio.run(_run(error, retries=retries))

    logged = [record.getMessage() for record in caplog.records if record.name == "prefect.task_runs"]
    assert len(logged) == len(lines)
    assert all(message.startswith(line) for message, line in zip(logged, lines, strict=True))


def test_quiet_task_works_outside_of_prefect() -> None:
    """The function of a task can be called as it is."""
    assert asyncio.run(ours.fn()) == "done"


def test_production_ends_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last line has the counts, and the places of film and report that there are."""
    store = Store.open(str(tmp_path))
    manifest = manifest_of(Entry.of(CLIP, ClipStatus.made, archived=archived_clip(CLIP), billed_seconds=4))

    with caplog.at_level(logging.INFO):
        log_end(manifest, store)
        log_end(manifest.model_copy(update={"title": "A\nB", "report": "productions/a/report.html"}), store)

    assert caplog.messages == [
        "Test board: 1 made; 4 s billed",
        f"A B: 1 made; 4 s billed. Report: {tmp_path}/productions/a/report.html",
    ]


def test_settled_clips_are_details(caplog: pytest.LogCaptureFixture) -> None:
    """How each clip ended is logged for those who debug, and its other steps are not."""
    with caplog.at_level(logging.DEBUG):
        log_settled(Progress(CLIP, ClipStatus.in_flight, "processing"))
        log_settled(Progress(CLIP, ClipStatus.failed, "failed earlier", is_final=True))

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.DEBUG, "bell: failed earlier")
    ]


def test_logs_to_python_outside_of_flows(caplog: pytest.LogCaptureFixture) -> None:
    """Outside of a flow run, Python's log gets the lines."""
    run_logger().warning("slow %s", "down")

    assert caplog.messages == ["slow down"]
