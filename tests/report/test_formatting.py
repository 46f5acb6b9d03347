"""Figures as people read them."""

from datetime import timedelta

import pytest

from prefect_seedance.film.inspections import Similarity
from prefect_seedance.report.formatting import (
    format_duration,
    format_pause,
    format_size,
    format_time,
    rate_cut,
)
from tests.reports import NOW


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (4, "4 s"),
        (12.04, "12 s"),
        (12.46, "12.5 s"),
        (59.97, "1 min"),
        (120, "2 min"),
        (3725, "62 min 5 s"),
    ],
)
def test_duration(seconds: float, expected: str) -> None:
    """A duration has one decimal at most, and minutes from one minute on."""
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [(870, "870 bytes"), (1000, "1 kB"), (3_400_000, "3.4 MB"), (12e9, "12.0 GB")],
)
def test_size(size_bytes: float, expected: str) -> None:
    """A size has the largest unit of which there is at least one."""
    assert format_size(size_bytes) == expected


@pytest.mark.parametrize(
    ("pause", "expected"),
    [
        (timedelta(seconds=40), "40 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=5), "5 h"),
        (timedelta(days=1, hours=3), "1 day"),
        (timedelta(days=2), "2 days"),
    ],
)
def test_pause(pause: timedelta, expected: str) -> None:
    """A pause is rounded down to its largest unit."""
    assert format_pause(pause) == expected


def test_time() -> None:
    """A time is in UTC and has seconds."""
    assert format_time(NOW) == "22 Nov 2026, 12:00:00 UTC"


@pytest.mark.parametrize(
    ("ssim", "expected"),
    [
        (0.95, "seamless"),
        (0.9499, "slight change"),
        (0.8, "slight change"),
        (0.7999, "visible jump"),
        (None, "not compared"),
    ],
)
def test_rating_of_cut(ssim: float | None, expected: str) -> None:
    """A cut is rated by its similarity."""
    assert rate_cut(Similarity(ssim=ssim)) == expected
