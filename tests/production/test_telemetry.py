"""Spans and metrics of productions, compared with the sandbox's books."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from prefect_seedance.options import Output
from prefect_seedance.production.prepare import prepare
from prefect_seedance.production.rescue_archives import plain_steps, rescue_archives
from prefect_seedance.production.settings import RunSettings
from prefect_seedance.telemetry import BILLED, CLIPS, DETECTION, IN_FLIGHT, RATE_LIMITED, REQUESTS
from tests.pages import attributes_of
from tests.processes import Sandbox
from tests.production.conftest import SOUNDS, make, opened, prepare_sounds
from tests.recording import Recording


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(f"seedance.{name}")


def outcomes(recording: Recording, *names: str) -> list[str]:
    """Return the outcomes of the spans with these names, sorted."""
    return sorted(str(attribute(span, "outcome")) for name in names for span in recording.spans(name))


def without_waiting(settings: RunSettings) -> RunSettings:
    return replace(settings, waiting=settings.waiting.model_copy(update={"wait": False}))


def assert_documented(recording: Recording) -> None:
    """Check that the reference lists every attribute that was recorded, by span and metric."""
    for span in recording.spans():
        assert set(span.attributes or {}) <= attributes_of(span.name), span.name
    for name, attributes in recording.metrics().items():
        assert attributes <= attributes_of(name), name


async def test_spans_show_production(board: Path, settings: RunSettings, recording: Recording) -> None:
    """One trace has the run, below it its clips with their steps, and the film and the report."""
    manifest = await make(await prepare(board, settings, output=Output(film=True, report=True)))

    (run,) = recording.spans("run")
    names = {span.context.span_id: span.name.removeprefix("seedance.") for span in recording.spans()}
    tree = {
        (span.parent and names[span.parent.span_id], names[span.context.span_id])
        for span in recording.spans()
    }
    assert tree == {
        (None, "run"),
        ("run", "clip"),
        ("clip", "submit"),
        ("submit", "host"),
        ("clip", "wait"),
        ("clip", "archive"),
        ("run", "inspect"),
        ("run", "join"),
        ("run", "report"),
    }
    assert {span.context.trace_id for span in recording.spans()} == {run.context.trace_id}
    assert (attribute(run, "status"), attribute(run, "clips")) == ("complete", len(manifest.clips))
    found = {attribute(span, "fingerprint"): attribute(span, "status") for span in recording.spans("clip")}
    assert found == {entry.fingerprint: "made" for entry in manifest.clips}
    assert {each for name in ("submit", "wait", "archive") for each in outcomes(recording, name)} == {
        "submitted"
    }
    assert_documented(recording)


async def test_counters_equal_books(settings: RunSettings, sandbox: Sandbox, recording: Recording) -> None:
    """Requests, refusals and seconds billed are those of the API's books; no generation stays in flight."""
    sandbox.faults({"kind": "status", "fault": "answer", "status": 429, "times": 2})
    in_flight: list[float] = []

    await make(
        await prepare_sounds(settings),
        on_progress=lambda _: in_flight.append(recording.total(IN_FLIGHT.name)),
    )

    totals = sandbox.totals()
    balances = 1  # of the check before the run
    assert recording.total(REQUESTS.name) == totals["submits_received"] + totals["status_reads"] + balances
    assert recording.total(RATE_LIMITED.name) == 2
    assert recording.total(BILLED.name, outcome="submitted") == totals["paid_seconds"] == 8
    assert recording.total(CLIPS.name, status="made") == len(SOUNDS.clips)
    assert (max(in_flight), recording.total(IN_FLIGHT.name)) == (len(SOUNDS.clips), 0)
    assert recording.points(DETECTION.name)
    assert_documented(recording)


async def test_reused_clips_cost_nothing(settings: RunSettings, recording: Recording) -> None:
    """Clips that exist are reused, without a request and without a step."""
    await make(await prepare_sounds(settings))
    before = recording.total(REQUESTS.name), recording.total(BILLED.name)
    recording.exporter.clear()

    await make(await prepare_sounds(settings))

    assert (recording.total(REQUESTS.name), recording.total(BILLED.name)) == before
    assert recording.total(CLIPS.name, status="reused") == 2
    assert outcomes(recording, "clip") == ["reused", "reused"]
    assert not recording.spans("submit")


async def test_later_run_resumes(settings: RunSettings, recording: Recording) -> None:
    """A run that continues generations of another run has resumed them, and billed nothing."""
    await make(await prepare_sounds(without_waiting(settings)))
    billed = recording.total(BILLED.name)
    assert outcomes(recording, "clip") == ["submitted", "submitted"]
    recording.exporter.clear()

    await make(await prepare_sounds(settings))

    assert {each for name in ("clip", "submit", "wait", "archive") for each in outcomes(recording, name)} == {
        "resumed"
    }
    assert recording.total(BILLED.name) == billed
    assert_documented(recording)


async def test_retried_step_resumes(settings: RunSettings, recording: Recording) -> None:
    """A submission that is run again, as a retried task is, finds its generation and submits nothing."""
    prepared = await prepare_sounds(settings)
    async with opened(prepared) as (_, steps):
        for _ in range(2):
            await steps.submit(prepared.plan.clips[0], deadline_seconds=30)

    assert [attribute(span, "outcome") for span in recording.spans("submit")] == ["submitted", "resumed"]
    assert recording.total(BILLED.name) == 4


async def test_outage_is_no_late_detection(
    settings: RunSettings, sandbox: Sandbox, recording: Recording
) -> None:
    """The time in which no run waited says nothing about how fast polls and callbacks are."""
    await make(await prepare_sounds(without_waiting(settings)))
    while sandbox.totals()["in_flight"]:
        await asyncio.sleep(0.1)

    await make(await prepare_sounds(settings))

    assert recording.total(CLIPS.name, status="made") == 2
    assert not recording.points(DETECTION.name)


async def test_rescue_is_a_trace(settings: RunSettings, recording: Recording) -> None:
    """A rescue is one span, with the waits and downloads below it."""
    await make(await prepare_sounds(without_waiting(settings)))
    recording.exporter.clear()

    await rescue_archives([str(settings.archive)], settings, open_steps=plain_steps())

    (rescue,) = recording.spans("rescue")
    assert attribute(rescue, "clips") == 2
    assert {span.parent and span.parent.span_id for span in recording.spans("archive")} == {
        rescue.context.span_id
    }
    assert_documented(recording)


@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "accept-then-drop"},
        {"fault": "accept-without-id"},
        {"fault": "accept-then-answer", "status": 502},
    ],
    ids=lambda fault: fault["fault"],
)
async def test_lost_answers_are_unresolved(
    fault: dict[str, object], settings: RunSettings, sandbox: Sandbox, recording: Recording
) -> None:
    """A submission whose answer is lost may be billed, and its spans are failed and unresolved."""
    sandbox.faults({"kind": "submit", **fault, "clip": "bell"})

    await make(await prepare_sounds(settings))

    assert outcomes(recording, "submit") == outcomes(recording, "clip") == ["submitted", "unresolved"]
    failed = [span for span in recording.spans() if span.status.status_code is StatusCode.ERROR]
    assert {(span.name, attribute(span, "outcome")) for span in failed} == {
        ("seedance.clip", "unresolved"),
        ("seedance.submit", "unresolved"),
    }
    assert recording.total(BILLED.name) == sandbox.totals()["paid_seconds"]
    assert recording.total(BILLED.name, outcome="unresolved") == 4
    assert recording.total(CLIPS.name, status="unresolved") == 1
    assert_documented(recording)


async def test_failed_generation_is_failed_clip(
    settings: RunSettings, sandbox: Sandbox, recording: Recording
) -> None:
    """A clip whose generation fails has a failed span; its wait shows the result."""
    sandbox.faults({"kind": "generation", "fault": "fail", "code": "CONTENT_VIOLATION", "clip": "bell"})

    await make(await prepare_sounds(settings))

    failed = [span for span in recording.spans() if span.status.status_code is StatusCode.ERROR]
    assert [(span.name, attribute(span, "status")) for span in failed] == [("seedance.clip", "failed")]
    assert sorted(str(attribute(span, "status")) for span in recording.spans("wait")) == ["failed", "success"]
    assert attribute(recording.spans("run")[0], "status") == "failed"


async def test_nothing_secret_is_exported(
    board: Path, settings: RunSettings, sandbox: Sandbox, recording: Recording
) -> None:
    """Neither the key nor prompts, addresses or paths are exported, also if requests fail."""
    sandbox.faults(
        {"kind": "submit", "fault": "accept-then-garbage", "times": 1},
        {"kind": "status", "fault": "answer", "status": 500, "times": 3},
        {"kind": "file", "fault": "expired", "times": 1},
    )

    await make(await prepare(board, settings))

    text = recording.text()
    assert sandbox.key not in text
    assert "drifting clouds" not in text
    assert "dawn" not in text
    assert sandbox.url.rpartition(":")[2] not in text
    assert "?" not in text
    assert str(settings.archive) not in text


@pytest.mark.usefixtures("failing_provider")
async def test_failing_provider_stops_no_production(settings: RunSettings, sandbox: Sandbox) -> None:
    """A provider that always fails changes neither clips nor bill."""
    manifest = await make(await prepare_sounds(settings))

    assert manifest.is_complete
    assert sandbox.totals()["paid_seconds"] == manifest.billed_seconds == 8


async def test_provider_adds_no_requests(
    settings: RunSettings, sandbox: Sandbox, recording: Recording
) -> None:
    """A run that is recorded sends the requests of one that is not."""
    await make(await prepare_sounds(settings))

    assert recording.spans("run")
    totals = sandbox.totals()
    assert (totals["submits_received"], totals["file_requests"], totals["accepted"]) == (2, 2, 2)
