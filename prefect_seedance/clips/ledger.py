"""Append-only record of every attempt, and the only memory of what money was spent on.

The records of a clip's attempts are small JSON objects that are created and never changed:

```
clips/<fingerprint>/attempt-001/intent.json     before the submission is sent
clips/<fingerprint>/attempt-001/accepted.json   the API's answer: the generation's id
clips/<fingerprint>/attempt-001/outcome.json    how the attempt ended
```

``no-answer.json`` notes that the run which submitted the attempt lost the answer. Two more correct a record
that was created too early: ``late-accepted.json`` and ``late-outcome.json``.
An empty ``productions/<name>/bought/<fingerprint>`` notes that a production has submitted a clip.

A run claims an attempt by creating its intent: if several try, the store lets one succeed.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, ParamSpec, TypeVar

from prefect_seedance.api import wall_clock
from prefect_seedance.clips.record_format import Record, parse_record, serialize_record
from prefect_seedance.clips.records import (
    ACCEPTANCE_FILE,
    ATTEMPT_KEY,
    INTENT_FILE,
    LATE_ACCEPTANCE_FILE,
    LATE_OUTCOME_FILE,
    LOST_ANSWER_FILE,
    OUTCOME_FILE,
    Acceptance,
    Attempt,
    Intent,
    LostAnswer,
    Outcome,
    Result,
    attempt_prefix,
    clip_prefix,
)
from prefect_seedance.errors import UnreadableRecordError
from prefect_seedance.printable import get_logger
from prefect_seedance.storage.store import Store

CONCURRENT_READS: Final = 32
"""Clips read at once: a bucket answers in parallel, and a folder should keep few files open."""

_REMEDY: Final = "restore it from a backup. Its clip is not submitted again until it can be read"

_R = TypeVar("_R", bound=Record)
_P = ParamSpec("_P")
_T = TypeVar("_T")

_log = get_logger(__name__)


class Ledger:
    """Records the attempts at clips in an archive's store, and reads them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._claimed: defaultdict[str, set[int]] = defaultdict(set)

    @property
    def archive(self) -> str:
        """The archive, as commands name it."""
        return self._store.name

    async def attempts(self, fingerprint: str) -> tuple[Attempt, ...]:
        """Read all attempts at one clip, the oldest first.

        Raises:
            UnreadableRecordError: A record cannot be read, so nothing can be decided about the clip.
        """
        attempts, unreadable = await self.readable_attempts(fingerprint)
        for error in unreadable:
            raise error
        return attempts

    async def readable_attempts(
        self, fingerprint: str
    ) -> tuple[tuple[Attempt, ...], tuple[UnreadableRecordError, ...]]:
        """Read the attempts at one clip, the oldest first, and the error of each that cannot be read.

        An attempt that this ledger claimed, or tried to, is found although the store does not list it yet.
        """
        keys = await self._store.keys(clip_prefix(fingerprint))
        found = {match[0]: int(match["number"]) for key in keys if (match := ATTEMPT_KEY.match(key))}
        unlisted = self._claimed.get(fingerprint, set()) - set(found.values())
        results = await asyncio.gather(
            *[or_unreadable(self._attempt, prefix, keys) for prefix in found],
            *[or_unreadable(self.attempt, fingerprint, number) for number in unlisted],
        )
        attempts = [result for result in results if isinstance(result, Attempt)]
        unreadable = [result for result in results if isinstance(result, UnreadableRecordError)]
        return tuple(sorted(attempts, key=lambda attempt: attempt.intent.number)), tuple(unreadable)

    async def intent(self, fingerprint: str, number: int = 1) -> Intent | None:
        """Read the intent of an attempt, or return None if no run claimed it."""
        return await self._find(attempt_prefix(fingerprint, number) + INTENT_FILE, Intent)

    async def attempt(self, fingerprint: str, number: int) -> Attempt | None:
        """Read one attempt, or return None if no run claimed it."""
        intent = await self.intent(fingerprint, number)
        return await self.refreshed(Attempt(intent=intent)) if intent else None

    async def refreshed(self, attempt: Attempt) -> Attempt:
        """Return an attempt with the records that were added since; reads only those that it may lack."""
        outcome = attempt.outcome or await self._find(attempt.key + OUTCOME_FILE, Outcome)
        acceptance = attempt.acceptance or await self._find(attempt.key + ACCEPTANCE_FILE, Acceptance)
        if acceptance and acceptance.resolved_by:
            acceptance = await self._find(attempt.key + LATE_ACCEPTANCE_FILE, Acceptance) or acceptance
        if acceptance and outcome and outcome.result is not Result.success:
            outcome = await self._find(attempt.key + LATE_OUTCOME_FILE, Outcome) or outcome
        latest = Attempt.of(attempt.intent, acceptance, outcome)
        if not latest.undecided:
            return latest
        note = attempt.key + LOST_ANSWER_FILE
        is_lost = attempt.has_lost_answer or await self._store.read(note) is not None
        return latest.model_copy(update={"has_lost_answer": is_lost})

    async def fingerprints(self) -> tuple[str, ...]:
        """List every clip that was ever submitted."""
        keys = await self._store.keys("clips/")
        return tuple(dict.fromkeys(key.split("/")[1] for key in keys))

    async def bought_by(self, production: str) -> tuple[str, ...]:
        """List every clip that a production ever submitted."""
        return tuple(key.split("/")[-1] for key in await self._store.keys(_bought_prefix(production)))

    async def histories(self) -> tuple[tuple[Attempt, ...], ...]:
        """Read all attempts at every clip that was ever submitted, one tuple per clip.

        Clips with an unreadable record are omitted, because nothing can be decided about them.
        """
        readers = asyncio.Semaphore(CONCURRENT_READS)

        async def history(fingerprint: str) -> tuple[Attempt, ...]:
            async with readers:
                attempts, unreadable = await self.readable_attempts(fingerprint)
                return () if unreadable else attempts

        found = await asyncio.gather(*map(history, await self.fingerprints()))
        return tuple(attempts for attempts in found if attempts)

    async def claim(self, intent: Intent) -> Attempt | None:
        """Record an intent and return its attempt, or None if another run claimed it first."""
        attempt = Attempt(intent=intent)
        content = serialize_record(intent)  # before anything is created
        if intent.production:
            await self._store.create(_bought_prefix(intent.production) + intent.fingerprint, b"")
        created = await self._store.create(attempt.key + INTENT_FILE, content)
        self._claimed[intent.fingerprint].add(intent.number)
        return attempt if created or await self.is_claimed_by(intent) else None

    async def is_claimed_by(self, intent: Intent) -> bool:
        """Return whether this very intent is recorded, although the store reported otherwise."""
        recorded = await self._find(Attempt(intent=intent).key + INTENT_FILE, Intent)
        return recorded is not None and recorded.nonce == intent.nonce != ""

    async def note_lost_answer(self, attempt: Attempt, reason: str) -> Attempt:
        """Record that the run lost the answer to its own submission, and return the attempt with that."""
        lost = LostAnswer(lost_at=wall_clock.now(), reason=reason.encode(errors="replace").decode())
        await self._create(attempt.key + LOST_ANSWER_FILE, lost)
        return attempt.model_copy(update={"has_lost_answer": True})

    async def accept(
        self, attempt: Attempt, generation_id: str, *, resolved_by: str | None = None
    ) -> Attempt:
        """Record the API's answer, and return the attempt with it.

        If an answer is recorded already, that one counts. The exception is an answer to the run itself after
        another generation was adopted: the run's answer counts.
        """
        acceptance = Acceptance(
            generation_id=generation_id, accepted_at=wall_clock.now(), resolved_by=resolved_by
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
        attempt = Attempt.of(intent, acceptance, outcome)
        # A list can be older than these records, without which the clip might be bought again.
        return await self.refreshed(attempt) if attempt.undecided else attempt

    async def _latest(
        self, prefix: str, files: Sequence[str], kind: type[_R], keys: Collection[str]
    ) -> _R | None:
        """Read the first of these files that the attempt has."""
        found = next((prefix + file for file in files if prefix + file in keys), None)
        return await self._read(found, kind) if found else None

    async def _create(self, key: str, record: Record) -> bool:
        return await self._store.create(key, serialize_record(record))

    async def _read(self, key: str, kind: type[_R]) -> _R:
        return self._parsed(key, await self._store.read(key) or b"", kind)

    async def _find(self, key: str, kind: type[_R]) -> _R | None:
        content = await self._store.read(key)
        return None if content is None else self._parsed(key, content, kind)

    def _parsed(self, key: str, content: bytes, kind: type[_R]) -> _R:
        return parse_record(kind, content, link=self._store.link(key), remedy=_REMEDY)


async def or_unreadable(
    read: Callable[_P, Awaitable[_T]], *args: _P.args, **options: _P.kwargs
) -> _T | UnreadableRecordError:
    """Return what a call returns, or the error of a record that cannot be read."""
    try:
        return await read(*args, **options)
    except UnreadableRecordError as error:
        return error


def _bought_prefix(production: str) -> str:
    return f"productions/{production}/bought/"
