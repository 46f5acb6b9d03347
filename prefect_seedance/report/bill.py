"""The bill of a production for all its runs, as the ledger records it."""

import asyncio
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


async def bill_of(manifest: Manifest, ledger: Ledger) -> Bill:
    """Add up all attempts of a production, whatever its storyboard contains today.

    Args:
        manifest: Of its last run, with the price of a second. Default: the prices of the models.
        ledger: Of its archive.

    Raises:
        ArchiveError: If the ledger cannot be read.
    """
    production, price = manifest.production, manifest.price_per_second
    readers = asyncio.Semaphore(CONCURRENT_READS)

    async def read(fingerprint: str) -> tuple[Attempt, ...]:
        async with readers:
            attempts, _ = await ledger.readable_attempts(fingerprint)
        return tuple(each for each in attempts if each.intent.production == production)

    clips = {entry.fingerprint for entry in manifest.clips}  # the oldest ledgers list no purchases
    found = await asyncio.gather(*map(read, clips.union(await ledger.bought_by(production))))
    attempts = [each for history in found for each in history]
    seconds = sum(each.billed_seconds for each in attempts)
    return Bill(seconds, cost_of(attempts) if price is None else seconds * price)
