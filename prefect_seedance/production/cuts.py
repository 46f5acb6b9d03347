"""Compare the clips of a film where they meet."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise

from prefect_seedance.film.inspections import ClipInspection, Similarity

Cut = tuple[str, str]
"""The fingerprints of two clips that follow each other."""

Compare = Callable[[ClipInspection, ClipInspection], Coroutine[None, None, Similarity]]
"""Compares the last frame of a clip with the first frame of another."""


class Cuts:
    """Compares the end of each clip with the start of the next, as soon as both are inspected.

    Attributes:
        inspected: The inspections so far, by the clip's fingerprint.
    """

    def __init__(self, fingerprints: Sequence[str], compare: Compare) -> None:
        """Prepare to compare the cuts of a production.

        Args:
            fingerprints: Of its clips, in order.
            compare: Compares two clips.
        """
        self.inspected: dict[str, ClipInspection] = {}
        self._compare = compare
        self._tasks: dict[Cut, asyncio.Task[Similarity]] = {}
        self._cuts_of = defaultdict[str, set[Cut]](set)
        for cut in pairwise(fingerprints):
            for fingerprint in cut:
                self._cuts_of[fingerprint].add(cut)

    def add(self, fingerprint: str, inspection: ClipInspection) -> None:
        """Compare an inspected clip with its neighbours that are inspected, too."""
        self.inspected[fingerprint] = inspection
        for cut in self._cuts_of[fingerprint]:
            self.begin(cut)

    def begin(self, cut: Cut) -> asyncio.Task[Similarity] | None:
        """Return the comparison of a cut, which begins if both clips are inspected; else None."""
        if cut not in self._tasks and self.inspected.keys() >= set(cut):
            before, after = (self.inspected[each] for each in cut)
            self._tasks[cut] = asyncio.create_task(self._compare(before, after))
        return self._tasks.get(cut)

    @property
    def unfinished(self) -> Sequence[asyncio.Task[Similarity]]:
        """The comparisons that have begun and not ended."""
        return [task for task in self._tasks.values() if not task.done()]
