"""Spans and metrics of OpenTelemetry, which are recorded only if a program configures a provider."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from prefect_seedance.errors import SeedanceError
from prefect_seedance.printable import get_logger

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SpanName = Literal["run", "rescue", "clip", "submit", "host", "wait", "archive", "inspect", "join", "report"]
"""The spans, without the prefix ``seedance.``."""

Note = Callable[..., None]
"""Adds attributes to a span. Names get the prefix ``seedance.``; empty values are left out."""

_DETECTION_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds: callbacks take parts of a second, and polls 10 s by default or more."""

_SCOPE: Final = "prefect_seedance"
"""Name of the instrumentation."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class Metric:
    """One metric, whose instrument is made when it is first used."""

    name: str
    unit: str
    description: str
    kind: Literal["counter", "up-down counter", "histogram"] = "counter"

    def record(self, amount: float = 1, **attributes: str) -> None:
        """Count an amount, or record a value of a histogram. Names get the prefix ``seedance.``."""
        self.record_with(amount, named(attributes))

    def record_with(self, amount: float, attributes: Mapping[str, str | int]) -> None:
        """Do as `record` does, with attributes by their full names."""
        with _harmless():
            _recorder(self)(amount, attributes)


REQUESTS: Final = Metric(
    "seedance.client.requests", "{request}", "Requests to the API, each retry and failed connection included."
)
RATE_LIMITED: Final = Metric(
    "seedance.client.rate_limited", "{request}", "Requests that the API refused with 429."
)
BILLED: Final = Metric("seedance.video.billed", "s", "Seconds of video in paid submissions.")
CLIPS: Final = Metric("seedance.clips", "{clip}", "Clips that a production's run has finished with.")
IN_FLIGHT: Final = Metric(
    "seedance.generations.in_flight",
    "{generation}",
    "Slots of the account that this process has taken, one for each generation.",
    "up-down counter",
)
DETECTION: Final = Metric(
    "seedance.generation.detection.duration",
    "s",
    "Time from the end of a generation, by the API's clock, until the waiting run knows of it.",
    "histogram",
)
METRICS: Final = (REQUESTS, RATE_LIMITED, BILLED, CLIPS, IN_FLIGHT, DETECTION)


@contextmanager
def span(name: SpanName, **attributes: object) -> Iterator[Note]:
    """Record a span around the code inside, and yield a function that adds attributes to it.

    An exception gives it the status error, with the class of the exception. Attributes must not contain
    prompts, URLs or keys.
    """
    from opentelemetry import trace  # noqa: PLC0415 -- commands that make nothing do without it

    current: Span = trace.INVALID_SPAN
    with _harmless():
        tracer = trace.get_tracer(_SCOPE)
        current = tracer.start_span(f"seedance.{name}", attributes=named(attributes))

    def note(**found: object) -> None:
        with _harmless():
            current.set_attributes(named(found))

    try:
        with trace.use_span(current, record_exception=False, set_status_on_exception=False):
            try:
                yield note
            except BaseException as error:
                mark_failed(error)
                raise
    finally:
        with _harmless():
            current.end()


def mark_failed(error: BaseException) -> None:
    """Give the current span the status error."""
    from opentelemetry import trace  # noqa: PLC0415 -- as above

    with _harmless():
        current = trace.get_current_span()
        current.set_attribute("error.type", error_type(error))
        current.set_status(trace.StatusCode.ERROR, _described(error))


def error_type(error: BaseException) -> str:
    """Return the name of an exception's class."""
    return type(error).__name__


def named(attributes: Mapping[str, object]) -> dict[str, str | int]:
    """Return attributes with their full names, without those that have no value."""
    return {
        f"seedance.{name}": value if isinstance(value, int) else str(value)
        for name, value in attributes.items()
        if value not in (None, "")
    }


def _described(error: BaseException) -> str:
    """Return the class of an exception and its meaning; the message may quote a prompt or an answer."""
    if not isinstance(error, SeedanceError):
        return error_type(error)
    meaning = (type(error).__doc__ or "").partition("\n")[0]
    return f"{error_type(error)}: {meaning}"


@cache
def _recorder(metric: Metric) -> Callable[[float, Mapping[str, str | int]], None]:
    """Return the function that records a metric; OpenTelemetry warns if an instrument is made twice."""
    from opentelemetry.metrics import get_meter  # noqa: PLC0415 -- as above

    meter, described = get_meter(_SCOPE), (metric.name, metric.unit, metric.description)
    match metric.kind:
        case "counter":
            return meter.create_counter(*described).add
        case "up-down counter":
            return meter.create_up_down_counter(*described).add
        case "histogram":
            buckets = _DETECTION_BUCKETS
            return meter.create_histogram(*described, explicit_bucket_boundaries_advisory=buckets).record


@contextmanager
def _harmless() -> Iterator[None]:
    """Log an error of a provider, which must not stop a purchase or a download."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- of any provider
        _log_once(f"{error_type(error)}: {error}")


@cache
def _log_once(error: str) -> None:
    _log.warning("OpenTelemetry failed, and spans or metrics may be missing: %s", error)
