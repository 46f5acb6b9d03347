"""Events of whole runs, as the Prefect server stores them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import State, flow

from flows.generate_clips import generate_clips
from flows.rescue_clips import rescue_clips
from prefect_seedance import ClipList, Waiting, produce
from prefect_seedance.api.account import account_name
from prefect_seedance.storyboard.schema import ClipSpec, Defaults
from tests.flows.conftest import Api, eventually
from tests.processes import Sandbox
from tests.records import age_acceptances

PROMPT = "A bell rings in the fog, far away, and gulls cry above the harbour wall, cinematic"
"""Of a clip without a name of its own."""


@pytest.fixture(autouse=True)
def _account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in sandbox.env.items():
        monkeypatch.setenv(variable, value)


@pytest.fixture
def sounds() -> ClipList:
    """Return two clips of a production that no other test has."""
    return ClipList(
        title=f"events-{uuid4()}",
        defaults=Defaults(resolution="480p"),
        clips=(ClipSpec(prompt=PROMPT), ClipSpec(name="sea", prompt="waves break at night")),
    )


async def produced(sounds: ClipList, archive: Path, *, wait: bool = True) -> State[Any]:
    return await generate_clips(sounds, archive=str(archive), wait=wait, return_state=True)


async def submitted(sounds: ClipList, archive: Path) -> None:
    """Submit the clips so that the next run finds their generations finished."""
    await produced(sounds, archive, wait=False)
    age_acceptances(archive)


def of_run(api: Api, production: str, *events: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the latest event of each of these names, once the server has stored them."""

    def read() -> Mapping[str, Mapping[str, Any]]:
        found = {event["event"]: event for event in api.events(production)}
        return found if set(events) <= set(found) else {}

    return eventually(read)


async def test_run_reports_its_end(api: Api, sounds: ClipList, archive: Path, sandbox: Sandbox) -> None:
    """A run with a rejected clip reports it and its own end, related to the flow run, and no secret."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION", "times": 1})

    state = await produced(sounds, archive)

    found = of_run(api, sounds.title, "seedance.production.ended", "seedance.clip.failed")
    ended, failed = found["seedance.production.ended"], found["seedance.clip.failed"]
    assert ended["payload"]["verdict"] == ended["resource"]["seedance.verdict"] == "failed"
    assert ended["payload"]["counts"] == {"made": 1, "failed": 1}
    assert ended["payload"]["billed_seconds"] == ended["payload"]["total_seconds"] == 8
    assert (failed["payload"]["status"], failed["payload"]["code"]) == ("rejected", "CONTENT_VIOLATION")
    run = f"prefect.flow-run.{state.state_details.flow_run_id}"
    assert run in {each["prefect.resource.id"] for each in ended["related"]}
    own = [event["payload"] | event["resource"] for event in api.events(sounds.title)]
    text = json.dumps(own, ensure_ascii=False)
    assert not [secret for secret in (sandbox.key, PROMPT[:40], "waves break at night") if secret in text]


async def test_unarchived_clip_hides_signature(
    api: Api, sounds: ClipList, archive: Path, sandbox: Sandbox
) -> None:
    """A paid clip that cannot be archived is reported without the signature of its link."""
    await submitted(sounds, archive)
    sandbox.faults({"kind": "file", "fault": "answer", "status": 403})

    @flow
    async def film() -> None:
        waiting = Waiting(settling_seconds=0.1)
        await produce(sounds, archive=str(archive), waiting=waiting, on_incomplete="return")

    await film()

    unarchived = of_run(api, sounds.title, "seedance.clip.unarchived")["seedance.clip.unarchived"]
    assert unarchived["resource"]["seedance.status"] == "not archived"
    assert "expires_at" in unarchived["payload"]
    assert "?" not in json.dumps(unarchived["payload"])


async def test_reused_clips_have_no_event(api: Api, sounds: ClipList, archive: Path) -> None:
    """A second run, which reuses all clips, adds only its own end, with the bill of both runs."""
    await submitted(sounds, archive)
    await produced(sounds, archive)
    of_run(api, sounds.title, "seedance.production.ended", "seedance.clip.archived")
    eventually(lambda: _ended(api, sounds.title) == 2)
    before = len(api.events(sounds.title))

    await produced(sounds, archive)

    eventually(lambda: _ended(api, sounds.title) == 3)
    first, *others = sorted(api.events(sounds.title), key=lambda event: str(event["occurred"]), reverse=True)
    assert len(others) == before
    assert first["event"] == "seedance.production.ended"
    assert first["payload"]["verdict"] == "complete"
    assert (first["payload"]["billed_seconds"], first["payload"]["total_seconds"]) == (0, 8)


async def test_throttling_is_one_event(api: Api, sounds: ClipList, archive: Path, sandbox: Sandbox) -> None:
    """Several refusals because of a limit are one event, about the account and without its key."""
    sandbox.faults({"kind": "submit", "fault": "answer", "status": 429, "times": 3})
    account = account_name(sandbox.url, sandbox.key)

    await produced(sounds, archive, wait=False)

    resource = f"seedance.account.{account}"
    (event,) = eventually(lambda: api.events_labelled("prefect.resource.id", resource)["events"])
    assert event["event"] == "seedance.account.throttled"
    assert event["payload"]["requests"] == "submissions"
    assert sandbox.key not in json.dumps(event)


async def test_rescue_reports_archives(
    api: Api, sounds: ClipList, tmp_path: Path, archive: Path, sandbox: Sandbox
) -> None:
    """A rescue reports each rescued clip with its archive, and fails if another archive is missing."""
    other = tmp_path / "other"
    for each in (archive, other):
        await submitted(sounds, each)

    state = await rescue_clips([str(archive), str(tmp_path / "none"), str(other)], return_state=True)

    assert state.type.value == "FAILED"
    message = state.message or ""
    assert message.startswith("3 archives: 4 rescued, 0 left, 1 not read")
    assert f"There is no archive at {tmp_path / 'none'}" in message
    rescued = eventually(lambda: _rescued(api, sounds.title, count=4))
    assert {event["payload"]["archive"] for event in rescued} == {str(archive), str(other)}
    assert sandbox.totals()["accepted"] == 4


def _ended(api: Api, production: str) -> int:
    return sum(event["event"] == "seedance.production.ended" for event in api.events(production))


def _rescued(api: Api, production: str, *, count: int) -> list[dict[str, Any]]:
    found = [event for event in api.events(production) if event["event"] == "seedance.clip.rescued"]
    return found if len(found) >= count else []
