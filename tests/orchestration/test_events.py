"""Events about generations and clips."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from prefect_seedance.api.announcements import Announcement
from prefect_seedance.api.wire import Generation
from prefect_seedance.clips.records import Acceptance, Attempt
from prefect_seedance.errors import RateLimitedError
from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.events import FIELDS, Event
from tests.flows.conftest import Api, eventually
from tests.orchestration.conftest import CLIP
from tests.records import FAILED, archived_clip, intent_of


@pytest.fixture
def attempt() -> Attempt:
    """Return an accepted attempt of a production of its own."""
    name = f"events-{uuid4()}"
    intent = intent_of(CLIP).model_copy(
        update={"production": name, "continued_by": ("prefect.flow-run.1", "prefect.deployment.2")}
    )
    return Attempt(intent=intent, acceptance=Acceptance(generation_id="task_7", accepted_at=intent.asked_at))


def emitted(server: Api, attempt: Attempt, *, count: int) -> list[Mapping[str, Any]]:
    """Return the events of an attempt's production, once the server has stored so many, in order."""
    production = attempt.intent.production
    found = eventually(lambda: _enough(server.events(production), count))
    return sorted(found, key=lambda event: str(event["occurred"]))


def _enough(found: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return found if len(found) >= count else []


def _about(server: Api, resource: str) -> Mapping[str, Any]:
    """Return the first stored event about a resource."""
    found = eventually(lambda: server.events_labelled("prefect.resource.id", resource)["events"])
    return dict(found[0])


def test_every_change_is_an_event(server: Api, attempt: Attempt) -> None:
    """Submission, states and archive are events of the generation, with the clip's fingerprint."""
    events.generation_submitted(attempt)
    for state in ("pending", "processing", "success"):
        events.generation_changed(attempt, Generation(generation_id="task_7", state=state))
    events.clip_archived(attempt, archived_clip(CLIP))

    found = emitted(server, attempt, count=5)

    assert [event["event"] for event in found] == [
        "seedance.generation.submitted",
        "seedance.generation.queued",
        "seedance.generation.started",
        "seedance.generation.succeeded",
        "seedance.clip.archived",
    ]
    assert {event["resource"]["prefect.resource.id"] for event in found} == {"seedance.generation.task_7"}
    assert {event["payload"]["fingerprint"] for event in found} == {CLIP.fingerprint}
    assert found[-1]["payload"]["sha256"] == archived_clip(CLIP).sha256


def test_failure_has_code(server: Api, attempt: Attempt) -> None:
    """A failed generation's event has the API's code; an unknown state is a change."""
    failed = Generation(generation_id="task_7", state="failed", fail_code="CONTENT_VIOLATION")
    events.generation_changed(attempt, failed)

    (event,) = emitted(server, attempt, count=1)

    assert event["event"] == "seedance.generation.failed"
    assert event["payload"]["fail_code"] == "CONTENT_VIOLATION"


def test_end_names_what_continues(server: Api, attempt: Attempt) -> None:
    """The end of a generation is related to the flow run and the deployment that continue the production."""
    events.generation_ended(attempt.model_copy(update={"outcome": FAILED}))

    (event,) = emitted(server, attempt, count=1)

    assert event["event"] == events.Event.generation_ended
    assert event["payload"]["result"] == "failed"
    related = {(each["prefect.resource.role"], each["prefect.resource.id"]) for each in event["related"]}
    # Prefect adds the flow run, if there was one, in which this process first emitted an event.
    assert related >= {("flow-run", "prefect.flow-run.1"), ("deployment", "prefect.deployment.2")}


def test_open_attempt_has_no_end(server: Api, attempt: Attempt) -> None:
    """An attempt without an outcome wakes no run."""
    events.generation_ended(attempt)
    events.generation_submitted(attempt)

    (event,) = emitted(server, attempt, count=1)

    assert event["event"] == "seedance.generation.submitted"


def test_payloads_are_those_declared(server: Api, attempt: Attempt) -> None:
    """Events about an account and a model have all their fields; a value without a field does not leave."""
    name = attempt.intent.production
    known = {"deprecation": "2026-10-01", "sunset": "2026-12-01", "link": "https://models.example"}
    events.model_deprecated(Announcement(model="seedance-1", **known), production=name)
    events.account_throttled(name, "reads", RateLimitedError("slow down", retry_after_seconds=7))
    payload = {"page": "index.html", "api_key": "sd-secret"}
    events.emit(Event.catalog_ended, f"{events.CATALOG}{name}", name=name, payload=payload)

    (deprecated,) = emitted(server, attempt, count=1)
    throttled, catalog = (_about(server, f"{kind}{name}") for kind in (events.ACCOUNT, events.CATALOG))

    for event in (deprecated, throttled):
        assert set(event["payload"]) == set(FIELDS[event["event"]])
    assert catalog["payload"] == {"page": "index.html"}


def test_prompt_names_no_clip(server: Api, attempt: Attempt) -> None:
    """A clip that is named after its prompt has its fingerprint as name in events."""
    prompt = attempt.intent.request.input.prompt
    unnamed = attempt.model_copy(update={"intent": attempt.intent.model_copy(update={"name": prompt})})

    events.generation_submitted(unnamed)

    (event,) = emitted(server, attempt, count=1)
    assert event["payload"]["clip"] == event["resource"]["prefect.resource.name"] == f"clip {'f' * 12}"


@pytest.mark.usefixtures("no_server")
def test_no_server_gets_no_events(attempt: Attempt) -> None:
    """Without a server nothing is emitted, because Prefect would start one."""
    events.generation_submitted(attempt)
    events.generation_ended(attempt.model_copy(update={"outcome": FAILED}))

    assert not events.has_prefect()
