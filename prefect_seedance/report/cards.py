"""Read from the archive what the report shows of each clip."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from prefect_seedance.api.prices import price_per_second
from prefect_seedance.api.wire import ClipInput
from prefect_seedance.clips.ledger import CONCURRENT_READS, Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.report.clip_names import clip_file
from prefect_seedance.report.links import Link, Links
from prefect_seedance.report.manifest import Entry, Manifest
from prefect_seedance.report.timeline import Span
from prefect_seedance.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class Card:
    """One clip of a production, with all its attempts.

    Attributes:
        billed_seconds: Of all attempts by this production that may have started a generation; 0 if the same
            clip occurs earlier in it.
        video: None if there is none.
        cost: Of the billed seconds at the prices of the models' file; None if one is unknown.
        file: The video under its name for people, if it has one.
        file_name: This name.
    """

    entry: Entry
    attempts: tuple[Attempt, ...]
    billed_seconds: int
    video: Link | None
    cost: Decimal | None = None
    file: Link | None = None
    file_name: str = ""

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that made the video, or else the last one."""
        number = self.entry.clip.attempt if self.entry.clip else self.entry.attempt
        found = (attempt for attempt in self.attempts if attempt.intent.number == number)
        return next(found, self.attempts[-1] if self.attempts else None)

    @property
    def request(self) -> ClipInput | None:
        """The submitted input; None if the clip was never submitted."""
        if self.entry.clip:
            return self.entry.clip.request.input
        return self.attempt.intent.request.input if self.attempt else None

    @property
    def span(self) -> Span | None:
        """When the clip was submitted, generated and archived; None if it was never submitted."""
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
        """Unusual properties of the video, such as frozen parts."""
        clip, inspection = self.entry.clip, self.entry.inspection
        found = (
            {"black": inspection.black, "frozen": inspection.frozen, "silent": inspection.silent}
            if inspection
            else {}
        )
        intervals = (
            f"{name} from {interval.start_seconds:.1f} to {interval.end_seconds:.1f} s"
            for name, intervals in found.items()
            for interval in intervals
        )
        return [*(clip.findings if clip else ()), *intervals]


async def load_cards(manifest: Manifest, store: Store, links: Links) -> Sequence[Card]:
    """Read the attempts of a production's clips from the ledger.

    Raises:
        ArchiveError: If the ledger cannot be read.
    """
    ledger, readers = Ledger(store), asyncio.Semaphore(CONCURRENT_READS)
    firsts = {entry.fingerprint: entry.number for entry in reversed(manifest.clips)}

    async def load(entry: Entry) -> Card:
        async with readers:
            attempts, _ = await ledger.readable_attempts(entry.fingerprint)
            video = await links.to(entry.clip.key) if entry.clip else None
        name = clip_file(manifest, entry)
        has_name = entry.clip and manifest.clips_folder
        file = await links.to(f"{manifest.clips_folder}/{name}") if has_name else video
        is_first = firsts[entry.fingerprint] == entry.number
        ours = [each for each in attempts if each.intent.production == manifest.production]
        billed = sum(attempt.billed_seconds for attempt in ours) if is_first else 0
        cost = cost_of(ours) if is_first else Decimal(0)
        return Card(
            entry=entry,
            attempts=attempts,
            billed_seconds=billed,
            video=video,
            cost=cost,
            file=file,
            file_name=name,
        )

    return await asyncio.gather(*map(load, manifest.clips))


def cost_of(attempts: Iterable[Attempt]) -> Decimal | None:
    """Return what attempts cost at the prices of their models; None if one is unknown."""
    total = Decimal(0)
    for attempt in attempts:
        request, seconds = attempt.intent.request, attempt.billed_seconds
        price = price_per_second(request.input, model=attempt.intent.model, provider=request.provider)
        if price is None and seconds:
            return None
        total += seconds * (price or 0)
    return total
