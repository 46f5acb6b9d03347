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


class FormerClips:
    """Finds clips of one archive under their former fingerprints.

    The ledger is searched at most once, and only for a clip at a signed URL that it does not know: no other
    clip has had another fingerprint. The search costs one read for each clip that was ever submitted.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._ledger = store, Ledger(store)
        self._turn = asyncio.Lock()
        self._fingerprints: set[str] | None = None
        self._intents: list[Intent] | None = None

    async def known(self, clip: PlannedClip, *, model: str) -> PlannedClip:
        """Return the clip; one that was bought under its former fingerprint keeps that one.

        Args:
            clip: As it was planned.
            model: Id of the account's model, if the clip chooses none.
        """
        if not any(file.is_signed for file in clip.sources):
            return clip
        async with self._turn:
            if self._fingerprints is None:
                self._fingerprints = set(await self._ledger.fingerprints())
            if clip.fingerprint in self._fingerprints:
                return clip
            if self._intents is None:
                self._intents = await _intents(self._ledger, self._fingerprints)
        former = await _former(clip, self._intents, model, self._store)
        return clip.model_copy(update={"fingerprint": former}) if former else clip


async def with_former_fingerprints(planned: Plan, store: Store) -> Plan:
    """Return the plan, in which each clip that was bought under its former fingerprint keeps that one."""
    former = FormerClips(store)
    found = {clip.fingerprint: await former.known(clip, model=planned.model) for clip in planned.distinct}
    clips = (
        clip.model_copy(update={"fingerprint": found[clip.fingerprint].fingerprint}) for clip in planned.clips
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
