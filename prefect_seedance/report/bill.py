"""The bill of a production for all its runs, as the ledger records it."""

import asyncio
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

from prefect_seedance.clips.ledger import CONCURRENT_READS, Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.report.cards import cost_of
from prefect_seedance.report.manifest import Manifest


class Bill(NamedTuple):
    """An amount that may have been billed; failed generations count, because the API may bill them.

    Attributes:
        seconds: Of video.
        cost: None if a price is unknown.
    """

    seconds: int
    cost: Decimal | None


async def attempts_of(manifest: Manifest, ledger: Ledger) -> Mapping[str, tuple[Attempt, ...]]:
    """Read all attempts of a production by fingerprint, whatever its storyboard contains today.

    Args:
        manifest: Of its last run.
        ledger: Of its archive.

    Raises:
        ArchiveError: If the ledger cannot be read.
    """
    production = manifest.production
    readers = asyncio.Semaphore(CONCURRENT_READS)

    async def read(fingerprint: str) -> tuple[str, tuple[Attempt, ...]]:
        async with readers:
            attempts, _ = await ledger.readable_attempts(fingerprint)
        return fingerprint, tuple(each for each in attempts if each.intent.production == production)

    clips = {entry.fingerprint for entry in manifest.clips}  # the oldest ledgers list no purchases
    return dict(await asyncio.gather(*map(read, clips.union(await ledger.bought_by(production)))))


def bill_of(attempts: Iterable[Attempt], *, price_per_second: Decimal | None) -> Bill:
    """Add up attempts.

    Args:
        attempts: Of a production.
        price_per_second: Of video. Default: the prices of the models.
    """
    attempts = tuple(attempts)
    seconds = sum(each.billed_seconds for each in attempts)
    return Bill(seconds, cost_of(attempts) if price_per_second is None else seconds * price_per_second)
