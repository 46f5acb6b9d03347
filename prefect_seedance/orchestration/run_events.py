"""Report how a run ended as events: the production, and the clips that need attention."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

from prefect_seedance.api import wall_clock
from prefect_seedance.clips.history import ClipStatus
from prefect_seedance.clips.ledger import Ledger
from prefect_seedance.clips.records import Attempt
from prefect_seedance.errors import (
    ConnectionFailedError,
    ContentRejectedError,
    DeadlineError,
    FailKind,
    fail_kind,
)
from prefect_seedance.orchestration.event_text import shown_message, shown_name
from prefect_seedance.orchestration.events import CATALOG, CLIP, PRODUCTION, Event, emit, has_prefect
from prefect_seedance.printable import get_logger
from prefect_seedance.report.bill import attempts_of, bill_of
from prefect_seedance.report.catalog import CatalogManifest
from prefect_seedance.report.manifest import Entry, Manifest, production_key
from prefect_seedance.report.paid_clip import PaidClip
from prefect_seedance.report.rescued import RescuedArchive
from prefect_seedance.report.verdict import Verdict
from prefect_seedance.storage.store import Store

EXPIRES_SOON: Final = timedelta(days=3)
"""How long before a link expires to warn: a weekend, and a day to act."""

MAX_CLIP_EVENTS: Final = 100
"""Events about clips of one run. If more need attention they share a cause, and the manifest lists them."""

_LEDGER_SECONDS: Final = 60.0
"""Bound of reading the ledger of a production; a thousand clips take some seconds."""

_OF_THE_RUN: Final = {DeadlineError.__name__, ConnectionFailedError.__name__}
"""Causes for which a run submits no more clips, which have not failed themselves."""

_FAILURES: Final = {ClipStatus.failed, ClipStatus.not_submitted, ClipStatus.unreadable}

_URGENCY: Final = (
    Event.clip_expiring,
    Event.submission_unresolved,
    Event.clip_unarchived,
    Event.clip_failed,
    Event.clip_rescued,
)
"""The events of clips, in the order in which they are sent."""

_log = get_logger(__name__)


async def production_ended(
    manifest: Manifest, *, prompts: Mapping[str, str], store: Store, ledger: Ledger
) -> None:
    """Report that the run of a production has ended, after the clips that need attention.

    Args:
        manifest: Of the run.
        prompts: Of the clips of its storyboard, by fingerprint; removed from the texts of events.
        store: The archive.
        ledger: Of the archive.
    """
    if not has_prefect():
        return
    found = await _attempts(manifest, ledger)
    known = {key: each[-1].intent.request.input.prompt for key, each in (found or {}).items() if each}
    omitted = clips_ended({manifest.archive: _of_manifest(manifest)}, prompts={**known, **prompts})
    attempts = itertools.chain(*found.values()) if found is not None else None
    bill = None if attempts is None else bill_of(attempts, price_per_second=manifest.price_per_second)
    payload = {
        "verdict": manifest.verdict,
        "counts": {str(status): count for status, count in manifest.counts.items()},
        "clips": len(manifest.clips),
        "billed_seconds": manifest.billed_seconds,
        "cost": manifest.cost and str(manifest.cost),
        "total_seconds": bill.seconds if bill else None,
        "total_cost": str(bill.cost) if bill and bill.cost is not None else None,
        "omitted": omitted,
        "archive": manifest.archive,
        "manifest": store.link(production_key(manifest.production, "manifest.json")),
        "report": store.link(manifest.report) if manifest.report else None,
    }
    labels = {"seedance.production": manifest.production, "seedance.verdict": manifest.verdict}
    resource = f"{PRODUCTION}{manifest.production}"
    emit(Event.production_ended, resource, name=manifest.title, labels=labels, payload=payload)


def clips_ended(archives: Mapping[str, Iterable[PaidClip]], *, prompts: Mapping[str, str]) -> int:
    """Report the clips that need attention or were rescued, the most urgent first.

    Args:
        archives: The clips as a run left them, by the archive that stores them.
        prompts: By fingerprint. A clip without one may be named after its prompt.

    Returns:
        How many events are omitted, because there are too many.
    """
    found = [
        (event, clip, archive)
        for archive, clips in archives.items()
        for clip in {each.fingerprint: each for each in clips}.values()
        for event in _events_of(clip)
    ]
    found.sort(key=lambda each: _URGENCY.index(each[0]))
    for event, clip, archive in found[:MAX_CLIP_EVENTS]:
        _emit(event, clip, archive=archive, prompt=prompts.get(clip.fingerprint))
    return max(0, len(found) - MAX_CLIP_EVENTS)


def archives_rescued(archives: Sequence[RescuedArchive], *, prompts: Mapping[str, str]) -> None:
    """Report the clips that were rescued, and those that need attention.

    Args:
        archives: As the rescue left them.
        prompts: By fingerprint; removed from the texts of events.
    """
    clips_ended({each.archive: each.clips for each in archives}, prompts=prompts)


def catalog_ended(manifest: CatalogManifest, *, links: Mapping[str, str]) -> None:
    """Report that the run of a catalogue has ended.

    Args:
        manifest: Of the run.
        links: Of its manifest and its page.
    """
    payload = {
        "verdict": manifest.verdict,
        "counts": {str(status): count for status, count in manifest.counts.items()},
        "storyboards": len(manifest.entries),
        "billed_seconds": manifest.billed_seconds,
        "archive": manifest.archive,
        **links,
    }
    labels = {"seedance.verdict": manifest.verdict}
    emit(
        Event.catalog_ended,
        f"{CATALOG}{manifest.catalog}",
        name=manifest.title,
        labels=labels,
        payload=payload,
    )


def _of_manifest(manifest: Manifest) -> Iterator[PaidClip]:
    """Yield the clips that need attention, and those that were rescued.

    A clip has not failed if its run stopped before it submitted it, nor if the storyboard no longer has it.
    """
    fine, is_of_setup = {ClipStatus.made, ClipStatus.reused}, manifest.verdict is Verdict.setup
    for entry in manifest.clips:
        is_of_run = is_of_setup or entry.cause in _OF_THE_RUN
        if entry.status not in fine and not (entry.status is ClipStatus.not_submitted and is_of_run):
            yield _as_paid(entry, production=manifest.production)
    yield from (clip for clip in manifest.former if clip.status not in _FAILURES)


def _as_paid(entry: Entry, *, production: str) -> PaidClip:
    return PaidClip(
        fingerprint=entry.fingerprint,
        name=entry.name,
        production=production,
        status=entry.status,
        billed_seconds=entry.billed_seconds,
        generation_id=entry.generation_id or None,
        expires_at=entry.expires_at,
        reason=entry.reason,
        code=entry.code,
    )


def _events_of(clip: PaidClip) -> Iterator[Event]:
    now, expires_at = wall_clock.now(), clip.expires_at
    match clip.status:
        case ClipStatus.made:
            yield Event.clip_rescued
        case ClipStatus.unresolved:
            yield Event.submission_unresolved
        case ClipStatus.not_archived:
            yield Event.clip_unarchived
            if expires_at and now < expires_at <= now + EXPIRES_SOON:
                yield Event.clip_expiring
        case status if status in _FAILURES:
            yield Event.clip_failed


def _emit(event: Event, clip: PaidClip, *, archive: str, prompt: str | None) -> None:
    key, status, message = clip.fingerprint, _status(clip), None
    name = shown_name(clip.name, prompt=prompt, fingerprint=key)
    if prompt is not None:  # otherwise the message may quote it
        message = shown_message(clip.reason or "", name=clip.name, prompt=prompt, fingerprint=key)
    payload = {
        "clip": name,
        "fingerprint": key,
        "status": status,
        "archive": archive,
        "generation_id": clip.generation_id,
        "code": clip.code,
        "message": message,
        "expires_at": clip.expires_at and clip.expires_at.isoformat(),
        "key": clip.key,
    }
    labels = {"seedance.production": clip.production, "seedance.status": status}
    emit(event, f"{CLIP}{key}", name=name, labels=labels, payload=payload)


def _status(clip: PaidClip) -> str:
    is_about_content = clip.code == ContentRejectedError.__name__ or (
        clip.code and fail_kind(clip.code) is FailKind.content
    )
    return "rejected" if clip.status in _FAILURES and is_about_content else clip.status


async def _attempts(manifest: Manifest, ledger: Ledger) -> Mapping[str, Sequence[Attempt]] | None:
    """Return all attempts of the production; None if the ledger cannot be read in time."""
    try:
        async with asyncio.timeout(_LEDGER_SECONDS):
            return await attempts_of(manifest, ledger)
    except Exception as error:  # noqa: BLE001 -- no event is worth failing a run whose clips are made
        reason = str(error) or "the archive did not answer in time"
        _log.warning("What %s was billed in all is not known: %s", manifest.production, reason)
        return None
