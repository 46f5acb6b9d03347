"""Durations of options."""

import pytest
from pydantic import TypeAdapter, ValidationError

from prefect_seedance.durations import Seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), (" 2h ", 7200.0), (5, 5.0), (0.5, 0.5)],
)
def test_reads_durations(text: object, seconds: float) -> None:
    """A duration is a number of seconds, or text with a unit."""
    assert TypeAdapter(Seconds).validate_python(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1d", "-5s", "0", 0, -1, None])
def test_refuses_other_durations(text: object) -> None:
    """Anything else is an error."""
    with pytest.raises(ValidationError):
        TypeAdapter(Seconds).validate_python(text)
