"""Format figures for people."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeVar

from prefect_seedance.film.inspections import Similarity

_E = TypeVar("_E", bound=Enum)

_SEAMLESS, _SLIGHT_CHANGE = 0.95, 0.8
"""Structural similarity from which no viewer sees a cut, and below which every viewer does."""

_KILO = 1000


def tally(values: Iterable[_E], kind: type[_E]) -> Mapping[_E, int]:
    """Count values of an enumeration, in its order and omitting zeros."""
    counts = Counter(values)
    return {value: counts[value] for value in kind if counts[value]}


def format_time(time: datetime) -> str:
    """Format a time: ``22 Nov 2026, 16:20:42 UTC``."""
    return f"{time.day} {time:%b %Y, %H:%M:%S} UTC"


def format_duration(seconds: float) -> str:
    """Format a duration with at most one decimal: ``4 s``, ``12.5 s``, ``2 min 5 s``."""
    if round(seconds, 1) < 60:  # noqa: PLR2004 -- a minute
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} min {rest} s" if rest else f"{minutes:,} min"


def format_pause(pause: timedelta) -> str:
    """Format a pause in its largest unit: ``3 min``, ``5 h``, ``2 days``."""
    if pause.days:
        return f"{pause.days:,} day{'' if pause.days == 1 else 's'}"
    minutes = pause.seconds // 60
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min" if minutes else f"{pause.seconds} s"  # noqa: PLR2004 -- an hour


def format_size(size_bytes: float) -> str:
    """Format a size: ``870 kB``, ``3.4 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if size_bytes < _KILO:
            return f"{size_bytes:.1f}".removesuffix(".0") + f" {unit}"
        size_bytes /= _KILO
    return f"{size_bytes:,.1f} GB"


def rate_cut(similarity: Similarity) -> str:
    """Describe how visible a cut is: ``seamless``, ``slight change`` or ``visible jump``."""
    if similarity.ssim is None:
        return "not compared"
    if similarity.ssim >= _SEAMLESS:
        return "seamless"
    return "slight change" if similarity.ssim >= _SLIGHT_CHANGE else "visible jump"
