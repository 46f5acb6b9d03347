"""The automations that `prefect-seedance deploy` creates, on a real Prefect server."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import get_client
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.events import emit_event
from prefect.events.schemas.automations import AutomationCore
from prefect.events.worker import EventsWorker
from prefect.flow_engine import run_flow_async
from prefect.types import SecretDict

from prefect_seedance.cli import main
from prefect_seedance.errors import BudgetError
from prefect_seedance.flows import generate_clips
from tests.flows.conftest import Api, eventually
from tests.processes import Sandbox

_TAG = {"prefect.resource.id": "prefect.tag.seedance", "prefect.resource.role": "tag"}
_SCHEDULED = {"prefect.resource.id": "prefect.tag.auto-scheduled", "prefect.resource.role": "tag"}

_CLIPS = "generate-clips/clips"
_DEAD = "Mark dead Seedance runs as crashed"
_STUCK = "Mark Seedance runs that do not start as crashed"
_AGAIN = "Run crashed Seedance runs again"

_SHORTEST = 10
"""Seconds that Prefect permits for a trigger that waits for an event in vain."""


class _Inbox(ThreadingHTTPServer):
    """Receives the notifications."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.messages: list[dict[str, str]] = []

    def about(self, text: str) -> list[dict[str, str]]:
        """Return the messages that contain a text."""
        return [each for each in self.messages if text in json.dumps(each)]


class _Receiving(BaseHTTPRequestHandler):
    server: _Inbox

    def do_POST(self) -> None:
        self.server.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def inbox() -> Iterator[_Inbox]:
    """Receive notifications, by a block named alerts."""
    with _Inbox() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        CustomWebhookNotificationBlock(
            name="alerts",
            url=f"http://127.0.0.1:{server.server_port}/",
            json_data={"subject": "{{subject}}", "body": "{{body}}"},
            secrets=SecretDict({}),
        ).save("alerts", overwrite=True)
        yield server
        server.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _deployed(
    api: Api, inbox: _Inbox, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Deploy on the tests' server with all automations."""
    assert inbox
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("studio"))
        patch.setenv("PREFECT_API_URL", prefect_server)
        for name in ("SEEDANCE_ARCHIVE", "SEEDANCE_API_KEY"):
            patch.delenv(name, raising=False)
        api.undeploy()
        assert main(["deploy", "--pool", "automated", "--notify", "custom-webhook/alerts"]) == 0
        yield


@pytest.fixture
def deployment(api: Api) -> dict[str, Any]:
    """Return a deployment."""
    return dict(api.get("/deployments/name/join-film/film"))


Start = Callable[..., dict[str, Any]]


@pytest.fixture
def start(api: Api, deployment: dict[str, Any]) -> Start:
    """Return a function that creates a flow run; no worker takes it."""

    def create(*states: str) -> dict[str, Any]:
        path = f"/deployments/{deployment['id']}/create_flow_run"
        run = dict(api.post(path, {"parameters": {"production": "dawn"}}).raise_for_status().json())
        for state in states:
            _set(api, run, state)
        return run

    return create


def _set(api: Api, run: Mapping[str, Any], state: str) -> None:
    api.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": state}}).raise_for_status()


def _crash(api: Api, run: Mapping[str, Any]) -> None:
    """Start a run, and let it crash."""
    for state in ("PENDING", "RUNNING", "CRASHED"):
        _set(api, run, state)


def _states(api: Api, run: Mapping[str, Any]) -> list[str]:
    return [str(each["name"]) for each in api.get(f"/flow_run_states/?flow_run_id={run['id']}")]


def _reached(api: Api, run: Mapping[str, Any], state: str, *, count: int = 1) -> list[str]:
    """Wait until a run has been in a state so often, and return all its states."""
    assert eventually(lambda: _states(api, run).count(state) >= count), _states(api, run)
    return _states(api, run)


@contextmanager
def _within(name: str, seconds: float) -> Iterator[None]:
    """Change the time of an automation's trigger."""
    with get_client(sync_client=True) as client:
        (found,) = client.read_automations_by_name(name)
        shipped = AutomationCore.model_validate(found.model_dump(exclude={"id", "owner_resource"}))
        trigger = shipped.trigger.model_copy(update={"within": timedelta(seconds=seconds)})
        client.update_automation(found.id, shipped.model_copy(update={"trigger": trigger}))
        yield
        client.update_automation(found.id, shipped)


def _deployment(key: str) -> dict[str, str]:
    return {"prefect.resource.id": f"prefect.deployment.{key}", "prefect.resource.role": "deployment"}


def _beat(run: Mapping[str, Any], *tags: dict[str, str]) -> None:
    """Emit a heartbeat, as Prefect does in the process of a run."""
    emit_event(
        "prefect.flow-run.heartbeat",
        resource={"prefect.resource.id": f"prefect.flow-run.{run['id']}"},
        related=[_deployment(str(run["deployment_id"])), *tags],
    )


def test_dead_run_starts_again(api: Api, start: Start) -> None:
    """A run whose heartbeats end is marked as crashed, and starts again, as the same flow run."""
    with _within(_DEAD, _SHORTEST):
        run = start("PENDING", "RUNNING")
        _beat(run, _TAG)

        states = _reached(api, run, "AwaitingRetry")

        assert states == ["Scheduled", "Pending", "Running", "Crashed", "AwaitingRetry"]
        assert api.get(f"/flow_runs/{run['id']}")["parameters"] == run["parameters"]


