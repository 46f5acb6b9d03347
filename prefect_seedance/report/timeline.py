"""Place a production's times on one axis, with long pauses shortened."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

_MAX_BREAK_SHARE = 0.05
"""Share of the axis that all breaks get together, so that a retake a week later leaves room for the rest."""


class Span(NamedTuple):
    """When a clip was submitted, generated and archived.

    Attributes:
        ended_at: None while the API generates it.
        archived_at: None until it is archived.
    """

    submitted_at: datetime
    ended_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def latest(self) -> datetime:
        """The latest known time."""
        return max(time for time in self if time)


class Bar(NamedTuple):
    """The position of a span on the axis, in percent of its length.

    Attributes:
        start: Start of the generation.
        generating: Length of the generation.
        archiving: Length of the download, check and storage that follow.
    """

    start: float
    generating: float
    archiving: float


class Break(NamedTuple):
    """A pause that is shortened on the axis.

    Attributes:
        at: Its middle, in percent of the axis.
        pause: Its true length.
    """

    at: float
    pause: timedelta


class Axis:
    """Time from the start of the first span to the end of the last, with long pauses shortened.

    Attributes:
        start: None without spans.
        end: None without spans.
        breaks: The shortened pauses.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self._busy = _merge(spans)
        self.start = self._busy[0][0] if self._busy else None
        self.end = self._busy[-1][1] if self._busy else None
        pauses = [later[0] - earlier[1] for earlier, later in pairwise(self._busy)]
        busy = sum((end - start for start, end in self._busy), timedelta()) or timedelta(seconds=1)
        longest = busy * min(_MAX_BREAK_SHARE, 1 / max(1, len(pauses)))
        self._gaps = [min(pause, longest) for pause in pauses]
        self._length = busy + sum(self._gaps, timedelta())
        self.breaks = tuple(
            Break(self._percent(end) + 50 * (gap / self._length), pause)
            for (_, end), gap, pause in zip(self._busy, self._gaps, pauses, strict=False)
            if gap < pause
        )

    def bar(self, span: Span) -> Bar:
        """Return the position of one of the spans."""
        start, latest = self._percent(span.submitted_at), self._percent(span.latest)
        ended = self._percent(span.ended_at) if span.ended_at else latest
        ended = min(max(start, ended), latest)  # the end is by the API's clock, which may differ from ours
        return Bar(start, ended - start, latest - ended)

    def _percent(self, time: datetime) -> float:
        before = timedelta()
        for (start, end), gap in zip(self._busy, [*self._gaps, timedelta()], strict=True):
            if time <= end:
                return 100 * ((before + max(time - start, timedelta())) / self._length)
            before += end - start + gap
        return 100.0


def _merge(spans: Iterable[Span]) -> Sequence[tuple[datetime, datetime]]:
    """Merge overlapping spans, in order."""
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted((span.submitted_at, span.latest) for span in spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged
