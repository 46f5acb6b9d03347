"""Spans and metrics of OpenTelemetry."""

import asyncio
import logging
import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import StatusCode

from prefect_seedance.errors import ContentRejectedError, SeedanceError
from prefect_seedance.telemetry import BILLED, DETECTION, IN_FLIGHT, METRICS, mark_failed, span
from tests.recording import Recording, configured

SECRET = "sk-secret-key and a prompt about waves at https://host/clip.mp4?signature=abc"


def test_spans_nest(recording: Recording) -> None:
    """A span within another, also in a task of its own, is its child."""

    async def step() -> None:
        with span("submit"):
            pass

    async def run() -> None:
        with span("run"):
            await asyncio.gather(step(), step())

    asyncio.run(run())

    (parent,) = recording.spans("run")
    assert {child.parent and child.parent.span_id for child in recording.spans("submit")} == {
        parent.context.span_id
    }


def test_empty_attributes_are_left_out(recording: Recording) -> None:
    """Attributes get the prefix of the package; those without a value are left out, and 0 is a value."""
    with span("run", production="dawn", model="", attempt=None) as note:
        note(clips=0)

    assert dict(recording.spans("run")[0].attributes or {}) == {
        "seedance.production": "dawn",
        "seedance.clips": 0,
    }


@pytest.mark.parametrize(
    ("error", "description"),
    [
        (
            ContentRejectedError(SECRET, code=403),
            "ContentRejectedError: The content violates the API's policy, or the key lacks access (403).",
        ),
        (ValueError(SECRET), "ValueError"),
        (asyncio.CancelledError(SECRET), "CancelledError"),
    ],
    ids=["of the package", "of a library", "cancelled"],
)
def test_errors_keep_their_messages(error: BaseException, description: str, recording: Recording) -> None:
    """A failed span shows the class of its error and that class's meaning, but no message."""
    with pytest.raises(type(error)), span("run"), span("submit"):
        raise error

    assert [each.status.status_code for each in recording.spans()] == [StatusCode.ERROR] * 2
    assert {each.status.description for each in recording.spans()} == {description}
    assert not any(each.events for each in recording.spans())
    assert "secret" not in recording.text()
    assert "signature" not in recording.text()


def test_metrics_have_units(recording: Recording) -> None:
    """Each metric is exported with its name and unit, and counters that go down do so."""
    for metric in METRICS:
        metric.record(2)
    IN_FLIGHT.record(-2)

    assert set(recording.metrics()) == {metric.name for metric in METRICS}
    assert (recording.total(IN_FLIGHT.name), recording.total(BILLED.name)) == (0, 2)
    assert recording.points(DETECTION.name)
    assert all(f'"unit": "{metric.unit}"' in recording.text() for metric in METRICS)


@pytest.mark.usefixtures("failing_provider")
def test_failing_provider_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A provider that fails stops nothing, and hides no error of the code inside."""

    def fail() -> None:
        with span("run") as note:
            note(status="made")
            BILLED.record(4)
            mark_failed(ValueError())
            raise SeedanceError

    with caplog.at_level(logging.WARNING), pytest.raises(SeedanceError):
        fail()

    assert "OpenTelemetry failed, and spans or metrics may be missing: RuntimeError" in caplog.text


def test_failing_processor_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that fails whenever a span ends does not stop the program."""

    class Failing(SpanProcessor):
        def on_end(self, span: object) -> None:  # noqa: ARG002 -- OpenTelemetry's
            raise OSError

    tracers, done = TracerProvider(), []
    tracers.add_span_processor(Failing())

    with configured(monkeypatch, tracers, MeterProvider()), span("run") as note:
        note(status="made")
        done.append(True)

    assert done


def test_nothing_is_recorded_without_provider() -> None:
    """Without a provider, spans and metrics do nothing, and importing the package loads no OpenTelemetry."""
    program = (
        "import sys\n"
        "import prefect_seedance.cli, prefect_seedance.production.produce\n"
        "from prefect_seedance.telemetry import BILLED, span\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "from opentelemetry import trace\n"
        "with span('run'):\n"
        "    BILLED.record(4)\n"
        "    assert not trace.get_current_span().is_recording()\n"
        "assert 'opentelemetry.sdk' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
