"""Lay a production's times on one axis, which leaves out when nothing went on."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

_CUT_SHARE = 0.05
"""How much of the axis a pause takes at most, so that a retake after a week does not crush the rest."""


class Span(NamedTuple):
    """When a clip was asked for, made and archived.

    Attributes:
        ended_at: None while it is being generated.
        archived_at: None until it is in the archive.
    """

    asked_at: datetime
    ended_at: datetime | None = None
    archived_at: datetime | None = None

    @property
    def latest(self) -> datetime:
        """The last time that is known."""
        return max(moment for moment in self if moment)


class Bar(NamedTuple):
    """A span's place on the axis, all in percent of its length.

    Attributes:
        asked: Where it begins.
        making: How long it was generated.
        storing: How long it then took into the archive.
    """

    asked: float
    making: float
    storing: float


class Cut(NamedTuple):
    """A pause that the axis shortens.

    Attributes:
        at: Its middle, in percent of the axis.
        pause: How long nothing went on.
    """

    at: float
    pause: timedelta


class Axis:
    """Time from the first span's beginning to the last one's end, with long pauses cut short.

    Attributes:
        begin: None if there are no spans.
        end: Likewise.
        cuts: The pauses that it shortens.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self._busy = _merged(spans)
        self.begin = self._busy[0][0] if self._busy else None
        self.end = self._busy[-1][1] if self._busy else None
        pauses = [later[0] - former[1] for former, later in pairwise(self._busy)]
        busy = sum((end - begin for begin, end in self._busy), timedelta()) or timedelta(seconds=1)
        longest = busy * min(_CUT_SHARE, 1 / max(1, len(pauses)))
        self._gaps = [min(pause, longest) for pause in pauses]
        self._length = busy + sum(self._gaps, timedelta())
        self.cuts = tuple(
            Cut(self._percent(end) + 50 * (gap / self._length), pause)
            for (_, end), gap, pause in zip(self._busy, self._gaps, pauses, strict=False)
            if gap < pause
        )

    def bar(self, span: Span) -> Bar:
        """Return the place of one of the spans."""
        asked, latest = self._percent(span.asked_at), self._percent(span.latest)
        ended = self._percent(span.ended_at) if span.ended_at else latest
        ended = min(
            max(asked, ended), latest
        )  # the API's clock, which says when it ended, may differ from ours
        return Bar(asked, ended - asked, latest - ended)

    def _percent(self, moment: datetime) -> float:
        before = timedelta()
        for (begin, end), gap in zip(self._busy, [*self._gaps, timedelta()], strict=True):
            if moment <= end:
                return 100 * ((before + max(moment - begin, timedelta())) / self._length)
            before += end - begin + gap
        return 100.0


def _merged(spans: Iterable[Span]) -> Sequence[tuple[datetime, datetime]]:
    """Return when anything went on, in order and without overlaps."""
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in sorted((span.asked_at, span.latest) for span in spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((begin, end))
    return merged
