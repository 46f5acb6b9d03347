"""Find clips that an older version recorded under another fingerprint.

Version 0.1 included the signatures of images' URLs in the fingerprint of a clip.
"""

import asyncio
from collections.abc import Iterable

from prefect_seedance.api.signatures import unsigned
from prefect_seedance.clips.history import clip_histories
from prefect_seedance.clips.ledger import CONCURRENT_READS, Ledger, or_unreadable
from prefect_seedance.clips.records import Intent
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.plan import Plan, PlannedClip, fingerprint_of


async def with_former_fingerprints(planned: Plan, store: Store) -> Plan:
    """Return the plan, in which each clip that was bought under its former fingerprint keeps that one.

    Only clips at signed URLs have another fingerprint than before. The ledger is searched if it does not know
    the new one, which costs one read for each clip that was ever submitted.
    """
    signed = [clip for clip in planned.distinct if any(file.is_signed for file in clip.sources)]
    if not signed:
        return planned
    ledger = Ledger(store)
    known = set(await ledger.fingerprints())
    missing = [clip for clip in signed if clip.fingerprint not in known]
    if not missing:
        return planned
    intents = await _intents(ledger, known)
    former = {clip.fingerprint: await _former(clip, intents, planned.model, store) for clip in missing}
    clips = (
        clip.model_copy(update={"fingerprint": former.get(clip.fingerprint) or clip.fingerprint})
        for clip in planned.clips
    )
    return planned.model_copy(update={"clips": tuple(clips)})


async def _intents(ledger: Ledger, fingerprints: Iterable[str]) -> list[Intent]:
    """Read the first intent of each clip; those that cannot be read are left out."""
    readers = asyncio.Semaphore(CONCURRENT_READS)

    async def read(fingerprint: str) -> object:
        async with readers:
            return await or_unreadable(ledger.intent, fingerprint)

    found = await asyncio.gather(*map(read, fingerprints))
    return sorted((each for each in found if isinstance(each, Intent)), key=lambda intent: intent.asked_at)


async def _former(clip: PlannedClip, intents: Iterable[Intent], model: str, store: Store) -> str | None:
    """Return the fingerprint under which this clip is archived, or else was submitted last."""
    same = (intent for intent in intents if intent.request.input.prompt == clip.prompt)
    found = [intent.fingerprint for intent in same if _is_same(clip, intent, model)]
    histories = await clip_histories(store, found)
    archived = [each for each in found if histories[each].clip]
    return next(reversed(archived or found), None)


def _is_same(clip: PlannedClip, intent: Intent, model: str) -> bool:
    """Return whether the intent's fingerprint is that of the clip, with the URLs as they were signed then."""
    recorded = intent.request.input.file_urls
    if len(recorded) != len(clip.sources):
        return False
    identities = [
        url if not file.is_local and unsigned(url) == file.identity else file.identity
        for file, url in zip(clip.sources, recorded, strict=True)
    ]
    return fingerprint_of(clip, identities, model=model) == intent.fingerprint
