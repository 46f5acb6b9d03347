"""The axis of times, and its breaks."""

from datetime import datetime, timedelta

import pytest

from prefect_seedance.report.timeline import Axis, Span
from tests.reports import NOW


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def test_bars_are_in_scale() -> None:
    """Bars are proportional to their times."""
    spans = [Span(at(0), at(6), at(8)), Span(at(2), at(9), at(10))]

    axis = Axis(spans)

    assert [axis.bar(span) for span in spans] == [(0, 60, 20), (20, 70, 10)]
    assert (axis.start, axis.end, axis.breaks) == (at(0), at(10), ())


def test_long_pause_is_shortened() -> None:
    """A retake a day later leaves room for the first takes."""
    spans = [Span(at(0), at(10), at(10)), Span(at(1450), at(1459), at(1460))]

    axis = Axis(spans)

    first, second = (axis.bar(span) for span in spans)
    (gap,) = axis.breaks
    assert first.generating == pytest.approx(100 * 10 / 21)
    assert second.start == pytest.approx(100 * 11 / 21)
    assert second.start + second.generating + second.archiving == pytest.approx(100)
    assert first.generating < gap.at < second.start
    assert gap.pause == timedelta(days=1)


def test_many_pauses_leave_room() -> None:
    """However many pauses there are, half of the axis shows generations."""
    spans = [Span(at(day * 1440), at(day * 1440 + 1), at(day * 1440 + 1)) for day in range(100)]

    axis = Axis(spans)

    assert sum(axis.bar(span).generating for span in spans) == pytest.approx(50)
    assert len(axis.breaks) == 99


def test_odd_times_stay_on_axis() -> None:
    """A wrong clock of the API, or a generation in flight, stays on the axis."""
    spans = [Span(at(0), at(-30), at(2)), Span(at(1), at(99), at(3)), Span(at(2))]
    axis = Axis(spans)

    bars = [axis.bar(span) for span in spans]

    assert all(min(bar) >= 0 and bar.start + bar.generating + bar.archiving <= 100 + 1e-9 for bar in bars)


def test_axis_without_spans() -> None:
    """Without spans, the axis has no start."""
    assert Axis([]).start is None


def test_axis_without_length() -> None:
    """A span without length has a bar without length."""
    assert Axis([Span(NOW)]).bar(Span(NOW)) == (0, 0, 0)