def test_ended_runs_are_not_dead(api: Api, start: Start) -> None:
    """Runs that have ended, that a person cancels, or of other deployments emit no heartbeat, and stay."""
    ends = ("Completed", "InFlight", "Failed", "Cancelled", "Cancelling", "Suspended")
    with _within(_DEAD, _SHORTEST):
        runs = {end: start("PENDING", "RUNNING") for end in ends}
        other, dead = start("PENDING", "RUNNING"), start("PENDING", "RUNNING")
        for end, run in runs.items():
            _beat(run, _TAG)
            kind = {"InFlight": "COMPLETED", "Suspended": "PAUSED"}.get(end, end.upper())
            api.post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": kind, "name": end}})
        _beat(other)
        _beat(dead, _TAG)

        _reached(api, dead, "Crashed")

    assert {end: _states(api, run)[-1] for end, run in runs.items()} == {end: end for end in ends}
    assert _states(api, other)[-1] == "Running"


def test_stuck_run_starts_again(api: Api, start: Start) -> None:
    """A run whose machine dies before it has started is marked as crashed, and starts again."""
    with _within(_STUCK, _SHORTEST):
        run = start("PENDING")

        states = _reached(api, run, "AwaitingRetry")

        assert states == ["Scheduled", "Pending", "Crashed", "AwaitingRetry"]


def test_restarts_are_bounded(api: Api, start: Start) -> None:
    """A run that always crashes starts three times."""
    with _within(_AGAIN, 0):
        run, other = start(), start()
        for count in (1, 2):
            _crash(api, run)
            _reached(api, run, "AwaitingRetry", count=count)

        _crash(api, run)
        _crash(api, other)
        _reached(api, other, "AwaitingRetry")

        assert _states(api, run).count("AwaitingRetry") == 2
        assert _states(api, run)[-1] == "Crashed"


def test_restarts_are_apart(api: Api, start: Start) -> None:
    """A run that crashes at once when it starts again does not start a third time."""
    run, other = start(), start()
    _crash(api, run)
    _reached(api, run, "AwaitingRetry")

    _crash(api, run)
    _crash(api, other)
    _reached(api, other, "AwaitingRetry")

    assert _states(api, run)[-1] == "Crashed"


@pytest.mark.parametrize("state", ["FAILED", "CRASHED"])
def test_failed_run_notifies(api: Api, start: Start, inbox: _Inbox, state: str) -> None:
    """A message has the run's name, state and reasons."""
    run = start("PENDING", "RUNNING")
    reason = f"dawn was rejected {uuid4()}"
    body = {"state": {"type": state, "message": reason}}
    api.post(f"/flow_runs/{run['id']}/set_state", body).raise_for_status()

    (message,) = eventually(lambda: inbox.about(reason))

    assert message["subject"] == f"Seedance: {run['name']} {state.lower()}"
    assert message["body"].startswith(reason)
    assert run["id"] in message["body"]


@pytest.mark.parametrize(
    ("event", "kind", "subject"),
    [
        ("seedance.submission.unresolved", "clip", "{} has an unresolved submission"),
        ("seedance.clip.unarchived", "clip", "{} has a paid clip that is not archived"),
        ("seedance.clip.expiring", "clip", "{} has a paid clip that expires soon"),
        ("seedance.model.deprecated", "model", "the API announces the end of {}"),
    ],
)
def test_event_notifies(inbox: _Inbox, event: str, kind: str, subject: str) -> None:
    """A message names the production or model, and contains what the event says; others follow later."""
    EventsWorker.drain_all(timeout=60)  # one that started in a flow run attaches that to all events
    name = f"dawn-{uuid4()}"
    resource = {
        "prefect.resource.id": f"seedance.{kind}.{name}",
        "prefect.resource.name": name,
        "seedance.production": name,
    }
    for _ in range(2):
        emit_event(event, resource=resource, payload={"message": f"look at {name}"})
    other = {
        **resource,
        "seedance.production": f"{name}-2",
        "prefect.resource.id": f"seedance.{kind}.{name}-2",
    }
    emit_event(event, resource=other, payload={"message": f"other than {name}"})

    assert eventually(lambda: inbox.about(f"other than {name}"))

    (message,) = inbox.about(f"look at {name}")
    assert message["subject"] == f"Seedance: {subject.format(name)}"
    assert message["body"] == f"message: look at {name}\n"


async def _exceed_budget(sandbox: Sandbox, archive: Path, *tags: str) -> None:
    """Run a deployment that would buy more than it may."""
    parameters = {"clips": {"clips": [{"prompt": "waves"}]}, "archive": str(archive), "max_seconds": 1}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sandbox.env.items():
            patch.setenv(name, value)
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(_CLIPS)
            run = await client.create_flow_run_from_deployment(
                deployment.id, parameters=parameters, tags=list(tags)
            )
        with pytest.raises(BudgetError, match="4 s of video, more than its limit of 1 s"):
            await run_flow_async(generate_clips, flow_run=run, parameters=parameters)


async def test_budget_pauses_schedules(
    api: Api, deployment: dict[str, Any], sandbox: Sandbox, archive: Path
) -> None:
    """A scheduled run over budget pauses its deployment's schedules; a run that a person starts does not."""

    def is_paused(key: str) -> bool:
        return bool(api.get(f"/deployments/{key}")["paused"])

    clips = api.get(f"/deployments/name/{_CLIPS}")["id"]
    await _exceed_budget(sandbox, archive)
    emit_event(
        "seedance.budget.exceeded",
        resource={"prefect.resource.id": "seedance.account.studio"},
        related=[_deployment(deployment["id"]), _SCHEDULED],
    )
    assert eventually(lambda: is_paused(deployment["id"]))
    assert not is_paused(clips)

    await _exceed_budget(sandbox, archive, "auto-scheduled")

    assert eventually(lambda: is_paused(clips))
    assert sandbox.totals()["submits_received"] == 0
