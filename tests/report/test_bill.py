"""The bill of a production for all its runs."""

from decimal import Decimal
from itertools import chain
from pathlib import Path

from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.report.bill import attempts_of, bill_of
from prefect_seedance.report.manifest import Entry
from prefect_seedance.storage.store import Store
from tests.records import (
    FAILED,
    REFUSED,
    archived_clip,
    manifest_of,
    planned_clip,
    record_outcome,
    record_success,
    record_unreadable,
)


async def test_all_attempts_are_billed(archive: Path) -> None:
    """Reused, failed and former clips count; refused ones, and those of other productions, do not."""
    store, ledger = Store.open(str(archive)), Ledger(Store.open(str(archive)))
    clips = [planned_clip(number) for number in range(1, 7)]
    await record_success(store, archived_clip(clips[0]))
    await record_outcome(store, clips[1], FAILED)
    await record_outcome(store, clips[2], REFUSED)
    await record_success(store, archived_clip(clips[3]), production="other")
    await record_outcome(store, clips[4], FAILED)
    await record_unreadable(store, clips[5])
    manifest = manifest_of(
        *(Entry.of(clip, ClipStatus.reused, archived=archived_clip(clip)) for clip in clips[:4])
    )

    found = await attempts_of(manifest, ledger)

    assert bill_of(chain(*found.values()), price_per_second=Decimal("0.25")) == (12, Decimal(3))


async def test_unlisted_purchases_are_billed(archive: Path) -> None:
    """A clip of the storyboard counts although an old ledger does not list that the production bought it."""
    store, clip = Store.open(str(archive)), planned_clip()
    await record_success(store, archived_clip(clip))
    (archive / "productions" / "test-board" / "bought" / clip.fingerprint).unlink()

    found = await attempts_of(manifest_of(Entry.of(clip, ClipStatus.reused)), Ledger(store))

    assert bill_of(found[clip.fingerprint], price_per_second=None).seconds == 4
