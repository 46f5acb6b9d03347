"""What an archive knows of each clip of a production, for a page that shows it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from prefect_seedance.api.wire import ClipInput
from prefect_seedance.clips.ledger import CONCURRENT_READS, Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.report.links import Link, Links
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.timeline import Span
from prefect_seedance.storage.store import Store

_AT_ONCE = 16
"""Clips whose stills are in memory at once, some 50 kB each."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One clip of a production, with all that was ever asked for in its name.

    Attributes:
        billed_seconds: Of all its attempts that may have started something; 0 where the same clip stands
            at an earlier place.
        video: None if there is none.
    """

    entry: Entry
    attempts: tuple[Attempt, ...]
    billed_seconds: int
    video: Link | None

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that gave the video, or the last one."""
        number = self.entry.clip.attempt if self.entry.clip else self.entry.attempt
        made = (attempt for attempt in self.attempts if attempt.intent.number == number)
        return next(made, self.attempts[-1] if self.attempts else None)

    @property
    def asked(self) -> ClipInput | None:
        """What the API was asked for; None if it never was."""
        if self.entry.clip:
            return self.entry.clip.request.input
        return self.attempt.intent.request.input if self.attempt else None

    @property
    def span(self) -> Span | None:
        """When it was asked for, made and archived; None if it never was asked for."""
        if self.attempt is None:
            return None
        outcome, clip = self.attempt.outcome, self.entry.clip
        return Span(
            self.attempt.intent.asked_at,
            outcome.ended_at if outcome else None,
            clip.archived_at if clip else None,
        )

    @property
    def remarks(self) -> Sequence[str]:
        """What is odd about the video."""
        clip, seen = self.entry.clip, self.entry.inspection
        found = {"black": seen.black, "frozen": seen.frozen, "silent": seen.silent} if seen else {}
        stretches = (
            f"{what} from {part.start_seconds:.1f} to {part.end_seconds:.1f} s"
            for what, parts in found.items()
            for part in parts
        )
        return [*(clip.findings if clip else ()), *stretches]


async def cards(manifest: Manifest, store: Store, links: Links) -> Sequence[Card]:
    """Read what the ledger knows of a production's clips.

    Raises:
        ArchiveError: If it cannot be read.
    """
    ledger, readers = Ledger(store), asyncio.Semaphore(CONCURRENT_READS)
    firsts = {entry.fingerprint: entry.number for entry in reversed(manifest.clips)}

    async def card(entry: Entry) -> Card:
        async with readers:
            attempts = await ledger.attempts(entry.fingerprint)
            video = await links.to(entry.clip.key) if entry.clip else None
        is_first = firsts[entry.fingerprint] == entry.number
        billed = sum(attempt.billed_seconds for attempt in attempts) if is_first else 0
        return Card(entry=entry, attempts=attempts, billed_seconds=billed, video=video)

    return await asyncio.gather(*map(card, manifest.clips))


Stills = tuple[bytes | None, bytes | None, bytes | None]
"""A clip's first, middle and last picture as JPEG files."""


async def stills(cards: Sequence[Card], store: Store) -> AsyncIterator[tuple[Card, Stills]]:
    """Yield the clips in order, each with its pictures, of which only some are in memory at a time.

    Raises:
        ArchiveError: If they cannot be read.
    """

    async def fetch(card: Card) -> Stills:
        seen = card.entry.inspection
        if seen is None:
            return None, None, None
        start, middle, end = map(store.read, (seen.start_still, seen.middle_still, seen.end_still))
        return await start, await middle, await end

    for begin in range(0, len(cards), _AT_ONCE):
        batch = cards[begin : begin + _AT_ONCE]
        for card, pictures in zip(batch, await asyncio.gather(*map(fetch, batch)), strict=True):
            yield card, pictures
