"""Runs of a deployment, which crash."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.states import Completed, Crashed, Running

from prefect_seedance.orchestration.child_runs import ChildRuns

_RUN = FlowRun(
    name="produce sea", flow_id=uuid4(), parameters={"storyboard": "sea.yaml"}, state=Running(), run_count=1
)


class _Server:
    """A Prefect server on which a run has one state after the other."""

    def __init__(self, *states: State) -> None:
        self.states: Iterator[State] = iter(states)
        self.scheduled: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer with the next state of the run, and note when it is scheduled."""
        if request.url.path.endswith("csrf-token"):
            return httpx.Response(404)
        if request.method == "POST":
            self.scheduled.append(request.url.path)
            return httpx.Response(201, json={"state": None, "status": "ACCEPT", "details": {}})
        run = _RUN.model_copy(update={"state": next(self.states)})
        return httpx.Response(200, json=run.model_dump(mode="json"))

    async def run(self) -> str:
        """Wait for the end of the run, and return the name of its state."""
        transport = httpx.MockTransport(self)
        client = PrefectClient("http://prefect.example/api", httpx_settings={"transport": transport})
        deployment = DeploymentResponse(name="storyboard", flow_id=_RUN.flow_id, labels={})
        runs = ChildRuns(client=client, deployment=deployment, key="key", tag="tag", unfinished=[_RUN])
        return (await runs.run("sea.yaml", {}, title="sea")).state


@pytest.mark.parametrize(
    ("states", "times"),
    [
        ((Crashed(), Crashed(), Running(), Completed()), 1),
        ((Crashed(), Running(), Completed()), 0),
    ],
    ids=["left", "started by the automation"],
)
async def test_crashed_run_has_one_process(states: tuple[State, ...], times: int) -> None:
    """A crashed run that the automation has started again meanwhile is not started a second time."""
    server = _Server(*states)

    end = await server.run()

    assert end == "Completed"
    assert len(server.scheduled) == times
