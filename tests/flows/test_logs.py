"""What a person reads in the log of a flow run."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.runtime import flow_run
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from prefect_seedance import ClipList, ClipSpec, Output, Waiting, produce
from prefect_seedance.errors import GenerationFailedError
from tests.flows.conftest import Api, account, eventually
from tests.processes import Sandbox

BELLS = ClipList(
    title="Bells",
    defaults={"resolution": "480p"},
    clips=tuple(ClipSpec(name=name, prompt=f"a {name} rings") for name in ("bell", "gong", "phone")),
)
DONE = "Finished in state Completed()"


@pytest.fixture(autouse=True)
def _logs_are_sent() -> Iterator[None]:
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        yield


@task
def their_task(*, fails: bool = False) -> None:
    """Do nothing, or fail with an error of the package."""
    if fails:
        raise GenerationFailedError("theirs")


@flow(name="film")
async def film(sandbox: Sandbox, archive: Path) -> str:
    """Make the clips, beside tasks of the user's own."""
    their_task()
    their_task(fails=True, return_state=True)
    await produce(
        BELLS,
        archive=str(archive),
        credentials=account(sandbox),
        waiting=Waiting(first_poll_seconds=0.3, poll_every_seconds=0.2),
        output=Output(film=False, report=True),
        on_incomplete="return",
    )
    logging.getLogger("prefect_seedance.clips.purchase").error("the id cannot be recorded yet")
    return str(flow_run.id)


def test_log_has_what_matters(sandbox: Sandbox, archive: Path, api: Api) -> None:
    """The log has begin and end of throttling, each failure once, and the result, but no normal end."""
    sandbox.faults(
        {"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION", "clip": "gong"},
        {"kind": "submit", "fault": "answer", "status": 429, "message": "slow down", "times": 1},
    )

    run_id = asyncio.run(film(sandbox, archive))

    lines = eventually(lambda: _complete(api, run_id))
    found = [(line["level"], line["message"].partition("; trying until ")[0]) for line in lines]
    own = sum("GenerationFailedError" in message for _, message in found[:4])
    rejected = (
        "Finished in state Failed('Task run encountered an exception ContentRejectedError: gong: "
        "CONTENT_VIOLATION, a scripted fault. Change its prompt or image, or run again with "
        "retry=RetryPolicy(retry_rejected=True)')"
    )
    assert own == 2
    assert found[0][1].startswith("Beginning flow run")
    assert sorted(found[4:]) == sorted(
        [
            (logging.WARNING, "The API answered 429: slow down"),
            (logging.INFO, "The run continues: what it waited for is over"),
            (logging.ERROR, rejected),
            (
                logging.INFO,
                f"Bells: 2 made, 1 failed; 12 s billed. Report: {archive}/productions/bells/report.html",
            ),
            (logging.ERROR, "the id cannot be recorded yet"),
            (logging.INFO, DONE),
        ]
    )


def _complete(api: Api, run_id: str) -> list[Mapping[str, Any]]:
    """Return the log of a flow run in order, once its last line is stored."""
    lines = api.filter("/logs", logs={"flow_run_id": {"any_": [run_id]}}, sort="TIMESTAMP_ASC")
    ended = [line for line in lines if line["name"] == "prefect.flow_runs" and line["message"] == DONE]
    return list(lines) if ended else []
