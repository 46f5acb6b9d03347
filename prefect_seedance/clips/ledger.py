"""Append-only record of every attempt, and the only memory of what money was spent on.

The records of a clip's attempts are small JSON objects that are created and never changed:

```
clips/<fingerprint>/attempt-001/intent.json     before the submission is sent
clips/<fingerprint>/attempt-001/accepted.json   the API's answer: the generation's id
clips/<fingerprint>/attempt-001/outcome.json    how the attempt ended
```

Two more correct a record that was created too early: ``late-accepted.json`` and ``late-outcome.json``.
An empty ``productions/<name>/bought/<fingerprint>`` notes that a production has submitted a clip.

A run claims an attempt by creating its intent: if several try, the store lets one succeed.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from pydantic import ValidationError

from prefect_seedance.clips.records import (
    ACCEPTANCE_FILE,
    ATTEMPT_KEY,
    INTENT_FILE,
    LATE_ACCEPTANCE_FILE,
    LATE_OUTCOME_FILE,
    OUTCOME_FILE,
    Acceptance,
    Attempt,
    Intent,
    Outcome,
    Record,
    Result,
    attempt_prefix,
    clip_prefix,
)
from prefect_seedance.errors import ArchiveError
from prefect_seedance.storage.store import Store

CONCURRENT_READS: Final = 32
"""Clips read at once: a bucket answers in parallel, and a folder should keep few files open."""

_R = TypeVar("_R", bound=Record)

_log = logging.getLogger(__name__)


class Ledger:
    """Records the attempts at clips in an archive's store, and reads them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def archive(self) -> str:
        """The archive, as commands name it."""
        return self._store.name

    async def attempts(self, fingerprint: str) -> tuple[Attempt, ...]:
        """Read all attempts at one clip, the oldest first."""
        keys = await self._store.keys(clip_prefix(fingerprint))
        found = {match[0]: int(match["number"]) for key in keys if (match := ATTEMPT_KEY.match(key))}
        prefixes = sorted(found, key=lambda prefix: found[prefix])
        return tuple(await asyncio.gather(*[self._attempt(prefix, keys) for prefix in prefixes]))

    async def attempt(self, fingerprint: str, number: int) -> Attempt | None:
        """Read one attempt, or return None if no run claimed it."""
        intent = await self._find(attempt_prefix(fingerprint, number) + INTENT_FILE, Intent)
        return await self.refreshed(Attempt(intent=intent)) if intent else None

    async def refreshed(self, attempt: Attempt) -> Attempt:
        """Return an attempt with the records that were added since; reads only those that it may lack."""
        outcome = attempt.outcome or await self._find(attempt.key + OUTCOME_FILE, Outcome)
        acceptance = attempt.acceptance or await self._find(attempt.key + ACCEPTANCE_FILE, Acceptance)
        if acceptance and acceptance.resolved_by:
            acceptance = await self._find(attempt.key + LATE_ACCEPTANCE_FILE, Acceptance) or acceptance
        if acceptance and outcome and outcome.result is not Result.success:
            outcome = await self._find(attempt.key + LATE_OUTCOME_FILE, Outcome) or outcome
        return Attempt.of(attempt.intent, acceptance, outcome)

    async def fingerprints(self) -> tuple[str, ...]:
        """List every clip that was ever submitted."""
        keys = await self._store.keys("clips/")
        return tuple(dict.fromkeys(key.split("/")[1] for key in keys))

    async def bought_by(self, production: str) -> tuple[str, ...]:
        """List every clip that a production ever submitted."""
        return tuple(key.split("/")[-1] for key in await self._store.keys(_bought_prefix(production)))

    async def histories(self) -> tuple[tuple[Attempt, ...], ...]:
        """Read all attempts at every clip that was ever submitted, one tuple per clip."""
        readers = asyncio.Semaphore(CONCURRENT_READS)

        async def history(fingerprint: str) -> tuple[Attempt, ...]:
            async with readers:
                return await self.attempts(fingerprint)

        found = await asyncio.gather(*map(history, await self.fingerprints()))
        return tuple(attempts for attempts in found if attempts)

    async def claim(self, intent: Intent) -> Attempt | None:
        """Record an intent and return its attempt, or None if another run claimed it first."""
        attempt = Attempt(intent=intent)
        if intent.production:
            await self._store.create(_bought_prefix(intent.production) + intent.fingerprint, b"")
        if await self._create(attempt.key + INTENT_FILE, intent) or await self.is_claimed_by(intent):
            return attempt
        return None

    async def is_claimed_by(self, intent: Intent) -> bool:
        """Return whether this very intent is recorded, although the store reported otherwise."""
        recorded = await self._find(Attempt(intent=intent).key + INTENT_FILE, Intent)
        return recorded is not None and recorded.nonce == intent.nonce != ""

    async def accept(
        self, attempt: Attempt, generation_id: str, *, resolved_by: str | None = None
    ) -> Attempt:
        """Record the API's answer, and return the attempt with it.

        If an answer is recorded already, that one counts. The exception is an answer to the run itself after
        another generation was adopted: the run's answer counts.
        """
        acceptance = Acceptance(
            generation_id=generation_id, accepted_at=datetime.now(UTC), resolved_by=resolved_by
        )
        if not await self._create(attempt.key + ACCEPTANCE_FILE, acceptance):
            first = await self._read(attempt.key + ACCEPTANCE_FILE, Acceptance)
            is_own = first.resolved_by and not resolved_by
            if first.generation_id != generation_id:
                _log.warning(
                    "%s was accepted as %s, but the ledger already names %s",
                    *(attempt.intent.name, generation_id, first.generation_id),
                )
                if is_own:
                    await self._create(attempt.key + LATE_ACCEPTANCE_FILE, acceptance)
            acceptance = acceptance if is_own else first
        return attempt.model_copy(update={"acceptance": acceptance})

    async def conclude(self, attempt: Attempt, outcome: Outcome) -> Attempt:
        """Record how an attempt ended, and return the attempt with its outcome.

        If an outcome is recorded already, that one counts, unless it was recorded too early: the attempt was
        declared lost and accepted after all, or a video appeared after a success without one.
        """
        if not await self._create(attempt.key + OUTCOME_FILE, outcome):
            first = await self._read(attempt.key + OUTCOME_FILE, Outcome)
            outcome = await self._conclude_late(attempt, outcome, first=first)
        return attempt.model_copy(update={"outcome": outcome})

    async def _conclude_late(self, attempt: Attempt, outcome: Outcome, *, first: Outcome) -> Outcome:
        has_new_video = outcome.result is Result.success and first.may_be_reopened
        if not has_new_video and (not attempt.acceptance or first.concerns(attempt.generation_id)):
            return first
        if outcome.may_be_reopened or await self._create(attempt.key + LATE_OUTCOME_FILE, outcome):
            return outcome
        return await self._read(attempt.key + LATE_OUTCOME_FILE, Outcome)

    async def _attempt(self, prefix: str, keys: Collection[str]) -> Attempt:
        intent = await self._read(prefix + INTENT_FILE, Intent)
        acceptance = await self._latest(prefix, (LATE_ACCEPTANCE_FILE, ACCEPTANCE_FILE), Acceptance, keys)
        outcome = await self._latest(prefix, (LATE_OUTCOME_FILE, OUTCOME_FILE), Outcome, keys)
        return Attempt.of(intent, acceptance, outcome)

    async def _latest(
        self, prefix: str, files: Sequence[str], kind: type[_R], keys: Collection[str]
    ) -> _R | None:
        """Read the first of these files that the attempt has."""
        found = next((prefix + file for file in files if prefix + file in keys), None)
        return await self._read(found, kind) if found else None

    async def _create(self, key: str, record: Record) -> bool:
        return await self._store.create(key, record.model_dump_json(indent=2).encode())

    async def _read(self, key: str, kind: type[_R]) -> _R:
        found = await self._find(key, kind)
        if found is None:
            raise self._damaged(key)
        return found

    async def _find(self, key: str, kind: type[_R]) -> _R | None:
        content = await self._store.read(key)
        try:
            return None if content is None else kind.model_validate_json(content)
        except ValidationError:
            raise self._damaged(key) from None

    def _damaged(self, key: str) -> ArchiveError:
        return ArchiveError(
            f"The ledger's record {self._store.link(key)} is missing or damaged; "
            "restore it from a backup, or the clip might be bought again"
        )


def _bought_prefix(production: str) -> str:
    return f"productions/{production}/bought/"
