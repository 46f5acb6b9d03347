"""Write figures as people read them."""

from datetime import datetime, timedelta

from prefect_seedance.film.seams import Similarity

_HOLDS, _SHOWS = 0.95, 0.8
"""Structural similarity from which nobody sees a cut, and below which anyone does."""

_KILO = 1000


def moment(when: datetime) -> str:
    """Write a time: ``22 Nov 2026, 16:20:42 UTC``."""
    return f"{when.day} {when:%b %Y, %H:%M:%S} UTC"


def seconds(length: float) -> str:
    """Write a length with at most one digit after the point: ``4 s``, ``12.5 s``, ``2 min 5 s``."""
    if round(length, 1) < 60:  # noqa: PLR2004 -- a minute
        return f"{length:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(length), 60)
    return f"{minutes:,} min {rest} s" if rest else f"{minutes:,} min"


def pause(length: timedelta) -> str:
    """Write a pause as coarsely as it matters: ``3 min``, ``5 h``, ``2 days``."""
    if length.days:
        return f"{length.days:,} day{'' if length.days == 1 else 's'}"
    minutes = length.seconds // 60
    return f"{minutes // 60} h" if minutes >= 60 else f"{minutes} min" if minutes else f"{length.seconds} s"  # noqa: PLR2004 -- an hour


def size(size_bytes: float) -> str:
    """Write a size: ``870 kB``, ``3.4 MB``."""
    for unit in ("bytes", "kB", "MB"):
        if size_bytes < _KILO:
            return f"{size_bytes:.1f}".removesuffix(".0") + f" {unit}"
        size_bytes /= _KILO
    return f"{size_bytes:,.1f} GB"


def verdict(likeness: Similarity) -> str:
    """Say how a cut looks: ``seamless``, ``slight change``, ``visible jump``."""
    if likeness.ssim is None:
        return "not compared"
    if likeness.ssim >= _HOLDS:
        return "seamless"
    return "slight change" if likeness.ssim >= _SHOWS else "visible jump"
