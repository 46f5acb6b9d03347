"""Record spans and metrics in memory, as a program does that configures OpenTelemetry."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import opentelemetry.metrics._internal
import opentelemetry.trace
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from prefect_seedance import telemetry

Point = NumberDataPoint | HistogramDataPoint


@dataclass
class Recording:
    """The spans and metrics so far."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Return the ended spans with a name, or all of this package's."""
        ended = [span for span in self.exporter.get_finished_spans() if span.name.startswith("seedance.")]
        return [span for span in ended if not name or span.name == f"seedance.{name}"]

    def points(self, name: str) -> list[Point]:
        """Return the data points of a metric."""
        return [point for each, point in self._points() if each == name]

    def total(self, name: str, **attributes: str) -> float:
        """Return the sum of a counter, of the points with these attributes."""
        wanted = telemetry.named(attributes).items()
        return sum(
            point.value
            for point in self.points(name)
            if isinstance(point, NumberDataPoint) and wanted <= dict(point.attributes or {}).items()
        )

    def metrics(self) -> Mapping[str, set[str]]:
        """Return the attributes of each metric that was recorded."""
        found: dict[str, set[str]] = {}
        for name, point in self._points():
            found.setdefault(name, set()).update(point.attributes or {})
        return found

    def text(self) -> str:
        """Return everything that is exported, as text."""
        spans = "\n".join(span.to_json() for span in self.exporter.get_finished_spans())
        data = self.reader.get_metrics_data()
        return f"{spans}\n{data.to_json() if data else ''}"

    def _points(self) -> Iterator[tuple[str, Point]]:
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        assert isinstance(point, Point)
                        yield metric.name, point


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    """Record inside of a test only: OpenTelemetry's own setters work once in a process."""
    recording = Recording()
    tracers, meters = TracerProvider(), MeterProvider([recording.reader])
    tracers.add_span_processor(SimpleSpanProcessor(recording.exporter))
    with configured(monkeypatch, tracers, meters):
        yield recording
    tracers.shutdown()
    meters.shutdown()


@pytest.fixture
def failing_provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Configure providers that fail at whatever is asked of them."""
    with configured(monkeypatch, _Failing(), _Failing()):
        yield


@contextmanager
def configured(monkeypatch: pytest.MonkeyPatch, tracers: object, meters: object) -> Iterator[None]:
    """Use these providers inside."""
    telemetry._recorder.cache_clear()
    telemetry._log_once.cache_clear()
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", tracers)
    monkeypatch.setattr(opentelemetry.metrics._internal, "_METER_PROVIDER", meters)
    yield
    telemetry._recorder.cache_clear()


class _Failing:
    """A provider, a tracer and a meter that fail."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def fail(*_: object, **__: object) -> object:
            raise RuntimeError(f"no {name}")

        return fail
